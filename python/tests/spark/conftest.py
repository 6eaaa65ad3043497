"""One cluster and one session for all tests of a run."""

import os
import signal
import sys

import cluster
import pytest
from pyspark.sql import SparkSession


def pytest_configure(config):
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
