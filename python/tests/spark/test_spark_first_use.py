"""The first use that the README shows, on adult: categories, missing values, a file that the command line reads."""

import io
import os
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.sql import functions as F
from tables import answers, single
from tilewise.spark import SparkLogisticRegression

NAMES = (
    "age workclass fnlwgt education education-num marital-status occupation relationship race sex capital-gain capital-loss "
    "hours-per-week native-country income"
).split()


def adult():
    folder = os.environ.get("TILEWISE_DATA")
    if folder is None:
        if os.environ.get("TILEWISE_REQUIRE_DATA") == "1":
            pytest.fail("TILEWISE_DATA does not say where adult.csv is")
        pytest.skip("adult.csv is looked for in TILEWISE_DATA, which is not set")
    text = (Path(folder) / "adult.csv").read_text().replace(", ", ",")
    read = csv.ReadOptions(column_names=NAMES)
    missing = csv.ConvertOptions(null_values=["?"], strings_can_be_null=True)
    return csv.read_csv(io.BytesIO(text.strip().encode()), read, convert_options=missing)


def test_adult(spark, tmp_path):
    table = adult()
    assert table["workclass"].null_count == 1836
    pq.write_table(table, tmp_path / "adult.parquet", row_group_size=8000)
    people = spark.read.parquet(str(tmp_path / "adult.parquet")).repartition(3, "age")
    features = [name for name in people.columns if name not in ("income", "fnlwgt")]
    model = SparkLogisticRegression(features_col=features, label_col="income", weight_col="fnlwgt").fit(people)
    expected = single("logistic", [], table, "income", features, "fnlwgt")
    assert (model.native.inputs, model.native.outputs) == (expected.inputs, expected.outputs)
    told = model.transform(people).withColumn("label", F.when(F.col("income") == ">50K", 1.0).otherwise(0.0))
    assert BinaryClassificationEvaluator(rawPredictionCol="probability").evaluate(told) > 0.9
    model.save_file(tmp_path / "adult.safetensors")
    alone = answers(tmp_path / "adult.safetensors", table, features)[:, 1]
    expected.save(tmp_path / "expected.safetensors")
    # The columns of a category add up to one and the penalty is next to nothing beside such weights, so coefficients are known to
    # few digits; what they predict is known to what the tolerance of 1e-8 leaves.
    assert np.abs(answers(tmp_path / "expected.safetensors", table, features)[:, 1] - alone).max() < 1e-6
    command = [os.environ["TILEWISE_COMMAND"], "predict", "--proba", "--model", tmp_path / "adult.safetensors"]
    subprocess.run([*command, "--data", tmp_path / "adult.parquet", "--out", tmp_path / "told.csv"], check=True)
    theirs = csv.read_csv(tmp_path / "told.csv")
    assert np.array_equal(theirs.column(theirs.num_columns - 1).to_numpy(), alone)
