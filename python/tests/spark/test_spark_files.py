"""Tasks that read Parquet files themselves: the same partitions, and so the same bytes, as through Spark; and what goes through Spark."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F
from tables import INPUTS, mixed
from tilewise.spark import SparkGBDTClassifier, SparkLinearRegression, SparkLogisticRegression, _files


@pytest.fixture()
def folder(tmp_path):
    """Three files of several groups of rows."""
    table = mixed(900)
    for i, codec in enumerate(("snappy", "zstd", "none")):
        pq.write_table(table.slice(300 * i, 300), tmp_path / f"{i}.parquet", row_group_size=70, compression=codec)
    return tmp_path


@pytest.fixture()
def small_splits(spark):
    """Files are cut into parts that are smaller than they are, and parts of several stand in one partition."""
    before = {name: spark.conf.get(name) for name in ("spark.sql.files.maxPartitionBytes", "spark.sql.files.openCostInBytes")}
    spark.conf.set("spark.sql.files.maxPartitionBytes", "6000")
    spark.conf.set("spark.sql.files.openCostInBytes", "10")
    yield
    for name, value in before.items():
        spark.conf.set(name, value)


def through_spark(estimator):
    return estimator.copy({estimator.read_directly: False})


def test_partitions_hold_what_spark_puts_there(spark, folder, small_splits):
    frame = spark.read.parquet(str(folder)).select(*INPUTS, "passed", "key")
    splits = _files.splits(frame)
    assert len(splits) > 3 and any(len(parts) > 1 for parts in splits)
    of_spark = frame.withColumn("partition", F.spark_partition_id()).select("partition", "key").toArrow().to_pydict()
    schema = _files.wanted(frame)
    keys = {(i, key) for i, parts in enumerate(splits) for key in _files.read(parts, schema, False)["key"].to_pylist()}
    assert len(keys) == 900
    assert keys == set(zip(of_spark["partition"], of_spark["key"]))


@pytest.mark.filterwarnings("ignore:.*row_id_col")
def test_models_are_the_bytes_of_those_through_spark(spark, folder, small_splits, caplog):
    frame = spark.read.parquet(str(folder))
    columns = dict(features_col=INPUTS, label_col="passed", weight_col="weight")
    for estimator in (
        SparkLogisticRegression(**columns),
        # Without numbers of rows subsamples go by partitions.
        SparkGBDTClassifier(**columns, max_iter=2, max_leaf_nodes=4, subsample=0.5),
        SparkGBDTClassifier(**columns, max_iter=2, max_leaf_nodes=4, subsample=0.5, row_id_col="key"),
    ):
        with caplog.at_level("INFO", "tilewise.spark"):
            directly = estimator.fit(frame).to_bytes()
        assert "through Spark" not in caplog.text and "parts of files themselves" in caplog.text
        caplog.clear()
        assert directly == through_spark(estimator).fit(frame).to_bytes()


def test_arrays_are_read_too(spark, tmp_path):
    X = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    rows = pa.table({"features": pa.array(list(X), pa.list_(pa.float32())), "label": X @ [1.0, -1.0, 0.5]})
    pq.write_table(rows, tmp_path / "a.parquet", row_group_size=50)
    frame = spark.read.parquet(str(tmp_path))
    assert _files.splits(frame) is not None
    assert SparkLinearRegression().fit(frame).to_bytes() == SparkLinearRegression(read_directly=False).fit(frame).to_bytes()


def test_what_is_more_than_files_goes_through_spark(spark, folder):
    frame = spark.read.parquet(str(folder))
    assert _files.splits(frame) is not None
    assert _files.splits(frame.select("a", "key")) is not None
    others = {
        "a filter": frame.filter("key > 3"),
        "a limit": frame.limit(5),
        "a sample": frame.sample(0.5, seed=1),
        "a computed column": frame.withColumn("a", F.col("a") * 2),
        "another name": frame.withColumnRenamed("a", "c"),
        "another type": frame.withColumn("a", F.col("a").cast("double")),
        "divided anew": frame.repartition(3),
        "together": frame.coalesce(1),
        "several tables": frame.union(frame),
        "sorted": frame.sort("key"),
        "no files": spark.range(5),
        "text": spark.read.csv(str(folder)),
        "a column of dates": frame.withColumn("d", F.current_date()),
        "text of another order": spark.read.schema("colour STRING COLLATE UNICODE_CI").parquet(str(folder)),
    }
    assert {name: _files.splits(other) for name, other in others.items()} == dict.fromkeys(others)
    kept = frame.select("a").cache()
    try:
        assert _files.splits(kept) is None
    finally:
        kept.unpersist()
    spark.conf.set("spark.sql.parquet.fieldId.read.enabled", "true")
    try:
        assert _files.splits(frame) is None
    finally:
        spark.conf.unset("spark.sql.parquet.fieldId.read.enabled")
    frame.write.partitionBy("member").parquet(str(folder / "by"))
    assert _files.splits(spark.read.parquet(str(folder / "by"))) is None


def test_files_that_look_otherwise_than_spark_sees_them_go_through_spark(spark, folder, caplog):
    """Spark fills a column that a file lacks, and widens one."""
    table = mixed(900).slice(0, 200)
    pq.write_table(table.drop(["colour"]).set_column(0, "a", table["a"]), folder / "less.parquet")
    frame = spark.read.schema(spark.read.parquet(str(folder / "0.parquet")).schema).parquet(str(folder))
    assert _files.splits(frame) is not None
    estimator = SparkLogisticRegression(features_col=INPUTS, label_col="passed")
    with caplog.at_level("INFO", "tilewise.spark"):
        directly = estimator.fit(frame).to_bytes()
    assert "files go through Spark" in caplog.text and "column 'colour' is there 0 times" in caplog.text
    assert directly == through_spark(estimator).fit(frame).to_bytes()
    with pytest.raises(_files.Unread, match="column 'a' holds float, where Spark sees double"):
        _files.read([_files.Split(str(folder / "0.parquet"), 0, 10**9)], pa.schema([("a", pa.float64())]), False)


def test_rows_are_read_again_where_they_are_gone(spark, spark_cluster, folder):
    """And a file that is another by then is noticed."""
    from test_spark_losses import AtRound, stored

    frame = spark.read.parquet(str(folder))
    estimator = SparkLogisticRegression(features_col=INPUTS, label_col="passed", tol=1e-10)
    expected = estimator.fit(frame).to_bytes()
    before = stored(spark_cluster)

    def remove():
        for path in stored(spark_cluster):
            if path not in before:
                path.unlink()

    with AtRound(3, remove):
        assert estimator.fit(frame).to_bytes() == expected

    def change():
        remove()
        table = pq.read_table(folder / "0.parquet")
        pq.write_table(table.set_column(0, "a", pa.array(np.zeros(300, np.float32))), folder / "new", row_group_size=70)
        os.replace(folder / "new", folder / "0.parquet")

    with AtRound(3, change), pytest.raises(RuntimeError, match="its rows are not what they were"):
        estimator.fit(frame)


def test_an_empty_table_of_files_is_told(spark, tmp_path):
    pq.write_table(mixed(10).slice(0, 0), tmp_path / "a.parquet")
    frame = spark.read.parquet(str(tmp_path))
    with pytest.raises(ValueError, match="the table has no rows"):
        SparkLogisticRegression(features_col=INPUTS, label_col="passed").fit(frame)
