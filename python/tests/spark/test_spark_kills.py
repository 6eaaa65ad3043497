"""Processes of the cluster that are killed during fits: every fit ends with the bytes of one machine."""

import logging
import os
import random
import signal

import pyarrow.parquet as pq
import pytest
from tables import DEEP, INPUTS, mixed, single
from test_spark_losses import AtRound
from test_spark_trees import python_workers
from tilewise.spark import SparkGBDTClassifier

ESTIMATOR = SparkGBDTClassifier(features_col=INPUTS, label_col="passed", row_id_col="key", max_iter=3, max_leaf_nodes=6)
#: In `make test-deep`.
TRIALS = 20


@pytest.fixture(scope="module")
def want():
    settings = [("task", "classification"), ("stages", "3"), ("max_leaves", "6"), ("l2", "0")]
    return single("gbdt", settings, mixed(), "passed").to_bytes()


@pytest.fixture()
def files(spark, tmp_path):
    """Rows in four files, each a partition."""
    for i in range(4):
        pq.write_table(mixed().slice(150 * i, 150), tmp_path / f"{i}.parquet")
    frames = [spark.read.parquet(str(tmp_path / f"{i}.parquet")) for i in range(4)]
    return frames[0].union(frames[1]).union(frames[2]).union(frames[3])


class Counted(logging.Handler):
    """The rounds of a fit."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.count = 0

    def emit(self, record):
        self.count += record.getMessage().startswith("round ")


def rounds_of(rows):
    log, counted = logging.getLogger("tilewise.spark"), Counted()
    log.addHandler(counted)
    log.setLevel(logging.INFO)
    try:
        ESTIMATOR.fit(rows)
    finally:
        log.removeHandler(counted)
        log.setLevel(logging.NOTSET)
    return counted.count


def kill(cluster, what, draw):
    """One process of a kind."""
    executors = cluster.executors()
    if what == "executor":
        found = executors
    elif what == "worker JVM":
        found = cluster.workers()
    else:
        # An executor that took the place of another may have none yet.
        found = [pid for executor in executors for pid in python_workers(executor)]
    assert found
    os.kill(draw.choice(found), signal.SIGKILL)


def whole(cluster, session):
    """Starts again what is gone, and waits for it."""
    while len(cluster.workers()) < 2:
        cluster.add_worker()
    cluster.wait_for_executors(session)


def test_a_worker_jvm_that_is_killed_costs_its_work_alone(files, spark_cluster, want):
    whole(spark_cluster, files.sparkSession)
    before = spark_cluster.workers()
    with AtRound(7, lambda: kill(spark_cluster, "worker JVM", random.Random(1))):
        assert ESTIMATOR.fit(files).to_bytes() == want
    assert len(set(before) & set(spark_cluster.workers())) == 1
    whole(spark_cluster, files.sparkSession)
    assert ESTIMATOR.fit(files).to_bytes() == want


@DEEP
@pytest.mark.limit(1800)
def test_whatever_is_killed_whenever_the_bytes_are_the_same(files, spark_cluster, want):
    rounds = rounds_of(files)
    assert rounds > 10
    draw = random.Random(20)
    trials = [(what, draw.randint(1, rounds - 1)) for what in ("executor", "worker JVM", "python worker") for _ in range(TRIALS)]
    for what, number in draw.sample(trials, TRIALS):
        whole(spark_cluster, files.sparkSession)
        with AtRound(number, lambda what=what: kill(spark_cluster, what, draw)):
            assert ESTIMATOR.fit(files).to_bytes() == want, (what, number)
        print(f"killed: {what}, after round {number} of {rounds}", flush=True)
    whole(spark_cluster, files.sparkSession)
