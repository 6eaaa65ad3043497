"""What goes wrong with sources and disks: the right model or an error that names what is wrong in a line, and no hang."""

import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F
from tables import DEEP, INPUTS, assert_same_model, mixed, single
from test_spark_losses import AtRound, stored
from tilewise.spark import SparkGBDTClassifier, SparkGBDTRegressor, SparkLogisticRegression, SparkRandomForestClassifier

NUMBERED = {"features_col": INPUTS, "row_id_col": "key"}
LOGISTIC = SparkLogisticRegression(features_col=INPUTS, label_col="passed")


@pytest.fixture()
def folder(tmp_path):
    """Three files of 200 rows."""
    for i in range(3):
        pq.write_table(mixed().slice(200 * i, 200), tmp_path / f"{i}.parquet", row_group_size=50)
    return tmp_path


@pytest.fixture(params=[True, False], ids=["directly", "through Spark"])
def estimator(request):
    return LOGISTIC.copy({LOGISTIC.read_directly: request.param})


def told(estimator, frame, kind=Exception):
    with pytest.raises(kind) as error:
        estimator.fit(frame)
    assert "\n" not in str(error.value), error.value
    return str(error.value)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path):
    path.write_bytes(b"")


def overwritten(path):
    """The footer is whole, pages are not."""
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + bytes(1500) + whole[1504:])


def removed(path):
    path.unlink()


@pytest.mark.parametrize("harm", [truncated, pytest.param(emptied, marks=DEEP), pytest.param(overwritten, marks=DEEP), removed])
def test_a_damaged_file_is_named(spark, folder, estimator, harm):
    frame = spark.read.parquet(str(folder))
    harm(folder / "1.parquet")
    assert "1.parquet" in told(estimator, frame, OSError)


@pytest.mark.parametrize("harm", [truncated, pytest.param(removed, marks=DEEP)])
def test_a_file_that_is_gone_between_rounds_is_named_where_it_is_needed_again(spark, spark_cluster, folder, estimator, harm):
    frame = spark.read.parquet(str(folder))
    expected = estimator.fit(frame).to_bytes()
    # Rows that are stored need no file.
    with AtRound(2, lambda: (folder / "1.parquet").rename(folder / "_aside")):
        assert estimator.fit(frame).to_bytes() == expected
    (folder / "_aside").rename(folder / "1.parquet")
    before = stored(spark_cluster)

    def lose():
        harm(folder / "1.parquet")
        for path in stored(spark_cluster):
            if path not in before:
                path.unlink()

    with AtRound(2, lose):
        assert "1.parquet" in told(estimator, frame)


def test_a_column_of_another_type_in_one_file_is_told(spark, folder, estimator):
    table = mixed().slice(200, 200)
    schema = spark.read.parquet(str(folder / "0.parquet")).schema
    for column in (pa.array(["1.5"] * 200), pa.array([[1.5]] * 200)):
        pq.write_table(table.set_column(table.schema.get_field_index("b"), "b", column), folder / "1.parquet")
        frame = spark.read.schema(schema).parquet(str(folder))
        message = told(estimator, frame, OSError)
        assert "1.parquet" in message and "b" in message


def test_labels_that_most_partitions_lack_are_learned(spark):
    """In each partition is one class."""
    table = mixed()
    frame = spark.createDataFrame(table)
    rows = frame.repartition(7, F.col("word"))
    model = SparkLogisticRegression(features_col=INPUTS, label_col="word", tol=1e-10).fit(rows)
    assert_same_model(model.native, single("logistic", [("tolerance", "1e-10")], table, "word"))
    assert model.classes == ["low", "middle", "top"]
    for estimator, family, words in (
        (SparkGBDTClassifier(**NUMBERED, max_iter=2, max_leaf_nodes=4), "gbdt", "task=classification stages=2 max_leaves=4 l2=0"),
        (
            SparkRandomForestClassifier(**NUMBERED, n_estimators=2, max_depth=4),
            "forest",
            "task=classification criterion=gini trees=2 max_depth=4 max_features=sqrt",
        ),
    ):
        settings = [tuple(word.split("=")) for word in words.split()]
        model = estimator.fit(rows, {estimator.label_col: "word"})
        assert model.to_bytes() == single(family, settings, table, "word").to_bytes()


def test_labels_that_are_not_there_are_told_by_trees(spark):
    frame = spark.createDataFrame(mixed(60)).repartition(2)
    seven = F.col("key") == 7
    numbers = SparkGBDTRegressor(**NUMBERED, label_col="score", max_iter=2)
    for value in (F.lit(None), F.lit(float("nan")), F.lit(float("inf"))):
        rows = frame.withColumn("score", F.when(seven, value).otherwise(F.col("score")))
        message = told(numbers, rows, ValueError)
        assert 'column "score"' in message and "must be a finite number" in message
    for kind in (SparkGBDTClassifier, SparkRandomForestClassifier):
        for label, value in (("word", F.lit(None)), ("grade", F.lit(float("nan")))):
            rows = frame.withColumn(label, F.when(seven, value).otherwise(F.col(label)))
            message = told(kind(**NUMBERED, label_col=label), rows, ValueError)
            assert f'column "{label}"' in message and "the class is missing" in message


@pytest.fixture()
def small_disk(spark, spark_cluster):
    """The local folders of executors hold 64 KiB. What they held before is hidden, so nothing may be shuffled."""
    spark_cluster.wait_for_executors(spark)
    # Those of executors that are gone stay until the application ends; some have none before they have worked.
    spark.range(0, 100, 1, 4).mapInArrow(lambda batches: batches, "id long").count()
    folders = [path for path in spark_cluster.folder.glob("local/spark-*/executor-*/blockmgr-*") if path.is_dir()]
    assert len(folders) >= 2
    mounted = []
    try:
        for path in folders:
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tilewise-test", str(path)], capture_output=True, text=True)
            if done.returncode:
                # Ordinary containers may not, whoever is root in them: that is no fault of what is tested.
                pytest.skip(f"a small disk needs root and the right to mount: {done.stderr.strip()}")
            mounted.append(path)
        yield
    finally:
        # A worker may still have files of it mapped.
        left = [path for path in mounted if subprocess.run(["umount", "--lazy", str(path)]).returncode]
        assert not left, f"still mounted: {left}"


@pytest.mark.parametrize("number", ["linear", "trees"])
def test_a_disk_without_room_is_told(spark, small_disk, number):
    rows = 40_000
    rng = np.random.default_rng(0)
    table = pa.table({"x": rng.normal(size=rows), "y": rng.normal(size=rows), "label": rng.random(rows) < 0.5, "key": np.arange(rows)})
    columns = {"features_col": ["x", "y"], "label_col": "label"}
    kind = SparkLogisticRegression(**columns) if number == "linear" else SparkGBDTClassifier(**columns, row_id_col="key", max_iter=2)
    message = told(kind, spark.createDataFrame(table), OSError)
    assert "no space left" in message and "spark.local.dir" in message


def test_what_was_told_leaves_the_cluster_as_it_was(spark, folder):
    assert LOGISTIC.fit(spark.read.parquet(str(folder))).classes == [False, True]
