"""Fits that go on after their driver was lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tables import INPUTS, mixed, single
from test_spark_losses import AtRound
from tilewise.spark import SparkGBDTClassifier, SparkLogisticRegression
from tilewise.spark._checkpoint import Checkpoint

ESTIMATOR = SparkGBDTClassifier(
    features_col=INPUTS, label_col="passed", row_id_col="key", max_iter=3, max_leaf_nodes=None, max_depth=3, subsample=0.7
)
SETTINGS = "task=classification stages=3 max_leaves=none max_depth=3 subsample=0.7 l2=0"


class Asked(AtRound):
    """Hears after how many rounds a fit went on."""

    def __init__(self):
        super().__init__(0, None)
        self.done, self.kept = True, []

    def emit(self, record):
        super().emit(record)
        if record.getMessage().startswith("went on after"):
            self.kept.append(int(record.args[0]))


@pytest.fixture()
def source(tmp_path):
    """Two files, each a partition, wherever they are read."""
    for i in range(2):
        pq.write_table(mixed().slice(300 * i, 300), tmp_path / f"{i}.parquet")
    return tmp_path


@pytest.fixture()
def frame(spark, source):
    return spark.read.parquet(str(source))


def test_a_driver_that_is_killed_costs_its_round_alone(spark, frame, source, tmp_path):
    expected = single("gbdt", [tuple(word.split("=")) for word in SETTINGS.split()], mixed(), "passed").to_bytes()
    folder = tmp_path / "kept"
    command = [sys.executable, "-P", str(Path(__file__).with_name("checkpoint_fit.py")), str(source), str(folder), "9"]
    path = os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]])
    environment = os.environ | {"PYTHONPATH": path, "PYSPARK_PYTHON": sys.executable}
    # Elsewhere: its workers look into the folder that they are started in.
    ended = subprocess.run(command, env=environment, cwd=tmp_path, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(folder.iterdir())) == 1
    estimator = ESTIMATOR.copy({ESTIMATOR.checkpoint_dir: str(folder)})
    with Asked() as asked:
        assert estimator.fit(frame).to_bytes() == expected
    # The ninth was told of once it was kept.
    assert asked.kept == [9]
    assert list(folder.iterdir()) == []


def test_what_is_torn_or_of_another_fit_counts_as_not_there(frame, tmp_path):
    folder = tmp_path / "kept"
    estimator = SparkLogisticRegression(features_col=INPUTS, label_col="passed", checkpoint_dir=str(folder))
    expected = SparkLogisticRegression(features_col=INPUTS, label_col="passed").fit(frame).to_bytes()

    def stop():
        raise KeyboardInterrupt

    with AtRound(4, stop), pytest.raises(KeyboardInterrupt):
        estimator.fit(frame)
    (kept,) = folder.iterdir()
    kept.write_bytes(kept.read_bytes()[:-3])
    with Asked() as asked:
        other = estimator.copy({estimator.C: 3.0}).fit(frame)
    assert asked.kept == [] and other.to_bytes() != expected
    assert list(folder.iterdir()) == [kept]
    with Asked() as asked:
        assert estimator.fit(frame).to_bytes() == expected
    assert asked.kept == [3]


def test_answers_are_those_that_were_kept(tmp_path):
    rounds = [[b"a", b""], [b"bcd"], [bytes(1000)] * 3]
    about = {"seed": 1}
    with pytest.raises(ZeroDivisionError), Checkpoint(tmp_path, about) as checkpoint:
        assert list(checkpoint.kept()) == []
        for answers in rounds:
            checkpoint.keep(answers)
        with pytest.raises(RuntimeError, match="another fit of the same rows"):
            Checkpoint(tmp_path, about)
        raise ZeroDivisionError
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for end in range(len(whole)):
        file.write_bytes(whole[:end])
        with pytest.raises(ZeroDivisionError), Checkpoint(tmp_path, about) as checkpoint:
            found = list(checkpoint.kept())
            assert found == rounds[: len(found)] and len(found) < 3
            raise ZeroDivisionError
    for at in (0, 7, 20, 40):
        damaged = bytearray(whole)
        damaged[at] ^= 0x80
        file.write_bytes(damaged)
        with Checkpoint(tmp_path, about) as checkpoint:
            assert len(list(checkpoint.kept())) < 3
        assert not file.exists()
