"""Rankings: whole queries in a partition, and the bytes of one machine whose rows stand in the order of their numbers."""

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F
from tables import INPUTS, answers, mixed, single
from tilewise.spark import SparkGBDTRanker

RANKER = SparkGBDTRanker(features_col=INPUTS, label_col="grade", qid_col="query", row_id_col="key", max_iter=3, max_leaf_nodes=4)
SETTINGS = [("task", "regression"), ("loss", "lambda_rank"), ("stages", "3"), ("max_leaves", "4"), ("l2", "0")]


def ranked(rows=600):
    """Queries of 1 to 40 rows, whose weights are theirs, and of which every fourth is held out."""
    lengths = np.random.default_rng(3).integers(1, 41, rows)
    number = np.repeat(np.arange(rows), lengths)[:rows]
    table = mixed(rows).drop(["weight"])
    table = table.append_column("query", pa.array([f"q{i}" for i in number]))
    # Beyond 2^53 they are not all numbers of their own as doubles.
    table = table.append_column("id", pa.array(2**60 + number))
    return table.append_column("weight", pa.array(1.0 + number % 3)).append_column("out", pa.array(number % 4 == 1))


@pytest.mark.parametrize(
    "changes, more",
    [
        ({}, []),
        ({"early_stopping": True, "n_iter_no_change": 1}, [("early_stopping", "1")]),
        ({"early_stopping": True, "validation_indicator_col": "out", "weight_col": "weight"}, [("early_stopping", "10")]),
    ],
    ids=["all rows", "drawn", "named"],
)
def test_any_division_of_rows_gives_the_bytes_of_one_machine(spark, changes, more):
    table = ranked()
    parts = {"weight": changes.get("weight_col"), "held_out": changes.get("validation_indicator_col")}
    want = single("gbdt", SETTINGS + more, table, "grade", group="query", **parts)
    estimator = RANKER.copy({RANKER.getParam(name): value for name, value in changes.items()})
    frame = spark.createDataFrame(table)
    # Ends of these partitions stand in the middle of queries; in the last rows are in any order.
    divided = {"one": frame.coalesce(1), "four": frame.repartitionByRange(4, "key"), "seven": frame.repartition(7, F.col("key") % 4)}
    for name, rows in divided.items():
        assert estimator.fit(rows).to_bytes() == want.to_bytes(), name
    fitted = estimator.fit(frame.drop("query").withColumnRenamed("id", "query"), {estimator.num_workers: 3})
    assert fitted.to_bytes() == want.to_bytes()


def test_the_file_ranks_rows_anywhere(spark, tmp_path):
    table = ranked()
    frame = spark.createDataFrame(table)
    model = RANKER.fit(frame.repartition(3))
    model.save_file(tmp_path / "ranks.safetensors")
    told = [row["prediction"] for row in model.transform(frame).orderBy("key").collect()]
    assert told == answers(tmp_path / "ranks.safetensors", table, INPUTS)[:, 0].tolist()
    assert "rank" in model.describe()
    # What is relevant stands higher than what is not.
    grade = np.array(table["grade"])
    assert np.mean(np.array(told)[grade == 2]) > np.mean(np.array(told)[grade == 0])


def test_what_cannot_be_ranked_is_told_in_a_line(spark):
    frame = spark.createDataFrame(ranked(120)).repartition(2)

    def told(rows, estimator=RANKER, **params):
        with pytest.raises(ValueError) as error:
            estimator.fit(rows, {estimator.getParam(name): value for name, value in params.items()})
        assert "\n" not in str(error.value)
        return str(error.value)

    without = SparkGBDTRanker(features_col=INPUTS, label_col="grade", qid_col="query")
    assert "needs row_id_col" in told(frame, without)
    assert "no such column" in told(frame, qid_col="nowhere")
    assert "qid_col needs numbers or text" in told(frame, qid_col="member")
    assert "two parts" in told(frame, qid_col="a")
    # Each second row changes places with one far away.
    key = F.col("key")
    torn = frame.withColumn("key", F.when(key % 2 == 0, key).otherwise(120 - key))
    message = told(torn)
    assert "rows of one query" in message or "other rows do not stand right before it" in message
    missing = frame.withColumn("query", F.when(key != 7, F.col("query")))
    assert 'column "query": the group is missing' in told(missing)
    assert "whole number from 0 to 31" in told(frame.withColumn("grade", F.col("grade") + 0.5))
    halved = frame.withColumn("out", key % 2 == 0)
    assert "whole queries are accepted" in told(halved, early_stopping=True, validation_indicator_col="out")
    uneven = frame.withColumn("weight", F.when(key % 2 == 0, 1.0).otherwise(2.0))
    assert "all rows of a query have one weight" in told(uneven, weight_col="weight")
