"""Fits on a cluster against the fit of one machine."""

import numpy as np
import pyarrow as pa
import pytest
import tilewise
from tilewise import _native
from tilewise.spark import SparkLinearRegression, SparkLogisticRegression, SparkRidge, _worker

#: Sums are merged at other places: what is left is rounding, and of fits that converge what the tolerance leaves.
CHUNKING = 1e-9


def test_least_squares(spark):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 5))
    y = X @ [1.0, -2.0, 0.0, 3.0, 0.5] + 4 + 0.1 * rng.normal(size=1000)
    names = [f"a{i}" for i in range(5)]
    table = pa.table({**{n: X[:, i] for i, n in enumerate(names)}, "label": y})
    frame = spark.createDataFrame(table).repartition(4)
    import time
    for _ in range(3):
        t = time.time()
        model = SparkLinearRegression(features_col=names, verbose=True).fit(frame)
        print(time.time() - t)
    print(model.describe())
    out = model.transform(frame).toPandas()
    print(out.head())
    assert np.abs(out.prediction - out.label).max() < 1
