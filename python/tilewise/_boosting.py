"""Gradient boosted trees: for numbers, classes and rankings."""

from __future__ import annotations

from typing import Any, Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.validation import _check_y, check_consistent_length, check_is_fitted, column_or_1d

from . import _data
from ._base import Classifying, Regressing, Scoring, Setting, named, same, threads
from ._native import Model
from ._trees import _CLASSES, _Trees, features

#: Told (rounds done, rounds at most, a note such as the loss) after each round; ends training where it returns true.
Callback = Callable[[int, int, str], object]

_LOSSES = {
    "squared_error": "squared",
    "absolute_error": "absolute",
    "poisson": "poisson",
    "gamma": "gamma",
    "log_loss": "auto",
}
_BOOSTING: dict[str, Setting] = {
    "learning_rate": ("learning_rate", same),
    "max_iter": ("stages", same),
    "max_leaf_nodes": ("max_leaves", lambda count: count),
    "max_depth": ("max_depth", same),
    "l2_regularization": ("l2", same),
    "max_features": ("max_features", features),
    "max_bins": ("max_bins", same),
}
#: Rows from which on `early_stopping="auto"` stops early, as in scikit-learn.
_MANY = 10_000


class _Boosting(_Trees):
    _shares = ("min_samples_leaf",)

    def _settings(self, rows: int) -> dict[str, Any]:
        settings = super()._settings(rows)
        if self.max_leaf_nodes is None:
            settings["max_leaves"] = "none"
        early = getattr(self, "early_stopping", False)
        if not (isinstance(early, (bool, np.bool_)) or isinstance(early, str) and early == "auto"):
            raise ValueError(f"early_stopping must be True, False or 'auto', got {early!r}")
        if early == "auto" and rows > _MANY or not isinstance(early, str) and early:
            settings["early_stopping"] = self.n_iter_no_change
            settings["validation"] = self.validation_fraction
        loss = getattr(self, "loss", None)
        if loss == "quantile":
            settings["loss"] = f"quantile:{self.quantile}"
        elif loss is not None:
            settings["loss"] = _LOSSES.get(loss, loss)
        return settings

    def _keep(self, model: Model) -> None:
        super()._keep(model)
        self.n_iter_ = model.stages
        self.validation_loss_ = np.array(model.validation)

    def _staged(self, X: Any) -> Iterator[NDArray[np.float64]]:
        check_is_fitted(self, "_model")
        for stages in range(1, self.n_iter_ + 1):
            yield self._model.first_stages(stages).predict(self._rows(X), self._missing, threads(self.n_jobs))


class HistGradientBoostingClassifier(Scoring, Classifying, ClassifierMixin, _Boosting):
    """Gradient boosted trees for classes.

    `callback(done, total, note)` hears of every round and ends training, keeping the model, where it returns true.
    """

    _family = "gbdt"
    _fixed = {"task": "classification"}
    _parameters = {**_BOOSTING, **_CLASSES}

    def __init__(
        self,
        loss: str = "log_loss",
        *,
        learning_rate: float = 0.1,
        max_iter: int = 100,
        max_leaf_nodes: int | None = 31,
        max_depth: int | None = None,
        min_samples_leaf: int = 20,
        l2_regularization: float = 0.0,
        max_features: float = 1.0,
        max_bins: int = 255,
        monotonic_cst: Sequence[int] | dict[str, int] | None = None,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
        class_weight: dict[Any, float] | str | None = None,
        n_jobs: int | None = None,
        callback: Callback | None = None,
    ) -> None:
        self.loss = loss
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.max_leaf_nodes = max_leaf_nodes
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf
        self.l2_regularization = l2_regularization
        self.max_features = max_features
        self.max_bins = max_bins
        self.monotonic_cst = monotonic_cst
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.callback = callback

    def staged_predict_proba(self, X: Any) -> Iterator[NDArray[np.float64]]:
        """What `predict_proba` was after each stage. Each stage is a model of its own: O(stages^2) trees are read."""
        yield from self._staged(X)

    def staged_predict(self, X: Any) -> Iterator[NDArray[Any]]:
        """What `predict` was after each stage."""
        for shares in self._staged(X):
            yield self.classes_[shares.argmax(axis=1)]


class HistGradientBoostingRegressor(Regressing, RegressorMixin, _Boosting):
    """Gradient boosted trees for numbers; the losses are those of scikit-learn, and ours by their names (`huber:1.5`)."""

    _family = "gbdt"
    _fixed = {"task": "regression"}
    _parameters = _BOOSTING

    def __init__(
        self,
        loss: str = "squared_error",
        *,
        quantile: float | None = None,
        learning_rate: float = 0.1,
        max_iter: int = 100,
        max_leaf_nodes: int | None = 31,
        max_depth: int | None = None,
        min_samples_leaf: int = 20,
        l2_regularization: float = 0.0,
        max_features: float = 1.0,
        max_bins: int = 255,
        monotonic_cst: Sequence[int] | dict[str, int] | None = None,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
        n_jobs: int | None = None,
        callback: Callback | None = None,
    ) -> None:
        self.loss = loss
        self.quantile = quantile
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.max_leaf_nodes = max_leaf_nodes
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf
        self.l2_regularization = l2_regularization
        self.max_features = max_features
        self.max_bins = max_bins
        self.monotonic_cst = monotonic_cst
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.callback = callback

    def staged_predict(self, X: Any) -> Iterator[NDArray[np.float64]]:
        """What `predict` was after each stage. Each stage is a model of its own: O(stages^2) trees are read."""
        for numbers in self._staged(X):
            yield numbers[:, 0]


class GBDTRanker(_Boosting):
    """Gradient boosted trees that rank the rows of a query, by LambdaRank; the highest score comes first."""

    _family = "gbdt"
    _fixed = {"task": "regression", "loss": "lambda_rank"}
    _parameters = _BOOSTING

    def __init__(
        self,
        *,
        learning_rate: float = 0.1,
        max_iter: int = 100,
        max_leaf_nodes: int | None = 31,
        max_depth: int | None = None,
        min_samples_leaf: int = 20,
        l2_regularization: float = 0.0,
        max_features: float = 1.0,
        max_bins: int = 255,
        random_state: Any = None,
        n_jobs: int | None = None,
        callback: Callback | None = None,
    ) -> None:
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.max_leaf_nodes = max_leaf_nodes
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf
        self.l2_regularization = l2_regularization
        self.max_features = max_features
        self.max_bins = max_bins
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.callback = callback

    def fit(self, X: Any, y: ArrayLike, qid: ArrayLike | None = None) -> GBDTRanker:
        """Learns from rows and their relevance `y` (0, 1, 2 ...); rows of a query have one `qid` and follow each other.

        Without `qid` all rows are of one query.
        """
        if y is None:
            raise ValueError("This GBDTRanker estimator requires y to be passed, but the target y is None")
        X = _data.read(self, X, reset=True)
        name = named(y, "y")
        y = column_or_1d(_check_y(y, y_numeric=True, estimator=self), warn=True)
        queries = np.zeros(len(y)) if qid is None else np.unique(column_or_1d(qid), return_inverse=True)[1]
        check_consistent_length(X, y, queries)
        if len(X) < 2:
            raise ValueError("there is 1 sample (n_samples = 1); at least two are needed")
        numbers = _data.aligned(y, np.float64)
        self._train(
            X,
            lambda table, goal: table.numbers(goal, numbers),
            target=name,
            group=queries.astype(np.float64),
        )
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The score of each row, by which those of a query are ranked."""
        check_is_fitted(self, "_model")
        return self._predict(X)[:, 0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
