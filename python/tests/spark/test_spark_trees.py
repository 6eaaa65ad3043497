"""Trees, forests and boosted trees: the bytes of one machine, however rows are divided and whatever is lost."""

import inspect
import os
import signal
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tilewise
from pyspark.sql import functions as F
from tables import INPUTS, answers, mixed, single
from test_spark_losses import AtRound, stored
from tilewise.spark import (
    SparkDecisionTreeClassifier,
    SparkDecisionTreeRegressor,
    SparkExtraTreesClassifier,
    SparkExtraTreesRegressor,
    SparkGBDTClassifier,
    SparkGBDTRegressor,
    SparkRandomForestClassifier,
    SparkRandomForestRegressor,
)

NUMBERED = {"features_col": INPUTS, "row_id_col": "key"}
CASES = [
    (
        SparkGBDTClassifier(max_iter=2, max_leaf_nodes=5, weight_col="weight", random_state=3),
        "word",
        "gbdt",
        "task=classification stages=2 max_leaves=5 l2=0",
    ),
    (
        SparkGBDTRegressor(max_iter=3, max_leaf_nodes=None, max_depth=3, subsample=0.8, monotonic_cst={"a": 1}),
        "score",
        "gbdt",
        "task=regression loss=squared stages=3 max_leaves=none max_depth=3 subsample=0.8 monotone=a:up l2=0",
    ),
    (
        SparkGBDTRegressor(loss="poisson", max_iter=6, max_leaf_nodes=4, early_stopping=True, n_iter_no_change=2),
        "count",
        "gbdt",
        "task=regression loss=poisson stages=6 max_leaves=4 early_stopping=2 l2=0",
    ),
    (SparkRandomForestClassifier(n_estimators=6), "passed", "forest", "task=classification criterion=gini trees=6 max_features=sqrt"),
    (
        SparkRandomForestRegressor(n_estimators=3, max_depth=5, weight_col="weight", max_samples=0.5),
        "score",
        "forest",
        "task=regression criterion=squared trees=3 max_depth=5 max_features=all max_samples=0.5",
    ),
    (
        SparkExtraTreesRegressor(n_estimators=3, max_depth=4),
        "score",
        "extra-trees",
        "task=regression criterion=squared trees=3 max_depth=4 max_features=all",
    ),
    (SparkDecisionTreeClassifier(max_leaf_nodes=9), "grade", "tree", "task=classification criterion=gini max_leaves=9"),
    (SparkDecisionTreeRegressor(min_samples_leaf=5), "score", "tree", "task=regression criterion=squared min_samples_leaf=5"),
]


def expected(estimator, label, family, settings):
    settings = [tuple(word.split("=")) for word in settings.split()]
    weight = estimator.getOrDefault("weight_col") if estimator.isDefined("weight_col") else None
    return single(family, settings, mixed(), label, weight=weight, seed=estimator.getOrDefault("random_state")).to_bytes()


@pytest.mark.parametrize("estimator, label, family, settings", CASES, ids=lambda x: x if isinstance(x, str) else "")
def test_any_division_of_rows_gives_the_bytes_of_one_machine(spark, estimator, label, family, settings):
    frame = spark.createDataFrame(mixed())
    names = {estimator.getParam(name): value for name, value in NUMBERED.items()}
    estimator = estimator.copy(names | {estimator.label_col: label})
    want = expected(estimator, label, family, settings)
    # Rows that follow each other, in one partition and in four; scattered over seven, of which three have none.
    for rows in (frame.coalesce(1), frame.repartitionByRange(4, "key"), frame.repartition(7, F.col("key") % 4)):
        model = estimator.fit(rows)
        assert model.to_bytes() == want


def test_cuts_of_a_sample_are_those_of_one_machine(spark, tmp_path):
    """Above 200,000 rows they are taken from those that a function of their numbers chooses."""
    count = 210_000
    x, z = np.random.default_rng(6).random((2, count))
    table = pa.table({"x": x, "z": z, "y": x * z, "key": np.arange(count)})
    for i in range(3):
        pq.write_table(table.slice(70_000 * i, 70_000), tmp_path / f"{i}.parquet")
    estimator = SparkDecisionTreeRegressor(features_col=["x", "z"], label_col="y", row_id_col="key", max_depth=5)
    settings = [tuple(word.split("=")) for word in "task=regression criterion=squared max_depth=5".split()]
    want = single("tree", settings, table, "y", ["x", "z"]).to_bytes()
    rows = spark.read.parquet(str(tmp_path))
    for divided in (rows, rows.repartition(4, F.col("key") % 3)):
        assert estimator.fit(divided).to_bytes() == want


def test_rows_without_numbers_are_told_of_and_fit_the_same_each_time(spark):
    frame = spark.createDataFrame(mixed()).repartition(3, "key")
    estimator = SparkGBDTClassifier(features_col=INPUTS, label_col="passed", max_iter=2, max_leaf_nodes=6)
    with pytest.warns(UserWarning, match="without row_id_col"):
        # In whatever order a partition has its rows.
        orders = frame, frame.sortWithinPartitions(F.desc("key"))
        models = [estimator.fit(rows).to_bytes() for rows in orders]
    assert models[0] == models[1]


def test_numbers_of_rows_that_are_none_are_refused(spark):
    frame = spark.createDataFrame(mixed(60)).repartition(2)
    estimator = SparkGBDTRegressor(**NUMBERED, label_col="score", max_iter=2)

    def told(column):
        with pytest.raises(ValueError) as error:
            estimator.fit(frame.withColumn("key", column))
        assert "\n" not in str(error.value)
        return str(error.value)

    key = F.col("key")
    assert "there are 60, and numbers go from 0 to 118" in told(key * 2)
    assert "numbers go from 1 to 60; 0, 1 and so on" in told(key + 1)
    # Next to all rows would be sent to one partition.
    assert "from 0 to 8589934650" in told(F.when(key < 30, key).otherwise(key + 2**33 - 1))
    assert "is the number of another row" in told(F.floor(key / 2))
    assert "is not the number of a row" in told(key + 0.5)
    assert "is not the number of a row" in told(F.when(key != 3, key))
    assert "row_id_col needs whole numbers" in told(F.col("word"))
    with pytest.raises(ValueError, match="no other part"):
        estimator.fit(frame, {estimator.row_id_col: "a"})
    assert "holds string; row_id_col" in told(F.lit("x"))


def test_what_is_no_sum_is_refused_before_rows_are_read(spark):
    frame = spark.createDataFrame(mixed(40))
    for change, word in (
        ({"loss": "absolute_error"}, "in rounds auto, squared, logistic"),
        ({"max_bins": 1}, "max_bins"),
        ({"monotonic_cst": {"nothing": 1}}, "nothing"),
        ({"monotonic_cst": [1]}, "by names of columns"),
        ({"random_state": -1}, "random_state=-1"),
        ({"learning_rate": 2.0}, "learning_rate"),
        ({"loss": "log_loss"}, "is of classes"),
    ):
        with pytest.raises(ValueError, match=word):
            SparkGBDTRegressor(**NUMBERED, label_col="score", **change).fit(frame)


def test_the_file_is_that_of_one_machine(spark, tmp_path):
    frame = spark.createDataFrame(mixed())
    model = SparkRandomForestClassifier(**NUMBERED, label_col="word", n_estimators=5).fit(frame)
    model.save_file(tmp_path / "forest.safetensors")
    rows = model.transform(frame).orderBy("key").collect()
    alone = answers(tmp_path / "forest.safetensors", mixed(), INPUTS)
    assert np.array_equal([row["probability"].toArray() for row in rows], alone)
    assert np.mean([row["prediction"] == row["word"] for row in rows]) > 0.9
    assert abs(model.feature_importances.sum() - 1) < 1e-12 and model.feature_importances.argmax() == 0
    assert tilewise.load(tmp_path / "forest.safetensors").classes_.tolist() == model.classes
    told = subprocess.run(
        [os.environ["TILEWISE_COMMAND"], "inspect", "--model", tmp_path / "forest.safetensors"], capture_output=True, text=True, check=True
    )
    assert "5 trees" in told.stdout


BOOSTING = {
    "learning_rate": 0.3, "max_iter": 7, "max_leaf_nodes": 9, "max_depth": 4, "min_samples_leaf": 3, "l2_regularization": 0.5,
    "max_features": 0.5, "max_bins": 63, "subsample": 0.5, "monotonic_cst": {"a": -1}, "early_stopping": True,
    "validation_fraction": 0.2, "n_iter_no_change": 4,
}  # fmt: skip
BOOSTED = {
    "learning_rate": "0.3", "stages": "7", "max_leaves": "9", "max_depth": "4", "min_samples_leaf": "3", "l2": "0.5",
    "max_features": "0.5", "max_bins": "63", "subsample": "0.5", "monotone": "a:down", "early_stopping": "4", "validation": "0.2",
}  # fmt: skip
GROWING = {
    "criterion": "entropy", "max_depth": 4, "min_samples_split": 6, "min_samples_leaf": 3, "max_features": "log2", "max_leaf_nodes": 9,
    "min_impurity_decrease": 0.25, "ccp_alpha": 0.125, "monotonic_cst": {"a": 1}, "max_bins": 63,
}  # fmt: skip
GROWN = {
    "criterion": "entropy", "max_depth": "4", "min_samples_split": "6", "min_samples_leaf": "3", "max_features": "log2",
    "max_leaves": "9", "min_impurity_decrease": "0.25", "ccp_alpha": "0.125", "monotone": "a:up", "max_bins": "63",
}  # fmt: skip


@pytest.mark.parametrize(
    "kind, given, settings",
    [
        (SparkGBDTClassifier, BOOSTING | {"class_weight": "balanced"}, BOOSTED | {"class_weight": "balanced"}),
        (SparkGBDTRegressor, BOOSTING | {"loss": "gamma"}, BOOSTED | {"loss": "gamma"}),
        (SparkRandomForestClassifier, GROWING | {"n_estimators": 3, "bootstrap": False}, GROWN | {"trees": "3", "bootstrap": "false"}),
        (
            SparkExtraTreesClassifier,
            GROWING | {"n_estimators": 3, "bootstrap": True, "max_samples": 7},
            GROWN | {"trees": "3", "bootstrap": "true", "max_samples": "7"},
        ),
        (SparkDecisionTreeClassifier, GROWING | {"splitter": "random"}, GROWN | {"splitter": "random"}),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_every_parameter_arrives(kind, given, settings):
    task = "regression" if "Regressor" in kind.__name__ else "classification"
    assert dict(kind(**given)._settings()) == settings | {"task": task}
    # None means no limit, also in a grid of parameters.
    none = dict(kind(max_features=None, max_leaf_nodes=None, max_depth=None)._settings())
    assert (none["max_features"], none.get("max_leaves", "none"), "max_depth" in none) == ("all", "none", False)
    estimator = kind()
    changed = dict(estimator.copy({estimator.max_depth: None, estimator.max_features: None})._settings())
    assert changed["max_features"] == "all" and "max_depth" not in changed


def test_constructors_say_what_they_take():
    taken = inspect.signature(SparkGBDTRegressor).parameters
    assert (taken["max_iter"].default, taken["row_id_col"].default, taken["features_col"].default) == (100, None, "features")
    assert "probability_col" not in taken and "probability_col" in inspect.signature(SparkGBDTClassifier).parameters
    with pytest.raises(TypeError, match="no parameter 'max_itter'; there are .*max_iter"):
        SparkGBDTRegressor(max_itter=3)
    with pytest.raises(TypeError, match="no parameter 'probability_col'"):
        SparkGBDTRegressor(probability_col="p")


def test_balanced_classes_are_those_of_one_machine(spark):
    estimator = SparkGBDTClassifier(**NUMBERED, label_col="word", max_iter=2, max_leaf_nodes=5, class_weight="balanced")
    want = expected(estimator, "word", "gbdt", "task=classification stages=2 max_leaves=5 class_weight=balanced l2=0")
    assert estimator.fit(spark.createDataFrame(mixed()).orderBy(F.desc("key"))).to_bytes() == want


@pytest.fixture()
def files(spark, tmp_path):
    """Rows in four files, each a partition."""
    table = mixed()
    for i in range(4):
        pq.write_table(table.slice(150 * i, 150), tmp_path / f"{i}.parquet")
    frames = [spark.read.parquet(str(tmp_path / f"{i}.parquet")) for i in range(4)]
    return frames[0].union(frames[1]).union(frames[2]).union(frames[3])


def python_workers(executor):
    """The Python processes below an executor that rows are sent to."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    processes = [line.split(None, 2) for line in listed.splitlines()]
    below, found = [str(executor)], []
    while below:
        parents, below = below, []
        for pid, parent, *arguments in processes:
            if parent in parents:
                below.append(pid)
                if "pyspark" in " ".join(arguments):
                    found.append((int(pid), parent))
    daemons = {parent for _, parent in found}
    return [pid for pid, _ in found if str(pid) not in daemons]


@pytest.mark.parametrize("what", ["executor", "python worker", "files"])
def test_what_is_killed_costs_its_work_alone(files, spark_cluster, what):
    estimator = SparkGBDTClassifier(**NUMBERED, label_col="passed", max_iter=3, max_leaf_nodes=6)
    settings = "task=classification stages=3 max_leaves=6 l2=0"
    want = expected(estimator, "passed", "gbdt", settings)
    spark_cluster.wait_for_executors(files.sparkSession)
    before = stored(spark_cluster)

    def lose():
        executors = spark_cluster.executors()
        if what == "executor":
            os.kill(executors[0], signal.SIGKILL)
        elif what == "files":
            found = [path for path in stored(spark_cluster) if path not in before]
            assert len(found) == 4
            for path in found:
                path.unlink()
        else:
            # One that took the place of another may have none yet.
            workers = [pid for executor in executors for pid in python_workers(executor)]
            assert workers
            for pid in workers:
                os.kill(pid, signal.SIGKILL)

    with AtRound(9, lose):
        assert estimator.fit(files).to_bytes() == want
    spark_cluster.wait_for_executors(files.sparkSession)


def test_saved_estimators_are_read_again(spark, tmp_path):
    estimator = SparkGBDTRegressor(**NUMBERED, label_col="score", max_leaf_nodes=None, max_features=0.5, monotonic_cst={"b": -1})
    estimator.write().save(str(tmp_path / "estimator"))
    again = SparkGBDTRegressor.load(str(tmp_path / "estimator"))
    assert again._settings() == estimator._settings()
    assert ("max_leaves", "none") in again._settings() and ("max_features", "0.5") in again._settings()
