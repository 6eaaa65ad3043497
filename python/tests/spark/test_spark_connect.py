"""The same over Spark Connect: only the API of DataFrames is used."""

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
from tables import INPUTS, mixed, single
from test_spark_ranking import SETTINGS, ranked
from tilewise.spark import SparkLogisticRegression


def test_connect_gives_the_same_file(spark, spark_cluster, tmp_path):
    source, queries = str(tmp_path / "rows.parquet"), str(tmp_path / "queries.parquet")
    pq.write_table(mixed(), source)
    pq.write_table(ranked(), queries)
    here = SparkLogisticRegression(features_col=INPUTS, label_col="passed").fit(spark.read.parquet(source).repartition(3))
    out = tmp_path / "model.safetensors"
    script = Path(__file__).with_name("connect_fit.py")
    environment = spark_cluster.environment()
    environment["PYTHONPATH"] = f"{script.parent}:{environment['PYTHONPATH']}"
    with spark_cluster.connect_server() as address:
        command = [sys.executable, "-P", script, address, source, queries, out]
        done = subprocess.run(command, capture_output=True, text=True, timeout=150, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert out.read_bytes() == here.to_bytes()
    settings = [("task", "classification"), ("stages", "2"), ("max_leaves", "5"), ("l2", "0")]
    assert (tmp_path / "model.safetensors.trees").read_bytes() == single("gbdt", settings, mixed(), "passed").to_bytes()
    want = single("gbdt", [*SETTINGS, ("stages", "1")], ranked(), "grade", group="query")
    assert (tmp_path / "model.safetensors.ranks").read_bytes() == want.to_bytes()
