"""Tilewise for Python: the estimators of scikit-learn on Tilewise's kernels.

Change `from sklearn.ensemble import RandomForestClassifier` to `from tilewise import RandomForestClassifier`. The same data,
parameters and `random_state` give the same bits at any `n_jobs`, and the model file of the command line.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np

from ._base import TilewiseEstimator
from ._boosting import GBDTRanker, HistGradientBoostingClassifier, HistGradientBoostingRegressor
from ._imported import ImportedClassifier, ImportedRegressor
from ._isolation import IsolationForest
from ._linear import (
    ElasticNet,
    GammaRegressor,
    HuberRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    TweedieRegressor,
)
from ._loaded import parameters
from ._native import VERSION as __version__
from ._native import Model
from ._network import MLPClassifier, MLPRegressor
from ._pictures import TreePicture, export_graphviz, export_text, plot_tree
from ._trees import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

__all__ = [
    "DecisionTreeClassifier",
    "DecisionTreeRegressor",
    "ElasticNet",
    "ExtraTreesClassifier",
    "ExtraTreesRegressor",
    "GBDTRanker",
    "GammaRegressor",
    "HistGradientBoostingClassifier",
    "HistGradientBoostingRegressor",
    "HuberRegressor",
    "ImportedClassifier",
    "ImportedRegressor",
    "IsolationForest",
    "Lasso",
    "LinearRegression",
    "LogisticRegression",
    "MLPClassifier",
    "MLPRegressor",
    "PoissonRegressor",
    "QuantileRegressor",
    "RandomForestClassifier",
    "RandomForestRegressor",
    "Ridge",
    "TreePicture",
    "TweedieRegressor",
    "__version__",
    "export_graphviz",
    "export_text",
    "load",
    "plot_tree",
]

#: Estimators by the family of the file, and whether it classifies.
_BY_FAMILY: dict[str, tuple[type[Any], type[Any]]] = {
    "linear": (LinearRegression, LinearRegression),
    "ridge": (Ridge, Ridge),
    "lasso": (Lasso, Lasso),
    "elastic-net": (ElasticNet, ElasticNet),
    "poisson": (PoissonRegressor, PoissonRegressor),
    "gamma": (GammaRegressor, GammaRegressor),
    "tweedie": (TweedieRegressor, TweedieRegressor),
    "huber": (HuberRegressor, HuberRegressor),
    "quantile": (QuantileRegressor, QuantileRegressor),
    "logistic": (LogisticRegression, LogisticRegression),
    "tree": (DecisionTreeRegressor, DecisionTreeClassifier),
    "forest": (RandomForestRegressor, RandomForestClassifier),
    "extra-trees": (ExtraTreesRegressor, ExtraTreesClassifier),
    "gbdt": (HistGradientBoostingRegressor, HistGradientBoostingClassifier),
    "network": (MLPRegressor, MLPClassifier),
    "isolation-forest": (IsolationForest, IsolationForest),
    "lightgbm": (ImportedRegressor, ImportedClassifier),
    "xgboost": (ImportedRegressor, ImportedClassifier),
    "catboost": (ImportedRegressor, ImportedClassifier),
}


def load(path: str | PathLike[str]) -> Any:
    """The fitted estimator of a model file, whoever trained it: this package, the command line, a program in Rust; or of one that
    LightGBM (text), XGBoost (JSON, UBJSON) or CatBoost (JSON) saved, which predicts and explains but cannot be fitted, or of a network
    in a file of ONNX, which predicts.

    Classes are numbers where all of them read so, booleans where they are true and false, else text. The parameters of the
    estimator are those that the file tells and the estimator has, so that a clone of it fits the same again; what the fit had besides
    and no parameter says (subsample of boosted trees, say) is warned of. Threads, callbacks and
    weights of classes by name are in no file, nor is the random state of a single tree or an isolation forest; `alpha` of a network that
    was fitted with weights of rows is what it was divided by their mean.

    >>> import tempfile, pathlib, tilewise
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "m.safetensors")
    ...     tilewise.Ridge(alpha=0.5).fit([[0.0], [1.0]], [0.0, 3.0]).save(path)
    ...     tilewise.load(path)
    Ridge(alpha=0.5)
    """
    model = Model.load(path)
    if model.kind not in _BY_FAMILY:
        raise ValueError(f"{path}: no estimator is there for a model of kind {model.kind!r}")
    classifies = model.task == "classification"
    kinds = _BY_FAMILY[model.kind]
    # A network that was read from ONNX, which tells nothing of its training.
    if is_whole := model.kind == "network" and model.metadata("whole") == "true":
        kinds = (ImportedRegressor, ImportedClassifier)
    kind = GBDTRanker if model.task == "ranking" else kinds[classifies]
    estimator: TilewiseEstimator = kind()
    known = estimator.get_params()
    told = {} if is_whole else parameters(model, classifies)
    estimator.set_params(**{name: value for name, value in told.items() if name in known})
    names = [name for name, _ in model.inputs]
    estimator.n_features_in_ = len(names)
    # What they call columns that had no names.
    prefix = {"lightgbm": "Column_", "xgboost": "f", "catboost": ""}.get(model.kind, "x")
    if names != [f"{prefix}{i}" for i in range(len(names))]:
        estimator.feature_names_in_ = np.array(names, dtype=object)
    if classifies:
        estimator.classes_ = _classes(model.outputs)
    estimator._keep(model)
    return estimator


def _classes(names: list[str]) -> np.ndarray:
    if names == ["false", "true"]:
        return np.array([False, True])
    for kind in (int, float):
        try:
            values = [kind(name) for name in names]
        except ValueError:
            continue
        # "01" is text.
        if [str(value) for value in values] == names:
            return np.array(values)
    return np.array(names)
