"""Models that LightGBM, XGBoost or CatBoost trained, as estimators that answer."""

from __future__ import annotations

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
        #: `lightgbm`, `xgboost` or `catboost`.
        self.library_ = model.kind

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NoReturn:
        """Raises TypeError: it was trained elsewhere."""
        raise TypeError(
            f"{type(self).__name__} holds a model that another library trained, and cannot be fitted; "
            "HistGradientBoostingClassifier, HistGradientBoostingRegressor and GBDTRanker can"
        )

    @property
    def feature_importances_(self) -> Any:
        """The share of each input in the gains of its splits."""
        return self._model.importances()


class ImportedRegressor(_Imported, Regressing, RegressorMixin):
    """A model of LightGBM, XGBoost or CatBoost for numbers or rankings, as `tilewise.load` reads it.

    Predictions are those of the library (`models/gbdt/README.md` tells to which bit). `save` writes our file.
    """


class ImportedClassifier(_Imported, Classifying, ClassifierMixin):
    """A model of LightGBM, XGBoost or CatBoost for classes, as `tilewise.load` reads it.

    Probabilities are those of the library (`models/gbdt/README.md` tells to which bit). `save` writes our file.
    """
