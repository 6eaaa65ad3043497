"""One cluster and one session for all tests of a run, and a time limit for each test: whoever waits for ever fails, and says where."""

import contextlib
import os
import signal
import sys

import cluster
import pytest
from pyspark.sql import SparkSession


#: Seconds. Most tests take a tenth of it on two cores.
LIMIT = 150


class Late(BaseException):
    """A test takes longer than it may. No `except Exception` of what is tested, and no `pytest.raises(Exception)`, takes it for its own."""


@contextlib.contextmanager
def within(seconds):
    """Ends what takes longer, by an exception where it is."""

    def late(*_):
        raise Late(f"not done in {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    marker = item.get_closest_marker("limit")
    with within(marker.args[0] if marker else LIMIT):
        yield


def pytest_configure(config):
    config.addinivalue_line("markers", f"limit(seconds): how long a test may take, {LIMIT} where nothing is said")
    # Whoever ends this run by a signal ends the cluster too.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("ended by SIGTERM", returncode=1))


@pytest.fixture(scope="session")
def spark_cluster():
    started = cluster.Cluster()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def spark(spark_cluster):
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(spark_cluster.url).appName("tilewise")
    for key, value in cluster.settings(spark_cluster).items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
