"""Trees, forests and boosted trees as estimators and models of pyspark.ml.

All rows of a level are counted in one round, over all trees that grow together, in integers: the model does not depend on how rows are
divided among partitions, where `row_id_col` tells their numbers, and is then the model of one machine, byte for byte.
"""

from __future__ import annotations

import warnings
from typing import Any

from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from .. import _boosting, _forests, _trees
from ._estimator import Fitted, TilewiseSparkEstimator, column
from ._linear import SparkClassificationModel, SparkRegressionModel

_to_float, _to_bool, _to_int, _to_text = (
    TypeConverters.toFloat,
    TypeConverters.toBoolean,
    TypeConverters.toInt,
    TypeConverters.toString,
)


def _param(name: str, doc: str, converter: Any) -> Param:
    return Param(Params._dummy(), name, doc, converter)


def _same(value: Any) -> Any:
    return value


class _Trees(TilewiseSparkEstimator):
    row_id_col = _param("row_id_col", "the column that numbers rows 0, 1 and so on, each once", _to_text)
    random_state = _param("random_state", "the key of random numbers", _to_int)
    max_depth = _param("max_depth", "splits from the root to a leaf at most; none means no limit", _to_int)
    max_leaf_nodes = _param("max_leaf_nodes", "leaves of a tree at most; 0 and none mean no limit", _to_int)
    min_samples_leaf = _param("min_samples_leaf", "rows of a leaf at least", _to_int)
    max_features = _param("max_features", "columns that a node looks at: a share, a number, sqrt, log2 or all", _same)
    max_bins = _param("max_bins", "bins of a column at most", _to_int)
    monotonic_cst = _param("monotonic_cst", "1 or -1 by name for columns with which predictions never fall or rise", _same)

    _DEFAULTS: dict[str, Any] = {"random_state": 0, "max_bins": 255}
    _NONE = {"max_leaf_nodes": 0, "max_features": "all"}
    _model_class: type[Fitted] = SparkRegressionModel

    def _more_settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"min_samples_leaf": self.getOrDefault("min_samples_leaf")}
        if self.isDefined("max_leaf_nodes"):
            settings["max_leaves"] = self.getOrDefault("max_leaf_nodes") or "none"
        if self.getOrDefault("max_features") is None:
            settings["max_features"] = "all"
        if self._has("min_samples_split"):
            settings["min_samples_split"] = self.getOrDefault("min_samples_split")
        if self._has("monotonic_cst"):
            given = self.getOrDefault("monotonic_cst")
            if not isinstance(given, dict) or not all(sign in (-1, 0, 1) for sign in given.values()):
                raise ValueError(f"monotonic_cst={given!r}; 1, 0 or -1 by names of columns is accepted, such as {{'age': 1}}")
            settings["monotone"] = _trees.monotone([], given)
        return settings

    def _seed(self) -> int:
        seed = self.getOrDefault("random_state")
        if seed < 0:
            raise ValueError(f"random_state={seed}; a whole number of 0 or more is accepted")
        return seed

    def _numbers(self, frame: DataFrame) -> str | None:
        if self._has("row_id_col"):
            name = self.getOrDefault("row_id_col")
            kind = column(frame, name)
            if not isinstance(kind, T.NumericType):
                raise ValueError(f"column {name!r} holds {kind.simpleString()}; row_id_col needs whole numbers")
            return name
        warnings.warn(
            f"{type(self).__name__}: without row_id_col rows are numbered by partition and by a hash of their cells, and random "
            "numbers go by that: rows that are divided otherwise among partitions may give another model",
            stacklevel=5,
        )
        return None


class _Boosting(_Trees):
    learning_rate = _param("learning_rate", "the share of each step that is taken", _to_float)
    max_iter = _param("max_iter", "stages", _to_int)
    l2_regularization = _param("l2_regularization", "added to the sums of second derivatives", _to_float)
    subsample = _param("subsample", "the share of rows that each stage grows on", _to_float)
    early_stopping = _param("early_stopping", "stop when the loss on rows held out becomes no smaller", _to_bool)
    validation_fraction = _param("validation_fraction", "the share of rows that are held out", _to_float)
    n_iter_no_change = _param("n_iter_no_change", "stages without a smaller loss after which it stops", _to_int)
    validation_indicator_col = _param(
        "validation_indicator_col", "the column that is true for rows that are held out, in place of a share of all", _to_text
    )

    _DEFAULTS = {
        **_Trees._DEFAULTS,
        "learning_rate": 0.1,
        "max_iter": 100,
        "max_leaf_nodes": 31,
        "min_samples_leaf": 20,
        "l2_regularization": 0.0,
        "max_features": 1.0,
        "subsample": 1.0,
        "early_stopping": False,
        "validation_fraction": 0.1,
        "n_iter_no_change": 10,
    }

    def _more_settings(self) -> dict[str, Any]:
        settings = {**super()._more_settings(), "subsample": self.getOrDefault("subsample")}
        if self.getOrDefault("early_stopping"):
            settings["early_stopping"] = self.getOrDefault("n_iter_no_change")
            if not self._has("validation_indicator_col"):
                settings["validation"] = self.getOrDefault("validation_fraction")
        if self._has("loss"):
            loss = self.getOrDefault("loss")
            if loss in ("log_loss", "auto"):
                raise ValueError(f"loss={loss!r} is of classes; squared_error, poisson, gamma and tweedie:1.5 are of numbers")
            settings["loss"] = _boosting._LOSSES.get(loss, loss)
        return settings

    def _more_roles(self, frame: DataFrame) -> dict[str, Any]:
        if not self._has("validation_indicator_col"):
            return super()._more_roles(frame)
        name = self.getOrDefault("validation_indicator_col")
        kind = column(frame, name)
        if not isinstance(kind, T.BooleanType):
            raise ValueError(f"column {name!r} holds {kind.simpleString()}; validation_indicator_col needs true and false")
        if not self.getOrDefault("early_stopping"):
            raise ValueError(
                f"validation_indicator_col={name!r} holds rows out, by which early stopping judges stages: early_stopping=True is needed"
            )
        return super()._more_roles(frame) | {"held_out": name}


class _Growing(_Trees):
    criterion = _param("criterion", "what splits make smaller", _to_text)
    min_samples_split = _param("min_samples_split", "rows of a node that is divided at least", _to_int)
    min_impurity_decrease = _param("min_impurity_decrease", "what a split must gain at least", _to_float)
    ccp_alpha = _param("ccp_alpha", "what a leaf costs when trees are pruned", _to_float)

    _DEFAULTS = {
        **_Trees._DEFAULTS,
        "min_samples_leaf": 1,
        "min_samples_split": 2,
        "min_impurity_decrease": 0.0,
        "ccp_alpha": 0.0,
        "max_features": 1.0,
    }


class _Forest(_Growing):
    n_estimators = _param("n_estimators", "trees of the forest", _to_int)
    bootstrap = _param("bootstrap", "each tree gets as many rows as there are, drawn with replacement; else all", _to_bool)
    max_samples = _param("max_samples", "rows drawn for a tree: a share or a number; none means as many as there are", _same)

    _DEFAULTS = {**_Growing._DEFAULTS, "n_estimators": 100, "bootstrap": True}


class SparkGBDTClassifier(_Boosting):
    """Gradient boosted trees for classes. The model of `tilewise train --model gbdt`."""

    _single = _boosting.HistGradientBoostingClassifier
    _classifies = True
    _model_class = SparkClassificationModel
    class_weight = _param("class_weight", "balanced lets all classes count the same", _to_text)


class SparkGBDTRegressor(_Boosting):
    """Gradient boosted trees for numbers. The model of `tilewise train --model gbdt`."""

    _single = _boosting.HistGradientBoostingRegressor
    loss = _param("loss", "squared_error, poisson, gamma or tweedie:1.5", _to_text)
    _DEFAULTS = {**_Boosting._DEFAULTS, "loss": "squared_error"}


class SparkGBDTRanker(_Boosting):
    """Gradient boosted trees that rank the rows of a query, by LambdaRank; the highest prediction comes first. Labels are relevances: 0, 1, 2
    and so on to 31. The model of `tilewise train --model gbdt --set loss=lambda_rank`.

    `row_id_col` is needed: by its numbers the rows of a query, which `qid_col` tells, follow each other. They are brought to one
    partition, by two shuffles where there are several. All rows of a query have one weight.
    """

    _single = _boosting.GBDTRanker
    qid_col = _param("qid_col", "the column that tells which rows are of one query", _to_text)
    _DEFAULTS = {**_Boosting._DEFAULTS, "qid_col": "qid"}

    def _more_roles(self, frame: DataFrame) -> dict[str, Any]:
        name = self.getOrDefault("qid_col")
        kind = column(frame, name)
        if not isinstance(kind, (T.NumericType, T.StringType)):
            raise ValueError(f"column {name!r} holds {kind.simpleString()}; qid_col needs numbers or text")
        return super()._more_roles(frame) | {"group": name}

    def _numbers(self, frame: DataFrame) -> str | None:
        if not self._has("row_id_col"):
            raise ValueError("SparkGBDTRanker needs row_id_col, a column that numbers rows 0, 1 and so on: it tells the order of rows in a query")
        return super()._numbers(frame)

    def _fit(self, dataset: DataFrame) -> Any:
        name = self.getOrDefault("qid_col")
        if isinstance(column(dataset, name), (T.LongType, T.DecimalType)):
            # Numbers of 64 bits may be the same in a double; as text they are not.
            dataset = dataset.withColumn(name, F.col(f"`{name}`").cast("string"))
        return super()._fit(dataset)


class SparkRandomForestClassifier(_Forest):
    """A random forest for classes. The model of `tilewise train --model forest`."""

    _single = _forests.RandomForestClassifier
    _classifies = True
    _model_class = SparkClassificationModel
    _DEFAULTS = {**_Forest._DEFAULTS, "criterion": "gini", "max_features": "sqrt"}


class SparkRandomForestRegressor(_Forest):
    """A random forest for numbers. The model of `tilewise train --model forest`."""

    _single = _forests.RandomForestRegressor
    _DEFAULTS = {**_Forest._DEFAULTS, "criterion": "squared_error"}


class SparkExtraTreesClassifier(_Forest):
    """Extremely randomised trees for classes. The model of `tilewise train --model extra-trees`."""

    _single = _forests.ExtraTreesClassifier
    _classifies = True
    _model_class = SparkClassificationModel
    _DEFAULTS = {**_Forest._DEFAULTS, "criterion": "gini", "max_features": "sqrt", "bootstrap": False}


class SparkExtraTreesRegressor(_Forest):
    """Extremely randomised trees for numbers. The model of `tilewise train --model extra-trees`."""

    _single = _forests.ExtraTreesRegressor
    _DEFAULTS = {**_Forest._DEFAULTS, "criterion": "squared_error", "bootstrap": False}


class SparkDecisionTreeClassifier(_Growing):
    """A decision tree for classes. The model of `tilewise train --model tree`."""

    _single = _trees.DecisionTreeClassifier
    _classifies = True
    _model_class = SparkClassificationModel
    splitter = _param("splitter", "best or random", _to_text)
    _DEFAULTS = {**_Growing._DEFAULTS, "criterion": "gini", "splitter": "best"}


class SparkDecisionTreeRegressor(_Growing):
    """A decision tree for numbers. The model of `tilewise train --model tree`."""

    _single = _trees.DecisionTreeRegressor
    splitter = _param("splitter", "best or random", _to_text)
    _DEFAULTS = {**_Growing._DEFAULTS, "criterion": "squared_error", "splitter": "best"}
