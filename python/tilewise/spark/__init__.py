"""Tilewise on Spark: pyspark.ml estimators whose work is done by the compiled part, inside the executors.

A fit sends each partition through Arrow once; after that a round is one small job. The fitted model is the file of a single
machine: `model.save_file(path)` writes what `tilewise serve`, `tilewise predict` and `tilewise.load` read.
"""

from __future__ import annotations

_NEEDED = "tilewise.spark needs pyspark 4.1 or later, pandas below 3 and pyarrow: pip install 'pyspark>=4.1,<5' 'pandas<3' pyarrow"

try:
    import pyspark
    from pyspark.sql.functions import arrow_udf as _of_4_1
except ImportError as error:
    raise ImportError(f"{_NEEDED} ({error})") from error
del pyspark, _of_4_1

from ._linear import (  # noqa: E402
    SparkClassificationModel,
    SparkGammaRegressor,
    SparkLinearRegression,
    SparkLogisticRegression,
    SparkPoissonRegressor,
    SparkRegressionModel,
    SparkRidge,
    SparkTweedieRegressor,
)
from ._trees import (  # noqa: E402
    SparkDecisionTreeClassifier,
    SparkDecisionTreeRegressor,
    SparkExtraTreesClassifier,
    SparkExtraTreesRegressor,
    SparkGBDTClassifier,
    SparkGBDTRanker,
    SparkGBDTRegressor,
    SparkRandomForestClassifier,
    SparkRandomForestRegressor,
)

__all__ = [
    "SparkClassificationModel",
    "SparkDecisionTreeClassifier",
    "SparkDecisionTreeRegressor",
    "SparkExtraTreesClassifier",
    "SparkExtraTreesRegressor",
    "SparkGBDTClassifier",
    "SparkGBDTRanker",
    "SparkGBDTRegressor",
    "SparkGammaRegressor",
    "SparkLinearRegression",
    "SparkLogisticRegression",
    "SparkPoissonRegressor",
    "SparkRandomForestClassifier",
    "SparkRandomForestRegressor",
    "SparkRegressionModel",
    "SparkRidge",
    "SparkTweedieRegressor",
]
