"""Parameters named as in xgboost.spark: rows that are held out by a column, and how many partitions there are."""

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F
from tables import INPUTS, assert_same_model, mixed, single
from tilewise.spark import (
    SparkGBDTClassifier,
    SparkGBDTRegressor,
    SparkLogisticRegression,
    SparkRandomForestClassifier,
    _rounds,
)

NUMBERED = {"features_col": INPUTS, "row_id_col": "key"}


def marked(rows=600):
    """Every fifth row is held out."""
    table = mixed(rows)
    return table.append_column("out", pa.array(np.arange(rows) % 5 == 2))


@pytest.mark.parametrize("label, task", [("word", "classification"), ("score", "regression")])
def test_rows_held_out_by_a_column_are_those_of_one_machine(spark, label, task):
    kind = SparkGBDTClassifier if task == "classification" else SparkGBDTRegressor
    stopping = {"early_stopping": True, "n_iter_no_change": 2, "validation_indicator_col": "out"}
    estimator = kind(**NUMBERED, label_col=label, weight_col="weight", max_iter=8, learning_rate=0.8, max_leaf_nodes=4, **stopping)
    loss = "loss=squared " if task == "regression" else ""
    words = f"{loss}task={task} stages=8 learning_rate=0.8 max_leaves=4 early_stopping=2 l2=0"
    settings = [tuple(word.split("=")) for word in words.split()]
    table = marked()
    want = single("gbdt", settings, table, label, weight="weight", held_out="out")
    drawn = single("gbdt", settings, table, label, weight="weight")
    assert want.validation and want.validation != drawn.validation
    frame = spark.createDataFrame(table)
    for rows in (frame.coalesce(1), frame.repartition(5, F.col("key") % 3)):
        assert estimator.fit(rows).to_bytes() == want.to_bytes()


def test_rows_held_out_that_are_of_no_use_are_told(spark):
    frame = spark.createDataFrame(marked(60)).repartition(2)
    estimator = SparkGBDTRegressor(**NUMBERED, label_col="score", max_iter=2, early_stopping=True)

    def told(rows, **params):
        with pytest.raises(ValueError) as error:
            estimator.fit(rows, {estimator.getParam(name): value for name, value in params.items()})
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "early_stopping=True is needed" in told(frame, validation_indicator_col="out", early_stopping=False)
    assert "needs true and false" in told(frame, validation_indicator_col="word")
    assert "no such column" in told(frame, validation_indicator_col="nowhere")
    assert "two parts" in told(frame, validation_indicator_col="member")
    unknown = frame.withColumn("out", F.when(F.col("key") != 7, F.col("out")))
    assert 'column "out": is missing' in told(unknown, validation_indicator_col="out")
    for every in (True, False):
        rows = frame.withColumn("out", F.lit(every))
        assert "too few rows to hold some out" in told(rows, validation_indicator_col="out")


@pytest.fixture()
def counts(monkeypatch):
    """How many partitions with rows each fit had."""
    found, train = [], _rounds.train

    def heard(trainer, partitions, *more):
        found.append(len(partitions.hashes))
        return train(trainer, partitions, *more)

    monkeypatch.setattr(_rounds, "train", heard)
    return found


def test_rows_are_brought_to_so_many_partitions(spark, counts):
    table = mixed()
    frame = spark.createDataFrame(table)
    linear = SparkLogisticRegression(features_col=INPUTS, label_col="passed", tol=1e-10)
    expected = single("logistic", [("tolerance", "1e-10")], table, "passed")
    # All rows are in one of three.
    lopsided = frame.repartition(3, F.lit(1))
    for rows, params, count in (
        (frame.coalesce(1), {"num_workers": 3}, 3),
        (frame.repartition(5), {"num_workers": 2}, 2),
        (lopsided, {"num_workers": 3}, 1),
        (lopsided, {"num_workers": 3, "force_repartition": True}, 3),
        (lopsided, {}, 1),
    ):
        fitted = linear.fit(rows, {linear.getParam(name): value for name, value in params.items()})
        assert_same_model(fitted.native, expected)
        assert counts.pop() == count, params
    with pytest.raises(ValueError, match="num_workers=0"):
        linear.fit(frame, {linear.num_workers: 0})
    with pytest.raises(ValueError, match="force_repartition=True needs num_workers"):
        linear.fit(frame, {linear.force_repartition: True})


def test_trees_stay_the_same_in_so_many_partitions(spark, counts):
    frame = spark.createDataFrame(mixed())
    forest = SparkRandomForestClassifier(**NUMBERED, label_col="passed", n_estimators=3, max_depth=4)
    words = "task=classification criterion=gini trees=3 max_depth=4 max_features=sqrt"
    want = single("forest", [tuple(word.split("=")) for word in words.split()], mixed(), "passed").to_bytes()
    for rows, more, count in ((frame.coalesce(1), {}, 4), (frame.repartition(4, "word"), {"force_repartition": True}, 4)):
        params = {"num_workers": 4, **more}
        assert forest.fit(rows, {forest.getParam(name): value for name, value in params.items()}).to_bytes() == want
        assert counts.pop() == count
