"""Models that LightGBM, XGBoost or CatBoost trained, and networks of ONNX, as estimators that answer."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from sklearn.base import ClassifierMixin, RegressorMixin

from ._base import Classifying, Regressing, TilewiseEstimator
from ._native import Model


class _Imported(TilewiseEstimator):
    _missing = True

    def __init__(self, *, n_jobs: int | None = None) -> None:
        self.n_jobs = n_jobs

    def _keep(self, model: Model) -> None:
        self._model = model
        #: `lightgbm`, `xgboost`, `catboost` or `onnx`.
        self.library_ = "onnx" if model.kind == "network" else model.kind
        # Networks have no answer for what is missing, unless it is a file of ours, which has what to put there.
        self._missing = self.library_ != "onnx" or json.loads(model.metadata("encoder") or "{}").get("impute", False)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NoReturn:
        """Raises TypeError: it was trained elsewhere."""
        raise TypeError(
            f"{type(self).__name__} holds a model that another library trained, and cannot be fitted; "
            "HistGradientBoostingClassifier, HistGradientBoostingRegressor and GBDTRanker can, and MLPClassifier and MLPRegressor"
        )

    @property
    def feature_importances_(self) -> Any:
        """The share of each input in the gains of its splits; networks have none."""
        try:
            return self._model.importances()
        except ValueError as error:
            raise AttributeError(str(error)) from error


class ImportedRegressor(_Imported, Regressing, RegressorMixin):
    """A model of LightGBM, XGBoost or CatBoost for numbers or rankings, or a network of ONNX for one number or several, as
    `tilewise.load` reads it.

    Predictions are those of the library (`models/gbdt/README.md` tells to which bit). `save` writes our file.
    """


class ImportedClassifier(_Imported, Classifying, ClassifierMixin):
    """A model of LightGBM, XGBoost or CatBoost for classes, or a network of ONNX that ends in a softmax, as `tilewise.load` reads it.

    Probabilities are those of the library (`models/gbdt/README.md` tells to which bit). `save` writes our file.
    """
