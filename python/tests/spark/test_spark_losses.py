"""What is lost during a fit: an executor, the files of partitions; and sources that give other rows when they are read again."""

import logging
import os
import random
import signal
import subprocess
import sys
import warnings

import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F
from tables import INPUTS, mixed
from tilewise.spark import SparkLogisticRegression, _rounds


class AtRound(logging.Handler):
    """Does something once, after a round of a fit."""

    def __init__(self, number, action):
        super().__init__(logging.INFO)
        self.start, self.action, self.done = f"round {number}", action, False

    def emit(self, record):
        if not self.done and record.getMessage().startswith(self.start):
            self.done = True
            self.action()

    def __enter__(self):
        self.log = logging.getLogger("tilewise.spark")
        self.log.addHandler(self)
        self.log.setLevel(logging.INFO)
        return self

    def __exit__(self, kind, *_):
        self.log.removeHandler(self)
        self.log.setLevel(logging.NOTSET)
        # What was raised says more than that a round never came.
        assert self.done or kind is not None


@pytest.fixture()
def rows(spark, tmp_path):
    """A table in four files, each a partition."""
    table = mixed()
    for i in range(4):
        pq.write_table(table.slice(150 * i, 150), tmp_path / f"{i}.parquet")
    # Files that are small would be read together.
    frames = [spark.read.parquet(str(tmp_path / f"{i}.parquet")) for i in range(4)]
    return frames[0].union(frames[1]).union(frames[2]).union(frames[3])


ESTIMATOR = SparkLogisticRegression(features_col=INPUTS, label_col="passed", tol=1e-10)


def stored(cluster):
    return sorted((cluster.folder / "local").rglob("tilewise-*"))


@pytest.fixture()
def files(spark_cluster):
    """What fits have stored since the test began. Of a worker JVM that another test killed there may be something left."""
    before = set(stored(spark_cluster))
    return lambda: [path for path in stored(spark_cluster) if path not in before]


def test_an_executor_that_is_killed_costs_its_work_alone(rows, spark_cluster, files):
    expected = ESTIMATOR.fit(rows).to_bytes()
    before = spark_cluster.executors()
    assert len(before) == 2
    with AtRound(3, lambda: os.kill(before[0], signal.SIGKILL)):
        assert ESTIMATOR.fit(rows).to_bytes() == expected
    spark_cluster.wait_for_executors(rows.sparkSession)
    assert spark_cluster.executors() != before
    # What the one that is gone had stored goes with the next fit, if not before.
    assert ESTIMATOR.fit(rows).to_bytes() == expected
    assert files() == []


@pytest.mark.parametrize("directly", [True, False])
def test_fits_that_fail_leave_no_files(spark, files, tmp_path, request, directly):
    for i in range(4):
        pq.write_table(mixed().slice(150 * i, 150), tmp_path / f"{i}.parquet")
    largest = "spark.sql.files.maxPartitionBytes"
    before = spark.conf.get(largest)
    spark.conf.set(largest, str(max(path.stat().st_size for path in tmp_path.iterdir())))
    request.addfinalizer(lambda: spark.conf.set(largest, before))
    frame = spark.read.parquet(str(tmp_path))
    assert frame.rdd.getNumPartitions() == 4
    estimator = ESTIMATOR.copy({ESTIMATOR.read_directly: directly})
    seen = []

    def stop():
        seen.extend(files())
        raise KeyboardInterrupt

    with AtRound(3, stop), pytest.raises(KeyboardInterrupt):
        estimator.fit(frame)
    assert seen and files() == []
    # One task fails again and again, where others have stored their rows.
    last = tmp_path / "3.parquet"
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(OSError, match="3.parquet"):
        estimator.fit(frame)
    assert files() == []


def test_what_is_left_of_fits_that_are_over_goes_with_the_next(rows, files, monkeypatch):
    """Also what a process that was killed had begun to write, and what is in the folder of an executor that is gone."""
    monkeypatch.setattr(_rounds.Partitions, "_forget", lambda *_: None)
    ESTIMATOR.fit(rows)
    left = files()
    assert len(left) >= 4
    begun = left[0].with_name(f".{left[0].name}.123.0.tmp")
    beside = left[0].parent.with_name("blockmgr-gone")
    beside.mkdir()
    for path in (begun, beside / left[0].name):
        path.write_bytes(b"")
    monkeypatch.undo()
    ESTIMATOR.fit(rows)
    assert files() == []
    assert not begun.exists()
    beside.rmdir()


def test_rows_whose_files_are_gone_are_stored_again(rows, files):
    expected = ESTIMATOR.fit(rows).to_bytes()
    found = []

    def remove():
        found.extend(files())
        for path in found:
            path.unlink()

    # Those of four partitions and what was derived from them; after a fit nothing is left of any.
    with AtRound(4, remove):
        assert ESTIMATOR.fit(rows).to_bytes() == expected
    assert len(found) == 8
    assert files() == []


def test_a_source_that_gives_other_rows_is_refused(rows, files):
    other = rows.withColumn("a", F.udf(lambda: random.random(), "double").asNondeterministic()())

    def remove():
        for path in files():
            path.unlink()

    with AtRound(3, remove), pytest.raises(RuntimeError, match="its rows are not what they were"):
        ESTIMATOR.fit(other)
    assert files() == []


def test_slow_settings_are_told(spark, rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ESTIMATOR.fit(rows)
    slow = {"spark.executor.cores": "4", "spark.python.worker.reuse": "false"}
    with pytest.warns(UserWarning) as told:
        _rounds.advise(slow.get)
    for word in ("spark.python.unix.domain.socket.enabled=true", "spark.task.cpus=4", "spark.python.worker.reuse=true"):
        assert word in str(told[0].message)
    # Without the setting an executor has what it was given: one core, here, and a standalone cluster gives all of a worker.
    assert _rounds.cores_of_executors(spark) == 1
    with pytest.warns(UserWarning, match="spark.task.cpus=8, the cores of an executor"):
        _rounds.advise({"spark.python.unix.domain.socket.enabled": "true"}.get, 8)


def test_executors_without_the_package_are_told_of(spark):
    class Broken:
        def toArrow(self):
            raise Exception("PythonException: ...\nModuleNotFoundError: No module named 'tilewise'")

    with pytest.raises(RuntimeError, match="executors have no package 'tilewise'"):
        _rounds.collected(Broken())


def test_what_executors_import_has_no_scikit_learn():
    """It takes a second of each Python process; all names are there for those who ask for them."""
    words = "import sys, tilewise.spark._worker, tilewise.spark as all; assert 'sklearn' not in sys.modules; [getattr(all, x) for x in all.__all__]"
    subprocess.run([sys.executable, "-P", "-c", words], check=True, timeout=60)
