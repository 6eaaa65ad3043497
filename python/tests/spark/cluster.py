"""A standalone cluster of Spark on this machine, of the processes that a real one has: a master, workers, their executors."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pyspark

HOME = Path(pyspark.__file__).parent
#: The JVMs live for seconds: what compiles less and collects with one thread starts in half of the time.
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
TOO_LONG = 90.0


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Cluster:
    """Starts with two workers of one core and so much memory. What it writes goes to a folder that is removed with it."""

    def __init__(self, workers=2, memory="1200m"):
        self._memory = memory
        self._folder = tempfile.TemporaryDirectory(prefix="tilewise-spark-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self._processes, self._workers = [], []
        port, self._page = free_port(), free_port()
        self.url = f"spark://127.0.0.1:{port}"
        try:
            master = ["--host", "127.0.0.1", "--port", str(port), "--webui-port", str(self._page)]
            self._start("master", ["org.apache.spark.deploy.master.Master", *master])
            self.wait("a master", lambda: self.state() is not None)
            for _ in range(workers):
                self.add_worker()
            self.wait(f"{workers} workers", lambda: self.state()["aliveworkers"] >= workers)
        except BaseException:
            self.stop()
            raise

    def environment(self):
        local = self.folder / "local"
        local.mkdir(exist_ok=True)
        return os.environ | {
            "SPARK_HOME": str(HOME),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_WORKER_DIR": str(self.folder / "work"),
            "SPARK_LOCAL_DIRS": str(local),
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_DAEMON_JAVA_OPTS": QUICK,
            "PYSPARK_PYTHON": sys.executable,
        }

    def _start(self, name, arguments, **environment):
        log = open(self.folder / f"{name}-{len(self._processes)}.log", "w")
        command = [str(HOME / "bin" / "spark-class"), *arguments]
        process = subprocess.Popen(
            command,
            env=self.environment() | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def add_worker(self):
        arguments = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0", "--cores", "1", "--memory", self._memory]
        process = self._start("worker", ["org.apache.spark.deploy.worker.Worker", *arguments, self.url])
        self._workers.append(process)
        return process

    @contextlib.contextmanager
    def connect_server(self):
        """A server of Spark Connect, with a worker of its own as others have theirs taken; its address."""
        worker = self.add_worker()
        port = free_port()
        conf = {**settings(self), "spark.cores.max": 1, "spark.connect.grpc.binding.port": port, "spark.connect.grpc.binding.address": "127.0.0.1"}
        arguments = [f"--conf={key}={value}" for key, value in conf.items()]
        server = "org.apache.spark.sql.connect.service.SparkConnectServer"
        submit = ["org.apache.spark.deploy.SparkSubmit", "--class", server, "--master", self.url, *arguments, "spark-internal"]
        process = self._start("connect", submit, SPARK_DAEMON_MEMORY="1g")

        def listens():
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                return False

        try:
            self.wait("a Connect server", lambda: process.poll() is not None or listens())
            yield f"sc://127.0.0.1:{port}"
        finally:
            self._end(process, worker)

    def state(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._page}/json/", timeout=5) as page:
                return json.load(page)
        # Before it is up nobody listens, and then the page is empty for a while.
        except (OSError, ValueError):
            return None

    def wait(self, what, ready):
        end = time.monotonic() + TOO_LONG
        while not ready():
            if time.monotonic() > end:
                logs = "".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("*.log")))
                raise TimeoutError(f"{what} did not come up in {TOO_LONG:.0f} s\n{logs}")
            time.sleep(0.1)

    def executors(self):
        """Process ids of the JVMs of executors, children of the workers that this cluster started."""
        workers = {process.pid for process in self._processes}
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if parent in workers and b"CoarseGrainedExecutorBackend" in command:
                found.append(int(folder.name))
        return sorted(found)

    def wait_for_executors(self, session, count=2):
        """Until so many run and the driver has heard of them: before it has, no task goes to an executor, for which it may take seconds after
        its process is there."""

        def known():
            listed = session.sparkContext._jsc.sc().statusStore().executorList(True)
            return listed.size() - 1  # the driver

        self.wait(f"{count} executors", lambda: len(self.executors()) == count == known())

    def workers(self):
        """Process ids of the JVMs of workers, each of which starts executors."""
        return sorted(process.pid for process in self._workers if process.poll() is None)

    def _end(self, *processes):
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def stop(self):
        self._end(*reversed(self._processes))
        self._folder.cleanup()


def settings(cluster):
    """What a session on the cluster is started with."""
    return {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.executor.memory": "700m",
        "spark.executor.cores": "1",
        "spark.cores.max": "2",
        "spark.python.unix.domain.socket.enabled": "true",
        "spark.driver.extraJavaOptions": QUICK,
        "spark.executor.extraJavaOptions": QUICK,
        "spark.executorEnv.PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "spark.sql.shuffle.partitions": "2",
        # How long a task waits for the executor that had its rows, where this is gone; three seconds else.
        "spark.locality.wait": "300ms",
        "spark.sql.warehouse.dir": str(cluster.folder / "warehouse"),
    }
