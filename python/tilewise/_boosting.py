"""Gradient boosted trees: for numbers, classes and rankings."""

from __future__ import annotations

from itertools import combinations
from operator import index
from typing import Any, Iterator, Self, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.validation import _check_y, check_consistent_length, column_or_1d

from . import _data
from ._base import Callback, Classifying, Regressing, Scoring, Setting, check_is_fitted, named, same, shown
from ._native import Model, Table
from ._trees import _CLASSES, _Trees, features

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


_INTERACTIONS = (
    "interaction_cst must be 'pairwise', 'no_interactions' or groups of places of columns such as [[0, 1], [2, 3, 4]], which are whole numbers from 0"
)


def _place(place: Any) -> int:
    """A whole number, of NumPy too. Raises TypeError for what is none, such as text, or true and false."""
    if isinstance(place, bool):
        raise TypeError
    return index(place)


def interactions(names: list[str], groups: Sequence[Sequence[int]] | str) -> str:
    """`interaction_cst` (groups of places of columns, "pairwise" or "no_interactions") as `--set interactions`. Columns of no group are a
    group together."""
    if isinstance(groups, str):
        if groups not in ("pairwise", "no_interactions"):
            raise ValueError(f"{_INTERACTIONS}, got {groups!r}")
        groups = list(combinations(range(len(names)), 2 if groups == "pairwise" else 1))
    try:
        groups = [sorted({_place(place) for place in group}) for group in groups]
    except TypeError:
        raise ValueError(f"{_INTERACTIONS}, got {groups!r}") from None
    wrong = [place for group in groups for place in group if not 0 <= place < len(names)]
    if wrong:
        raise ValueError(f"interaction_cst names column {wrong[0]}, and there are columns 0 to {len(names) - 1}")
    used = {place for group in groups for place in group}
    groups.append([place for place in range(len(names)) if place not in used])
    # A column of no group is one of its own there.
    several = [group for group in groups if len(group) > 1]
    if not several:
        return "alone"
    if unfit := [name for name in names if "," in name or ";" in name]:
        raise ValueError(f"interaction_cst takes columns without ',' and ';' in their names, and there is {unfit[0]!r}")
    return ";".join(",".join(names[place] for place in group) for group in several)


_CATEGORICAL = (
    "categorical_features must be 'from_dtype', None, or the places or names of columns or a mask of them"
)


def mask_of(X: Any, names: list[str], asked: Any) -> NDArray[np.bool_] | None:
    """Of which columns of `X` numbers are categories: those of `asked` (`categorical_features`), but for those that a table has as text or
    categories. None where there is none."""
    by_type = np.zeros(len(names), dtype=bool)
    if not isinstance(X, np.ndarray):
        by_type[:] = [_data.is_text(kind) for kind in X.schema.values()]
    if asked is None:
        if by_type.any():
            name = names[int(by_type.argmax())]
            raise ValueError(f"column {name!r} holds text or categories, and categorical_features is None; 'from_dtype' takes them as they are")
        return None
    if isinstance(asked, str) and asked == "from_dtype":
        return None
    chosen = np.asarray(asked, dtype=object)
    if chosen.ndim != 1:
        raise ValueError(f"{_CATEGORICAL}, got {asked!r}")
    found = np.zeros(len(names), dtype=bool)
    if len(chosen) and all(isinstance(which, (bool, np.bool_)) for which in chosen):
        if len(chosen) != len(names):
            raise ValueError(f"categorical_features is a mask of {len(chosen)} columns, and X has {len(names)}")
        found[:] = chosen.astype(bool)
    else:
        for which in chosen:
            try:
                place = names.index(which) if isinstance(which, str) else _place(which)
            except (TypeError, ValueError):
                place = -1
            if not 0 <= place < len(names):
                raise ValueError(
                    f"categorical_features names {shown(which)}; a column is accepted: a place from 0 to {len(names) - 1}, or one of "
                    f"{', '.join(map(repr, names[:20]))}{' ...' if len(names) > 20 else ''}"
                )
            found[place] = True
    found &= ~by_type
    return found if found.any() else None


class _Boosting(_Trees):
    _shares = ("min_samples_leaf",)
    _made_of = {
        **_Trees._made_of, "early_stopping": "n_iter_no_change", "validation": "validation_fraction", "interactions": "interaction_cst"
    }  # fmt: skip
    _counted = "max_iter"
    #: Which columns are categories, as text or numbers; None where none is.
    is_categorical_: NDArray[np.bool_] | None
    #: Of which columns numbers are.
    _coded: NDArray[np.bool_] | None = None

    def _train(self, X: Any, *given: Any, **named: Any) -> None:
        model, before = self.__dict__.get("_model"), self._coded
        self._coded = mask_of(X, _data.names_of(self), getattr(self, "categorical_features", "from_dtype"))
        try:
            super()._train(X, *given, **named)
        finally:
            # A model that stays goes with what it was fitted with.
            if self.__dict__.get("_model") is model:
                self._coded = before

    def _table(self, X: Any, names: list[str]) -> Table:
        return _data.table(X, names, self._coded)

    def _rows(self, X: Any) -> NDArray[Any] | Table:
        check_is_fitted(self)
        if self._coded is None:
            return super()._rows(X)
        X = _data.read(self, X, reset=False)
        if not isinstance(X, np.ndarray):
            return _data.inputs(X, self._model, self._coded)
        return self._table(X, [name for name, _ in self._model.inputs])

    def _settings(self, rows: int, weight: float) -> dict[str, Any]:
        settings = super()._settings(rows, weight)
        if self.max_leaf_nodes is None:
            settings["max_leaves"] = "none"
        early = getattr(self, "early_stopping", False)
        if not (isinstance(early, (bool, np.bool_)) or isinstance(early, str) and early == "auto"):
            raise ValueError(f"early_stopping must be True, False or 'auto', got {early!r}")
        if early == "auto" and rows > _MANY or not isinstance(early, str) and early:
            settings["early_stopping"] = self.n_iter_no_change
            settings["validation"] = self.validation_fraction
        if getattr(self, "interaction_cst", None) is not None:
            settings["interactions"] = interactions(_data.names_of(self), self.interaction_cst)
        loss = getattr(self, "loss", None)
        if loss == "quantile":
            settings["loss"] = f"quantile:{self.quantile}"
        elif loss is not None:
            settings["loss"] = _LOSSES.get(loss, loss)
        return settings

    def _keep(self, model: Model) -> None:
        super()._keep(model)
        self.n_iter_ = model.stages
        told = np.array([kind == "categorical" for _, kind in model.inputs], dtype=bool)
        self.is_categorical_ = told if told.any() else None
        self.validation_loss_ = np.array(model.validation)
        #: Whether rows were held out to end the fit.
        self.do_early_stopping_ = len(model.validation) > 0
        self.n_trees_per_iteration_ = len(model.outputs) if len(model.outputs) > 2 else 1
        #: Minus the loss of the rows held out after each round, and of those that were learned from; empty without early stopping.
        self.validation_score_ = -self.validation_loss_
        self.train_score_ = getattr(self, "train_score_", np.empty(0))

    def _hear(self, losses: list[tuple[float, float | None]], out_of_bag: NDArray[np.float64], further: bool) -> None:
        scores = -np.array([training for training, _ in losses])
        self.train_score_ = np.concatenate([self.train_score_, scores]) if further else scores

    def _staged(self, X: Any) -> Iterator[NDArray[np.float64]]:
        check_is_fitted(self)
        for stages in range(1, self.n_iter_ + 1):
            # A table is read once.
            yield self._model.first_stages(stages).predict(self._asked(X))


class HistGradientBoostingClassifier(Scoring, Classifying, ClassifierMixin, _Boosting):
    """Gradient boosted trees for classes.

    `callback(done, total, note)` hears of every round and ends training, keeping the model, where it returns true; `verbose` prints
    some lines of it. A callback must not write to the arrays of the fit, which are read where they lie. `interaction_cst` is groups of
    columns that may meet on a path of a tree, "pairwise" or "no_interactions". `categorical_features` names columns whose numbers are
    categories, by place, by name or as a mask, negative ones missing; text and categories of tables are categories anyway
    (`"from_dtype"`), and refused with None. With `warm_start` a fit goes on where the last one ended, up to a larger `max_iter`: to the model of
    as many at once, so rows and other parameters have to be the same.

    >>> import numpy as np
    >>> from tilewise import HistGradientBoostingClassifier
    >>> X = np.arange(100.0).reshape(-1, 1)
    >>> model = HistGradientBoostingClassifier(max_iter=20).fit(X, np.where(X[:, 0] < 50, "low", "high"))
    >>> model.predict([[3.0], [97.0]]).tolist()
    ['low', 'high']
    """

    _family = "gbdt"
    _fixed = {"task": "classification"}
    _accepted = {"loss": "log_loss is"}
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
        categorical_features: ArrayLike | str | None = "from_dtype",
        monotonic_cst: Sequence[int] | dict[str, int] | None = None,
        interaction_cst: Sequence[Sequence[int]] | str | None = None,
        warm_start: bool = False,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
        verbose: int = 0,
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
        self.categorical_features = categorical_features
        self.monotonic_cst = monotonic_cst
        self.interaction_cst = interaction_cst
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.verbose = verbose
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.callback = callback

    def staged_decision_function(self, X: Any) -> Iterator[NDArray[np.float64]]:
        """What `decision_function` was after each stage."""
        check_is_fitted(self)
        for stages in range(1, self.n_iter_ + 1):
            scores = self._model.first_stages(stages).scores(self._asked(X))
            yield scores[:, 0] if scores.shape[1] == 1 else scores

    def staged_predict_proba(self, X: Any) -> Iterator[NDArray[np.float64]]:
        """What `predict_proba` was after each stage. Each stage is a model of its own: O(stages^2) trees are read."""
        yield from self._staged(X)

    def staged_predict(self, X: Any) -> Iterator[NDArray[Any]]:
        """What `predict` was after each stage."""
        for shares in self._staged(X):
            yield self.classes_[shares.argmax(axis=1)]


class HistGradientBoostingRegressor(Regressing, RegressorMixin, _Boosting):
    """Gradient boosted trees for numbers; the losses are those of scikit-learn, and ours by their names (`huber:1.5`).

    `callback`, `verbose`, `interaction_cst`, `categorical_features` and `warm_start` as in `HistGradientBoostingClassifier`.

    >>> import numpy as np
    >>> from tilewise import HistGradientBoostingRegressor
    >>> X = np.arange(100.0).reshape(-1, 1)
    >>> model = HistGradientBoostingRegressor(learning_rate=1.0, max_iter=5).fit(X, np.where(X[:, 0] < 50, 1.0, 3.0))
    >>> model.predict([[3.0], [97.0]]).round(6).tolist()
    [1.0, 3.0]
    """

    _family = "gbdt"
    _fixed = {"task": "regression"}
    _accepted = {"loss": "squared_error, absolute_error, poisson, gamma, quantile (with quantile=0.9), huber:1.5 or tweedie:1.5 is"}
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
        categorical_features: ArrayLike | str | None = "from_dtype",
        monotonic_cst: Sequence[int] | dict[str, int] | None = None,
        interaction_cst: Sequence[Sequence[int]] | str | None = None,
        warm_start: bool = False,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
        verbose: int = 0,
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
        self.categorical_features = categorical_features
        self.monotonic_cst = monotonic_cst
        self.interaction_cst = interaction_cst
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.callback = callback

    def staged_predict(self, X: Any) -> Iterator[NDArray[np.float64]]:
        """What `predict` was after each stage. Each stage is a model of its own: O(stages^2) trees are read."""
        for numbers in self._staged(X):
            yield numbers[:, 0]


def _queries(qid: ArrayLike | None, group: ArrayLike | None, rows: int) -> NDArray[np.float64]:
    """The number of the query of each row, from 0 in the order of rows."""
    if qid is not None and group is not None:
        raise ValueError("qid and group both tell which rows are of one query; one of them is accepted")
    if group is not None:
        sizes = column_or_1d(group)
        told = f"group must be whole numbers above 0 that sum to the {rows} rows of X"
        if sizes.dtype.kind not in "iu":
            raise ValueError(f"{told}, got {sizes[:3].tolist()}")
        # A sum that has room for any.
        total = sum(sizes.tolist())
        if (sizes <= 0).any() or total != rows:
            raise ValueError(f"{told}, got {len(sizes)} that sum to {total}")
        return np.repeat(np.arange(float(len(sizes))), sizes.astype(np.int64))
    if qid is None:
        return np.zeros(rows)
    queries = column_or_1d(qid)
    if len(queries) != rows:
        raise ValueError(f"qid has {len(queries)} entries, and X {rows} rows")
    starts = np.flatnonzero(np.concatenate([[True], queries[1:] != queries[:-1]]))
    first = queries[starts]
    if len(np.unique(first)) != len(first):
        values, counts = np.unique(first, return_counts=True)
        raise ValueError(
            f"rows of the query {shown(values[counts > 1][0])} do not follow each other; sort X, y and qid by qid"
        )
    return np.repeat(np.arange(float(len(starts))), np.diff(np.append(starts, rows)))


def _could_be_queries(sample_weight: ArrayLike | None) -> bool:
    """Whether weights look like numbers of queries: whole, and not all the same."""
    if sample_weight is None:
        return False
    weights = np.asarray(sample_weight)
    return weights.dtype.kind in "iu" and weights.ndim == 1 and bool((weights != weights[:1]).any())


class GBDTRanker(_Boosting):
    """Gradient boosted trees that rank the rows of a query, by LambdaRank; the highest score comes first.

    >>> import numpy as np
    >>> from tilewise import GBDTRanker
    >>> X = np.tile(np.arange(10.0), 20).reshape(-1, 1)
    >>> relevance = X[:, 0] // 4
    >>> ranker = GBDTRanker(max_iter=10).fit(X, relevance, group=[10] * 20)
    >>> ranker.predict([[1.0], [9.0], [5.0]]).argsort()[::-1].tolist()
    [1, 2, 0]
    """

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
        verbose: int = 0,
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
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.callback = callback

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        group: ArrayLike | None = None,
        qid: ArrayLike | None = None,
    ) -> Self:
        """Learns from rows and their relevance `y` (0, 1, 2 ...).

        Queries are told either by `qid`, one number or text for each row, equal within a query, whose rows follow each other, or by
        `group`, the number of rows of each query, in their order. Without both all rows are of one query. `sample_weight` has a
        number for each row: that of its query, or 0 for a row that teaches nothing.

        Raises ValueError where lengths do not fit each other, `qid` and `group` are both given, a query comes again later, or its rows
        have different weights. Whole numbers as `sample_weight` that differ, without `qid` and `group`, are refused: the third argument
        was `qid` once, which is passed by keyword.
        """
        if y is None:
            raise ValueError("This GBDTRanker estimator requires y to be passed, but the target y is None")
        X = _data.read(self, X, reset=True)
        name = named(y, "y")
        y = column_or_1d(_check_y(y, y_numeric=True, estimator=self), warn=True)
        check_consistent_length(X, y)
        if qid is None and group is None and _could_be_queries(sample_weight):
            raise ValueError(
                "sample_weight has different whole numbers, and neither qid nor group is given: numbers of queries are passed by "
                "keyword, fit(X, y, qid=...), and weights are accepted as floats"
            )
        queries = _queries(qid, group, len(y))
        if len(X) < 2:
            raise ValueError("there is 1 sample (n_samples = 1); at least two are needed")
        numbers = _data.aligned(y, np.float64)
        self._train(
            X,
            lambda table, goal: table.numbers(goal, numbers),
            target=name,
            sample_weight=self._weights(sample_weight, X),
            group=queries,
        )
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The score of each row, by which those of a query are ranked."""
        check_is_fitted(self)
        return self._predict(X)[:, 0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
