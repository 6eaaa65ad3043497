"""Fits on a cluster against the fit of one machine."""

import logging

import numpy as np
import pyarrow as pa
import pytest
import tilewise
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F
from tables import INPUTS, answers, assert_same_model, mixed, single
from tilewise.spark import (
    SparkGammaRegressor,
    SparkHuberRegressor,
    SparkLinearRegression,
    SparkLogisticRegression,
    SparkPoissonRegressor,
    SparkRidge,
    SparkTweedieRegressor,
)

HUBER = [("epsilon", "1.2"), ("alpha", "0.01"), ("tolerance", "1e-10")]
CASES = [
    (SparkLinearRegression(), "score", "linear", []),
    (SparkRidge(alpha=2.0, fit_intercept=False, weight_col="weight"), "score", "ridge", [("alpha", "2"), ("intercept", "false")]),
    (SparkLogisticRegression(C=0.5, tol=1e-10, weight_col="weight"), "passed", "logistic", [("C", "0.5"), ("tolerance", "1e-10")]),
    (SparkLogisticRegression(class_weight="balanced", tol=1e-10), "word", "logistic", [("class_weight", "balanced"), ("tolerance", "1e-10")]),
    (SparkPoissonRegressor(alpha=0.01), "count", "poisson", [("alpha", "0.01")]),
    (SparkHuberRegressor(epsilon=1.2, alpha=0.01, tol=1e-10, weight_col="weight"), "score", "huber", HUBER),
]


@pytest.mark.parametrize("estimator, label, family, settings", CASES, ids=lambda x: x if isinstance(x, str) else "")
def test_any_number_of_partitions_gives_the_model_of_one_machine(spark, estimator, label, family, settings):
    table = mixed()
    frame = spark.createDataFrame(table)
    weight = estimator.getOrDefault("weight_col") if estimator.isDefined("weight_col") else None
    expected = single(family, settings, table, label, weight=weight)
    # "rare" is in one row, so all partitions but one lack it. Four values fill at most four of seven partitions.
    divided = [frame.coalesce(1), frame.repartition(4), frame.repartition(7, F.col("key") % 4)]
    estimator = estimator.copy({estimator.features_col: INPUTS, estimator.label_col: label})
    models = [estimator.fit(rows) for rows in divided]
    for model in models:
        assert_same_model(model.native, expected)
    if label == "passed":
        # A shuffle brings rows in any order.
        assert [estimator.fit(divided[1]).to_bytes() for _ in range(2)] == [models[1].to_bytes()] * 2


def test_predictions_are_those_of_the_file(spark, tmp_path):
    table = mixed()
    frame = spark.createDataFrame(table)
    for label, kind in (("passed", bool), ("word", str), ("grade", float), ("score", float)):
        estimator = SparkLinearRegression if label == "score" else SparkLogisticRegression
        model = estimator(features_col=INPUTS, label_col=label, prediction_col="told").fit(frame)
        rows = model.transform(frame).orderBy("key").collect()
        model.save_file(tmp_path / "model.safetensors")
        alone = answers(tmp_path / "model.safetensors", table, INPUTS)
        assert isinstance(rows[0]["told"], kind)
        if label == "score":
            assert [row["told"] for row in rows] == alone[:, 0].tolist()
        else:
            assert np.array_equal([row["probability"].toArray() for row in rows], alone)
            assert [row["told"] for row in rows] == [model.classes[i] for i in alone.argmax(axis=1)]
            assert tilewise.load(tmp_path / "model.safetensors").classes_.tolist() == model.classes
            assert np.mean([row["told"] == row[label] for row in rows]) > 0.7
        assert model.transform(frame.limit(0)).collect() == []


def test_arrays_and_vectors_are_columns_too(spark):
    X = np.random.default_rng(1).normal(size=(200, 3))
    y = X @ [1.0, -1.0, 0.5] + 2
    table = pa.table({**{f"x{i}": X[:, i] for i in range(3)}, "label": y})
    expected = single("linear", [], table, "label", inputs=["x0", "x1", "x2"])
    frame = spark.createDataFrame(table).select(F.array("x0", "x1", "x2").alias("features"), "label").repartition(3)
    vectors = spark.createDataFrame([(Vectors.dense(x), float(t)) for x, t in zip(X, y)], ["features", "label"])
    for rows in (frame, vectors):
        model = SparkLinearRegression().fit(rows)
        assert_same_model(model.native, expected)
        told = model.transform(rows).collect()
        assert max(abs(row["prediction"] - row["label"]) for row in told) < 1e-9
        assert [field.name for field in model.transform(rows).schema] == ["features", "label", "prediction"]
    ragged = spark.createDataFrame([([1.0, 2.0], 1.0), ([1.0], 2.0)], "features array<double>, label double")
    for rows in (ragged.coalesce(1), ragged.repartitionByRange(2, "label")):
        with pytest.raises(ValueError, match="1 numbers in one row and 2 in another"):
            SparkLinearRegression().fit(rows)


def test_numbers_of_arrays_get_names_that_no_other_column_has(spark):
    rows = [([float(i), float(i * i % 7)], 2.0 * i, 1.0 + i % 2) for i in range(40)]
    expected = None
    for label, weight, stem in (("label", "x", "x"), ("x7", "weight", "features_"), ("x1", "features_0", "features__")):
        frame = spark.createDataFrame(rows, ["features", label, weight])
        model = SparkLinearRegression(label_col=label, weight_col=weight).fit(frame)
        assert [name for name, _ in model.native.inputs] == [f"{stem}0", f"{stem}1"]
        told = [row["prediction"] for row in model.transform(frame).orderBy(label).collect()]
        expected = expected or told
        assert told == expected


def test_what_is_wrong_is_told_in_a_line(spark):
    frame = spark.createDataFrame(mixed(40)).repartition(2)
    linear = SparkLinearRegression(features_col=INPUTS, label_col="score")

    def told(estimator, rows, **params):
        params = {estimator.getParam(name): value for name, value in params.items()}
        with pytest.raises(ValueError) as error:
            estimator.fit(rows, params)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "column 'nowhere': there is no such column; there are a, b" in told(linear, frame, label_col="nowhere")
    assert "'nothing'" in told(linear, frame, features_col=["a", "nothing"])
    assert "column 'word' holds string; the label of a regression must be a number" in told(linear, frame, label_col="word")
    assert "two parts" in told(linear, frame, label_col="a")
    assert "names a column twice" in told(linear, frame, features_col=["a", "a"])
    dated = frame.withColumn("a", F.current_date())
    assert "column 'a' holds date; numbers, text" in told(linear, dated)
    missing = frame.withColumn("score", F.when(F.col("key") != 7, F.col("score")))
    assert 'column "score": is missing; the target of a regression must be a finite number' in told(linear, missing)
    assert told(linear, missing).startswith("partition ")
    broken = frame.withColumn("score", F.when(F.col("key") == 7, float("nan")).otherwise(F.col("score")))
    assert "is missing" in told(linear, broken)
    classes = SparkLogisticRegression(features_col=INPUTS, label_col="passed")
    unknown = frame.withColumn("passed", F.when(F.col("key") != 7, F.col("passed")))
    assert "the class is missing" in told(classes, unknown)
    assert "in every row: there is nothing to learn" in told(classes, frame.filter("passed"))
    assert "no rows" in told(linear, frame.filter("key < 0"))
    assert "only one row" in told(linear, frame.filter("key = 3"))
    assert 'column "b": inf is not a finite number' in told(linear, frame.withColumn("b", F.lit(float("inf"))))
    assert "set impute=true" in told(linear, frame, impute=False)
    assert "parameter C: -1" in told(classes, frame, C=-1.0)
    counts = SparkGammaRegressor(features_col=INPUTS, label_col="count")
    assert "gamma regression takes finite numbers above 0" in told(counts, frame)
    power = SparkTweedieRegressor(features_col=INPUTS, label_col="count", power=0.5)
    assert "0, or a number of 1 or more" in told(power, frame)


def test_rounds_are_told(spark, capsys, caplog):
    frame = spark.createDataFrame(mixed(100)).repartition(2)
    estimator = SparkLogisticRegression(features_col=INPUTS, label_col="passed", verbose=True)
    with caplog.at_level(logging.INFO, "tilewise.spark"):
        estimator.fit(frame)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("round ")]
    assert lines == [record.message for record in caplog.records]
    assert lines[0] == "round 1: means and dictionaries" and "loss" in lines[-1]


def test_a_fit_that_does_not_converge_says_so(spark):
    frame = spark.createDataFrame(mixed(100)).repartition(2)
    with pytest.warns(UserWarning, match="did not converge: the limit of 2"):
        SparkLogisticRegression(features_col=INPUTS, label_col="passed", max_iter=2).fit(frame)
