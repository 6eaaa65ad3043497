"""Fits on a standalone cluster of Spark: two executors of one core each, started here and stopped with this process.

Lines of JSON go in and out. Each fit is asked for by `system`, `kind`, `data`, `rows`, `settings`; with `held`, rows that no fit saw,
it is answered by `seconds` of the fit alone, `auc` on these, and for logistic regression `objective`, which all minimise. The executors'
JVMs run as they come: what the tests set to start them sooner would slow MLlib down. `cluster` is that of `python/tests/spark`.
"""

import json
import logging
import os
import signal
import statistics
import sys
import time
import warnings

import cluster
import numpy as np
import pyarrow.parquet as pq
import pyspark
import xgboost
from pyspark.ml import Pipeline
from pyspark.ml.classification import GBTClassifier, LogisticRegression, RandomForestClassifier
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import SparkSession
from sklearn.metrics import roc_auc_score
from tilewise import _native
from tilewise.spark import SparkGBDTClassifier, SparkLogisticRegression, SparkRandomForestClassifier
from xgboost.spark import SparkXGBClassifier

FEATURES = [f"f{i}" for i in range(28)]
#: Of all that bin.
BINS = 256
MIN_ROWS = 20
RATE = 0.1


def ours(kind, settings, rows):
    columns = dict(features_col=FEATURES, label_col="label")
    if kind == "boosting":
        return SparkGBDTClassifier(
            **columns,
            max_iter=settings["stages"],
            max_depth=settings["depth"],
            max_leaf_nodes=None,
            min_samples_leaf=MIN_ROWS,
            learning_rate=RATE,
            l2_regularization=1.0,
        )
    if kind == "forest":
        return SparkRandomForestClassifier(**columns, n_estimators=settings["trees"], max_depth=settings["depth"])
    # The penalty stands beside the sum of losses, not beside their mean.
    return SparkLogisticRegression(**columns, C=1.0 / (settings["penalty"] * rows), tol=settings["tolerance"])


def mllib(kind, settings, rows):
    del rows
    columns = dict(featuresCol="vector", labelCol="label")
    if kind == "boosting":
        fit = GBTClassifier(
            **columns, maxIter=settings["stages"], maxDepth=settings["depth"], maxBins=BINS, stepSize=RATE, minInstancesPerNode=MIN_ROWS, seed=0
        )
    elif kind == "forest":
        fit = RandomForestClassifier(
            **columns, numTrees=settings["trees"], maxDepth=settings["depth"], maxBins=BINS, featureSubsetStrategy="sqrt", seed=0,
            # 256 MB, its default, would divide the last levels of these trees among several passes.
            maxMemoryInMB=1024,
        )
    else:
        fit = LogisticRegression(**columns, regParam=settings["penalty"], tol=settings["tolerance"], maxIter=1000)
    return Pipeline(stages=[VectorAssembler(inputCols=FEATURES, outputCol="vector"), fit])


def xgboost_spark(kind, settings, rows):
    del rows
    assert kind == "boosting", kind
    # It has no least number of rows of a leaf.
    return SparkXGBClassifier(
        features_col=FEATURES,
        label_col="label",
        num_workers=2,
        n_estimators=settings["stages"],
        max_depth=settings["depth"],
        learning_rate=RATE,
        reg_lambda=1.0,
        min_child_weight=1e-3,
        max_bin=BINS,
        tree_method="hist",
    )


def through_spark(kind, settings, rows):
    """Ours, where Spark reads the file and sends the rows."""
    estimator = ours(kind, settings, rows)
    return estimator.copy({estimator.read_directly: False})


SYSTEMS = {"tilewise": ours, "tilewise, rows from Spark": through_spark, "MLlib": mllib, "xgboost.spark": xgboost_spark}


def shares(model, frame):
    """Probabilities of class 1."""
    told = model.transform(frame).select(vector_to_array("probability")[1].alias("p"), "label").toArrow()
    return told["p"].to_numpy(), told["label"].to_numpy()


def objective(spark, model, path, penalty):
    """The mean loss on the training rows with the penalty on what standardised features would have, in one way for all: coefficients are
    differences of what a model says of rows with one number of 1."""
    points = np.vstack([np.zeros(len(FEATURES)), np.eye(len(FEATURES))])
    frame = spark.createDataFrame([(*map(float, row), i) for i, row in enumerate(points)], [*FEATURES, "label"]).coalesce(1)
    p, order = shares(model, frame)
    scores = np.log(p / (1 - p))[np.argsort(order)]
    weights, intercept = scores[1:] - scores[0], scores[0]
    table = pq.read_table(path)
    x = np.stack([table[name].to_numpy() for name in FEATURES], 1).astype(np.float64)
    signs = 2.0 * table["label"].to_numpy() - 1
    loss = np.logaddexp(0, -signs * (x @ weights + intercept)).mean()
    return float(loss + penalty / 2 * np.sum((weights * x.std(axis=0)) ** 2))


class Rounds(logging.Handler):
    """When the rounds of our fits ended."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.ends = []

    def emit(self, record):
        if record.getMessage().startswith("round "):
            self.ends.append(time.perf_counter())

    def times(self):
        return np.diff(self.ends).tolist()


class Session:
    def __init__(self):
        # What a fit takes is what it is compared by, so nobody is short of memory.
        self.cluster = cluster.Cluster(memory="3500m")
        try:
            conf = cluster.settings(self.cluster) | {"spark.executor.memory": "3g", "spark.driver.memory": "3g"}
            for key in ("spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions"):
                del conf[key]
            builder = SparkSession.builder.master(self.cluster.url).appName("tilewise-bench")
            for key, value in conf.items():
                builder = builder.config(key, value)
            self.spark = builder.getOrCreate()
        except BaseException:
            self.cluster.stop()
            raise
        self.spark.sparkContext.setLogLevel("ERROR")
        self.rounds = Rounds()
        log = logging.getLogger("tilewise.spark")
        log.setLevel(logging.INFO)
        log.addHandler(self.rounds)

    def fit(self, system, kind, data, rows, settings, held=None):
        estimator, frame = SYSTEMS[system](kind, settings, rows), self.spark.read.parquet(data)
        self.rounds.ends.clear()
        start = time.perf_counter()
        model = estimator.fit(frame)
        told = {"seconds": time.perf_counter() - start, "rounds": len(self.rounds.ends)}
        if held is not None:
            p, truth = shares(model, self.spark.read.parquet(held))
            told["auc"] = float(roc_auc_score(truth, p))
            if kind == "logistic":
                told["objective"] = objective(self.spark, model, data, settings["penalty"])
        return told

    def overhead(self, data):
        """Seconds of a round in which there is next to nothing to compute, and of a job that does nothing, medians."""
        frame, found = self.spark.read.parquet(data).repartition(2), {}
        kinds = {"boosting": {"stages": 20, "depth": 5}, "logistic": {"penalty": 1e-6, "tolerance": 1e-12}}
        for kind, settings in kinds.items():
            self.rounds.ends.clear()
            ours(kind, settings, 2_000).fit(frame)
            found[kind] = statistics.median(self.rounds.times())
        rdd, times = self.spark.sparkContext.parallelize(range(2), 2), []
        for _ in range(20):
            start = time.perf_counter()
            rdd.mapPartitions(list).collect()
            times.append(time.perf_counter() - start)
        return {**found, "empty": statistics.median(times)}

    def stop(self):
        self.spark.stop()
        self.cluster.stop()


if __name__ == "__main__":
    # Whatever else writes to the standard output, answers stand alone there.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ["PYSPARK_PYTHON"] = sys.executable
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    warnings.simplefilter("ignore")

    def answer(told):
        print(json.dumps(told), file=answers, flush=True)

    session = Session()
    try:
        answer({"versions": {"tilewise": _native.VERSION, "MLlib": pyspark.__version__, "xgboost.spark": xgboost.__version__}})
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                answer(getattr(session, asked.pop("do"))(**asked))
            except Exception as error:  # noqa: BLE001
                answer({"error": f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}"})
    finally:
        session.stop()
