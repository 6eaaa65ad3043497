"""`examples/wsgi.py` under gunicorn: workers share the model's memory, and a worker that is killed loses its own request alone."""

import json
import os
import signal
import socket
import subprocess
import sys
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


class Gunicorn:
    """The example with a model, on a port of its own."""

    def __init__(self, model):
        self.url = f"http://127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "gunicorn", "-w", str(WORKERS), "-b", self.url.removeprefix("http://"), "wsgi:app"]
        environment = {**os.environ, "TILEWISE_MODEL": str(model), "OMP_NUM_THREADS": "1"}
        self.master = subprocess.Popen(command, cwd=EXAMPLES, env=environment, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(self.url + "/v2/health/ready", timeout=10).close()
                break
            except OSError:
                assert self.master.poll() is None and time.monotonic() < until, self.master.stderr.read()
                time.sleep(0.1)
        while len(self.workers()) < WORKERS and time.monotonic() < until:
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.master.terminate()
        self.master.wait(30)
        self.master.stderr.close()

    def workers(self):
        children = Path(f"/proc/{self.master.pid}/task/{self.master.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def ask(self, body):
        request = urllib.request.Request(self.url + "/predict", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def memory(pid):
    """Bytes of a process that are its own alone, and its share of all it uses (private, proportional)."""
    told = Path(f"/proc/{pid}/smaps").read_text().splitlines()
    total = {"Private_Clean": 0, "Private_Dirty": 0, "Pss": 0}
    for line in told:
        name, _, rest = line.partition(":")
        if name in total:
            total[name] += 1024 * int(rest.split()[0])
    return total["Private_Clean"] + total["Private_Dirty"], total["Pss"]


def asked(server, rows):
    """Private and proportional memory of the workers, once each has most likely answered."""
    for _ in range(10 * WORKERS):
        server.ask(rows)
    measured = [memory(pid) for pid in server.workers()]
    assert len(measured) == WORKERS
    return np.array(measured)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A forest of some 100 MB and one of next to nothing."""
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 4))
    y = rng.normal(size=20_000)
    large = tilewise.ExtraTreesRegressor(n_estimators=40, random_state=0).fit(X, y)
    small = tilewise.ExtraTreesRegressor(n_estimators=1, max_depth=2, random_state=0).fit(X, y)
    large.save(folder / "large.safetensors")
    small.save(folder / "small.safetensors")
    return folder, large, X[:3]


def test_four_workers_hold_one_copy_of_the_model(models):
    folder, model, rows = models
    size = (folder / "large.safetensors").stat().st_size
    assert size > 30_000_000
    with Gunicorn(folder / "small.safetensors") as server:
        without = asked(server, rows.tolist())
    with Gunicorn(folder / "large.safetensors") as server:
        assert server.ask(rows.tolist()) == {"predictions": model.predict(rows).tolist()}
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
                    (answered if server.ask(several) == expected else wrong).append(1)
                except OSError as error:
                    lost.append(error)

        clients = [threading.Thread(target=client) for _ in range(6)]
        for each in clients:
            each.start()
        time.sleep(0.3)
        before = server.workers()
        os.kill(before[0], signal.SIGKILL)
        time.sleep(1.5)
        stop.set()
        for each in clients:
            each.join(30)
        after = server.workers()
        assert not wrong and len(answered) > 20
        # A worker of this kind has one request at a time.
        assert len(lost) <= 1, lost
        # The others go on, and another takes its place.
        assert len(after) == WORKERS and set(before[1:]) < set(after) and before[0] not in after


@pytest.fixture
def serve():
    """Starts `tilewise serve` with a model, and gives its address."""
    command = os.environ.get("TILEWISE_COMMAND", str(EXAMPLES.parents[1] / "target/debug/tilewise"))
    if not Path(command).exists():
        pytest.skip(f"the command line is not built: {command}")
    started = []

    def start(model):
        address = f"127.0.0.1:{free_port()}"
        started.append(subprocess.Popen([command, "serve", model, "--bind", address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://{address}/v2/health/ready", timeout=10).close()
                break
            except OSError:
                time.sleep(0.1)
        return f"http://{address}/predict"

    yield start
    for process in started:
        process.terminate()
        process.wait(30)


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
        for body in (rows, rows[0], named, named[0], {"inputs": rows}, {"instances": named}, {"inputs": rows[0]}, [[None, 1.0]]):
            with urllib.request.urlopen(urllib.request.Request(address, json.dumps(body).encode()), timeout=30) as answer:
                assert server.ask(body) == json.load(answer), body


def test_bad_requests_are_told(models):
    folder, _, rows = models
    with Gunicorn(folder / "small.safetensors") as server:
        for body, told in [([[1.0, 2.0]], "features"), ({"inputs": ["a", 1, 2, 3]}, "could not convert"), ([], "a row")]:
            with pytest.raises(urllib.error.HTTPError) as error:
                server.ask(body)
            assert error.value.code == 400 and told in json.load(error.value)["error"]
        named = dict(zip(["x0", "x1", "x2", "x3"], rows[0].tolist()))
        assert server.ask({"inputs": [named]}) == server.ask({"instances": rows[:1].tolist()})
