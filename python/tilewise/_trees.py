"""Trees and forests. Missing values and categories are taken as they are; columns have at most `max_bins` cuts."""

from __future__ import annotations

import math
from typing import Any, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from . import _data
from ._base import Classifying, Regressing, Setting, TilewiseEstimator, same

_CRITERIA = {"squared_error": "squared", "absolute_error": "absolute", "log_loss": "entropy"}


def criterion(name: str) -> str:
    """scikit-learn's name of a criterion as ours."""
    return _CRITERIA.get(name, name)


def features(count: int | float | str) -> int | float | str:
    """`max_features`: a share of 1.0 is all of them."""
    return "all" if isinstance(count, float) and count == 1.0 else count


def monotone(names: list[str], constraints: Sequence[int] | dict[str, int]) -> str:
    """`monotonic_cst` (-1, 0, 1 for each column, or by name) as `--set monotone`."""
    pairs = constraints.items() if isinstance(constraints, dict) else zip(names, constraints, strict=True)
    word = {1: "up", -1: "down"}
    asked = [f"{name}:{word[sign]}" for name, sign in pairs if sign]
    return ",".join(asked) or "none"


class _Trees(TilewiseEstimator):
    _missing = True
    #: What a parameter means as a share: of rows.
    _shares = ("min_samples_leaf", "min_samples_split")

    def _settings(self, rows: int) -> dict[str, Any]:
        settings = super()._settings(rows)
        for name in self._shares:
            given = getattr(self, name, None)
            if isinstance(given, float) and not given.is_integer():
                settings[name] = max(1 + (name == "min_samples_split"), math.ceil(given * rows))
            elif given is not None:
                settings[name] = int(given)
        if getattr(self, "monotonic_cst", None) is not None:
            settings["monotone"] = monotone(_data.names_of(self), self.monotonic_cst)
        return settings

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """The share of each input in what all splits gained."""
        check_is_fitted(self, "_model")
        return self._model.importances()


_GROWING: dict[str, Setting] = {
    "criterion": ("criterion", criterion),
    "max_depth": ("max_depth", same),
    "max_features": ("max_features", features),
    "max_leaf_nodes": ("max_leaves", same),
    "min_impurity_decrease": ("min_impurity_decrease", same),
    "ccp_alpha": ("ccp_alpha", same),
    "max_bins": ("max_bins", same),
}
_TREE: dict[str, Setting] = {**_GROWING, "splitter": ("splitter", same)}
_FOREST: dict[str, Setting] = {**_GROWING, "n_estimators": ("trees", same), "bootstrap": ("bootstrap", same)}
_CLASSES: dict[str, Setting] = {"class_weight": ("class_weight", same)}


class DecisionTreeClassifier(Classifying, ClassifierMixin, _Trees):
    """A decision tree for classes.

    >>> from tilewise import DecisionTreeClassifier
    >>> tree = DecisionTreeClassifier().fit([[1.0], [2.0], [8.0], [9.0]], ["low", "low", "high", "high"])
    >>> tree.predict([[1.5], [8.5]]).tolist()
    ['low', 'high']
    """

    _family = "tree"
    _fixed = {"task": "classification"}
    _parameters = {**_TREE, **_CLASSES}

    def __init__(
        self,
        *,
        criterion: str = "gini",
        splitter: str = "best",
        max_depth: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        max_features: int | float | str | None = None,
        random_state: Any = None,
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        class_weight: dict[Any, float] | str | None = None,
        ccp_alpha: float = 0.0,
        monotonic_cst: Sequence[int] | dict[str, int] | None = None,
        max_bins: int | str = 255,
        n_jobs: int | None = None,
    ) -> None:
        self.criterion = criterion
        self.splitter = splitter
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.random_state = random_state
        self.max_leaf_nodes = max_leaf_nodes
        self.min_impurity_decrease = min_impurity_decrease
        self.class_weight = class_weight
        self.ccp_alpha = ccp_alpha
        self.monotonic_cst = monotonic_cst
        self.max_bins = max_bins
        self.n_jobs = n_jobs


class DecisionTreeRegressor(Regressing, RegressorMixin, _Trees):
    """A decision tree for numbers, of several targets together."""

    _family = "tree"
    _several = True
    _fixed = {"task": "regression"}
    _parameters = _TREE

    def __init__(
        self,
        *,
        criterion: str = "squared_error",
        splitter: str = "best",
        max_depth: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        max_features: int | float | str | None = None,
        random_state: Any = None,
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        ccp_alpha: float = 0.0,
        monotonic_cst: Sequence[int] | dict[str, int] | None = None,
        max_bins: int | str = 255,
        n_jobs: int | None = None,
    ) -> None:
        self.criterion = criterion
        self.splitter = splitter
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.random_state = random_state
        self.max_leaf_nodes = max_leaf_nodes
        self.min_impurity_decrease = min_impurity_decrease
        self.ccp_alpha = ccp_alpha
        self.monotonic_cst = monotonic_cst
        self.max_bins = max_bins
        self.n_jobs = n_jobs


class RandomForestClassifier(Classifying, ClassifierMixin, _Trees):
    """A random forest for classes; a row's probabilities are the mean of those of its leaves."""

    _family = "forest"
    _fixed = {"task": "classification"}
    _parameters = {**_FOREST, **_CLASSES}

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        criterion: str = "gini",
        max_depth: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        max_features: int | float | str | None = "sqrt",
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        bootstrap: bool = True,
        n_jobs: int | None = None,
        random_state: Any = None,
        class_weight: dict[Any, float] | str | None = None,
        ccp_alpha: float = 0.0,
        monotonic_cst: Sequence[int] | dict[str, int] | None = None,
        max_bins: int | str = 255,
    ) -> None:
        self.n_estimators = n_estimators
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.max_leaf_nodes = max_leaf_nodes
        self.min_impurity_decrease = min_impurity_decrease
        self.bootstrap = bootstrap
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.class_weight = class_weight
        self.ccp_alpha = ccp_alpha
        self.monotonic_cst = monotonic_cst
        self.max_bins = max_bins

    def _settings(self, rows: int) -> dict[str, Any]:
        return {"max_features": "all", **super()._settings(rows)}


class RandomForestRegressor(Regressing, RegressorMixin, _Trees):
    """A random forest for numbers, of several targets together. As in scikit-learn each node looks at all columns."""

    _family = "forest"
    _several = True
    _fixed = {"task": "regression"}
    _parameters = _FOREST

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        criterion: str = "squared_error",
        max_depth: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        max_features: int | float | str | None = 1.0,
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        bootstrap: bool = True,
        n_jobs: int | None = None,
        random_state: Any = None,
        ccp_alpha: float = 0.0,
        monotonic_cst: Sequence[int] | dict[str, int] | None = None,
        max_bins: int | str = 255,
    ) -> None:
        self.n_estimators = n_estimators
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.max_leaf_nodes = max_leaf_nodes
        self.min_impurity_decrease = min_impurity_decrease
        self.bootstrap = bootstrap
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.ccp_alpha = ccp_alpha
        self.monotonic_cst = monotonic_cst
        self.max_bins = max_bins

    def _settings(self, rows: int) -> dict[str, Any]:
        return {"max_features": "all", **super()._settings(rows)}


class ExtraTreesClassifier(RandomForestClassifier):
    """Extremely randomised trees for classes: columns are divided at drawn places, and each tree sees all rows."""

    _family = "extra-trees"

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        criterion: str = "gini",
        max_depth: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        max_features: int | float | str | None = "sqrt",
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        bootstrap: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
        class_weight: dict[Any, float] | str | None = None,
        ccp_alpha: float = 0.0,
        monotonic_cst: Sequence[int] | dict[str, int] | None = None,
        max_bins: int | str = 255,
    ) -> None:
        super().__init__(
            n_estimators, criterion=criterion, max_depth=max_depth, min_samples_split=min_samples_split,
            min_samples_leaf=min_samples_leaf, max_features=max_features, max_leaf_nodes=max_leaf_nodes,
            min_impurity_decrease=min_impurity_decrease, bootstrap=bootstrap, n_jobs=n_jobs,
            random_state=random_state, class_weight=class_weight, ccp_alpha=ccp_alpha,
            monotonic_cst=monotonic_cst, max_bins=max_bins,
        )


class ExtraTreesRegressor(RandomForestRegressor):
    """Extremely randomised trees for numbers, of several targets together."""

    _family = "extra-trees"

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        criterion: str = "squared_error",
        max_depth: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        max_features: int | float | str | None = 1.0,
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        bootstrap: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
        ccp_alpha: float = 0.0,
        monotonic_cst: Sequence[int] | dict[str, int] | None = None,
        max_bins: int | str = 255,
    ) -> None:
        super().__init__(
            n_estimators, criterion=criterion, max_depth=max_depth, min_samples_split=min_samples_split,
            min_samples_leaf=min_samples_leaf, max_features=max_features, max_leaf_nodes=max_leaf_nodes,
            min_impurity_decrease=min_impurity_decrease, bootstrap=bootstrap, n_jobs=n_jobs,
            random_state=random_state, ccp_alpha=ccp_alpha, monotonic_cst=monotonic_cst, max_bins=max_bins,
        )
