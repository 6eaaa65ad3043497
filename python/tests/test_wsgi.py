"""`examples/wsgi.py` under gunicorn: workers share the model's memory, and a worker that is killed loses its own request alone."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tilewise

pytest.importorskip("flask")
pytest.importorskip("gunicorn")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")

EXAMPLES = Path(__file__).parents[1] / "examples"
WORKERS = 4


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def opened(address, body=None, timeout=30):
    """The answer of a server on this machine, whatever proxy the environment names."""
    data = None if body is None else json.dumps(body).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(address, data), timeout=timeout) as answer:
        return answer.read()


def until(what, condition, seconds=60):
    """Waits until it is so, for so long at most."""
    late = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < late, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def is_ready(url):
    with contextlib.suppress(OSError):
        opened(url + "/v2/health/ready", timeout=10)
        return True
    return False


def ended(process):
    """Ends a process, and kills it where it does not."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Gunicorn:
    """The example with a model, on a port of its own."""

    def __init__(self, model):
        self.url = f"http://127.0.0.1:{free_port()}"
        # A file: a pipe that nobody reads fills, and one that workers hold has no end.
        self.told = tempfile.TemporaryFile("w+")
        # Who answered, by the numbers of processes.
        self.log = tempfile.NamedTemporaryFile("r")
        told = ["--access-logfile", self.log.name, "--access-logformat", "%(p)s"]
        command = [sys.executable, "-m", "gunicorn", "-w", str(WORKERS), "-b", self.url.removeprefix("http://"), *told, "wsgi:app"]
        environment = {**os.environ, "TILEWISE_MODEL": str(model), "OMP_NUM_THREADS": "1"}
        self.master = subprocess.Popen(command, cwd=EXAMPLES, env=environment, stderr=self.told)

    def __enter__(self):
        try:
            until("an answer", lambda: is_ready(self.url) or self.master.poll() is not None)
            assert self.master.poll() is None, "gunicorn has ended"
            until("all workers", lambda: len(self.workers()) == WORKERS)
        except BaseException:
            self.master.kill()
            self.master.wait()
            self.told.seek(0)
            print(self.told.read(), file=sys.stderr)
            self.told.close()
            self.log.close()
            raise
        return self

    def __exit__(self, *_):
        ended(self.master)
        self.told.close()
        self.log.close()

    def workers(self):
        children = Path(f"/proc/{self.master.pid}/task/{self.master.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def answered(self):
        return {int(pid.strip("<>")) for pid in Path(self.log.name).read_text().split()}

    def ask(self, body):
        return json.loads(opened(self.url + "/predict", body))


def memory(pid):
    """Bytes of a process that are its own alone, and its share of all it uses (private, proportional)."""
    told = Path(f"/proc/{pid}/smaps").read_text().splitlines()
    total = {"Private_Clean": 0, "Private_Dirty": 0, "Pss": 0}
    for line in told:
        name, _, rest = line.partition(":")
        if name in total:
            total[name] += 1024 * int(rest.split()[0])
    return total["Private_Clean"] + total["Private_Dirty"], total["Pss"]


def has_mapped(pid, name):
    return name in Path(f"/proc/{pid}/maps").read_text()


def asked(server, rows):
    """Private and proportional memory of the workers, once each has answered."""
    until("an answer of each", lambda: server.ask(rows) and set(server.workers()) <= server.answered())
    measured = [memory(pid) for pid in server.workers()]
    assert len(measured) == WORKERS
    return np.array(measured)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A forest of 64 MB and one of next to nothing."""
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 4))
    y = rng.normal(size=20_000)
    large = tilewise.ExtraTreesRegressor(n_estimators=40, random_state=0).fit(X, y)
    small = tilewise.ExtraTreesRegressor(n_estimators=1, max_depth=2, random_state=0).fit(X, y)
    large.save(folder / "large.safetensors")
    small.save(folder / "small.safetensors")
    (folder / "large.safetensors").chmod(0o444)
    return folder, large, X[:3]


def test_four_workers_hold_one_copy_of_the_model(models):
    folder, model, rows = models
    size = (folder / "large.safetensors").stat().st_size
    assert size > 30_000_000
    with Gunicorn(folder / "small.safetensors") as server:
        without = asked(server, rows.tolist())
    with Gunicorn(folder / "large.safetensors") as server:
        assert server.ask(rows.tolist()) == {"predictions": model.predict(rows).tolist()}
        # Each maps it for itself: none has it from the one that forked them.
        assert not has_mapped(server.master.pid, "large.safetensors")
        until("all have", lambda: all(has_mapped(pid, "large.safetensors") for pid in server.workers()))
        with_model = asked(server, rows.tolist())
    private, proportional = (with_model - without).mean(axis=0)
    # What is a worker's own because of the model, and its share of the model beside four others: the rest is shared.
    assert private < 0.05 * size, (private, size)
    assert proportional < size, (proportional, size)
    print(f"a model of {size / 1e6:.0f} MB: {private / 1e6:.1f} MB private, {proportional / 1e6:.1f} MB proportional per worker")


def test_a_killed_worker_loses_its_own_request_alone(models):
    folder, _, rows = models
    one, several = rows[0].tolist(), rows.tolist()
    lost, wrong, answered, stop = [], [], [], threading.Event()
    with Gunicorn(folder / "small.safetensors") as server:
        expected = server.ask(several)
        assert server.ask(one) == {"prediction": expected["predictions"][0]}

        def client():
            while not stop.is_set():
                try:
                    answer = server.ask(several)
                    (answered if answer == expected else wrong).append(answer)
                except Exception as error:
                    gone = isinstance(error, (OSError, http.client.HTTPException)) and not isinstance(error, urllib.error.HTTPError)
                    (lost if gone else wrong).append(error)

        clients = [threading.Thread(target=client, daemon=True) for _ in range(6)]
        try:
            for each in clients:
                each.start()
            until("20 answers", lambda: len(answered) >= 20)
            before = server.workers()
            os.kill(before[0], signal.SIGKILL)
            # The others go on, and another takes its place.
            until("another worker", lambda: len(server.workers()) == WORKERS and before[0] not in server.workers())
            enough = len(answered) + 20
            until("20 answers more", lambda: len(answered) >= enough)
            assert set(before[1:]) < set(server.workers())
        finally:
            stop.set()
            for each in clients:
                if each.ident is not None:
                    each.join(40)
        assert not any(each.is_alive() for each in clients)
        assert not wrong, wrong[:3]
        # A worker of this kind has one request at a time.
        assert len(lost) <= 1, lost


@pytest.fixture
def serve():
    """Starts `tilewise serve` with a model, and gives its address."""
    command = os.environ.get("TILEWISE_COMMAND", str(EXAMPLES.parents[1] / "target/debug/tilewise"))
    if not Path(command).exists():
        pytest.skip(f"the command line is not built: {command}")
    started = []

    def start(model):
        address = f"127.0.0.1:{free_port()}"
        server = subprocess.Popen([command, "serve", model, "--bind", address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started.append(server)
        until("an answer", lambda: is_ready(f"http://{address}") or server.poll() is not None)
        assert server.poll() is None, f"tilewise serve has ended with {server.returncode}"
        return f"http://{address}/predict"

    yield start
    for process in started:
        ended(process)


def refusal(ask, body):
    """What a server says to what it refuses."""
    with pytest.raises(urllib.error.HTTPError) as error:
        ask(body)
    assert error.value.code == 400
    return json.load(error.value)["error"]


@pytest.mark.parametrize("kind", ["numbers", "whole", "texts", "booleans"])
def test_the_server_answers_as_the_example_does(kind, serve, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = {"numbers": X[:, 0], "whole": np.arange(60) % 3, "texts": np.array(["no", "yes"])[np.arange(60) % 2], "booleans": X[:, 0] > 0}[kind]
    model = tilewise.DecisionTreeRegressor if kind == "numbers" else tilewise.RandomForestClassifier
    model(max_depth=3, random_state=0).fit(pd.DataFrame(X, columns=["a", "b"]), y).save(tmp_path / "m")
    address = serve(tmp_path / "m")
    rows = X[:4].tolist()
    named = [{"b": b, "a": a} for a, b in rows]
    with Gunicorn(tmp_path / "m") as server:
        for body in (rows, rows[0], named, named[0], {"inputs": rows}, {"instances": named}, {"inputs": rows[0]}, [[None, 1.0]], [rows[0], named[1]], []):
            assert server.ask(body) == json.loads(opened(address, body)), body
        for body in ([named[0], {"a": 1.0}], {"b": 1.0}, {"a": 1.0, "b": 2.0, "c": 3.0}, [named[0], {"a": 1.0, "c": 3.0}]):
            told = refusal(server.ask, body)
            assert told in refusal(lambda body: opened(address, body), body) and told.startswith("column"), body
        for body in (float("nan"), [float("nan"), 1.0], [rows[0], 3.0], "rows", [rows[0][:1]]):
            assert refusal(server.ask, body) and refusal(lambda body: opened(address, body), body), body
        assert opened(server.url + "/v2/health/live") == b""


def test_rows_with_text_are_answered_as_the_server_does(serve, tmp_path):
    rows = [["private", 39.0, True], ["public", None, False], [None, 20.0, True]] * 20
    frame = pd.DataFrame(rows, columns=["work", "age", "member"]).astype({"member": bool})
    tilewise.RandomForestClassifier(n_estimators=5, random_state=0).fit(frame, np.arange(60) % 3).save(tmp_path / "m")
    address = serve(tmp_path / "m")
    named = [dict(zip(frame.columns, row)) for row in rows]
    with Gunicorn(tmp_path / "m") as server:
        for body in (rows[:4], rows[0], named[:4], [rows[0], named[1]], {"inputs": rows[:3]}):
            assert server.ask(body) == json.loads(opened(address, body)), body


def test_bad_requests_are_told(models):
    folder, _, _ = models
    with Gunicorn(folder / "small.safetensors") as server:
        for body, told in [([[1.0, 2.0]], "features"), ({"inputs": ["a", 1, 2, 3]}, "could not convert"), (3, "a row")]:
            assert told in refusal(server.ask, body)


def test_columns_of_models_without_names_are_told_by_number(models):
    folder, model, rows = models
    with Gunicorn(folder / "large.safetensors") as server:
        row = rows[0].tolist()
        named = dict(zip(["x0", "x1", "x2", "x3"], row))
        expected = {"predictions": model.predict(rows[:1]).tolist()}
        assert server.ask({"inputs": [named]}) == server.ask({"instances": [row]}) == expected
        swapped = dict(reversed(named.items()))
        assert server.ask([swapped]) == expected
        # The answer to other numbers is another, so the order counts.
        assert server.ask([row[::-1]]) != expected
        assert 'column "a" is not one of the model\'s inputs: "x0", "x1", "x2", "x3"' in refusal(server.ask, {**named, "a": 1.0})
        others = dict(zip("dcba", row))
        assert 'column "d" is not one' in refusal(server.ask, others)
        assert refusal(server.ask, [named, {"x0": 1.0, "x1": 2.0, "x3": 3.0}]) == 'column "x2" is not given; a missing value is null'
