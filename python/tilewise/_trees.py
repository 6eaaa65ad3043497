"""Single trees, and what forests and boosting share with them. Missing values and categories are taken as they are; columns have at most
`max_bins` cuts."""

from __future__ import annotations

import json
import math
import warnings
from typing import Any, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.base import ClassifierMixin, RegressorMixin, clone
from sklearn.utils import Bunch

from . import _data
from ._base import Classifying, Regressing, Setting, TilewiseEstimator, check_is_fitted, outside, same, shown
from ._nodes import Tree, tree_of

_CRITERIA = {"squared_error": "squared", "absolute_error": "absolute", "log_loss": "entropy"}


def criterion(name: str) -> str:
    """scikit-learn's name of a criterion as ours."""
    return _CRITERIA.get(name, name)


def features(count: int | float | str) -> int | float | str:
    """`max_features`: a share of 1.0 is all of them."""
    return "all" if isinstance(count, float) and count == 1.0 else count


def monotone(names: list[str], constraints: Sequence[int] | dict[str, int]) -> str:
    """`monotonic_cst` (-1, 0, 1 for each column, or by name) as `--set monotone`."""
    if not isinstance(constraints, dict) and len(constraints) != len(names):
        raise ValueError(f"monotonic_cst has {len(constraints)} entries, and X {len(names)} columns")
    pairs = list(constraints.items() if isinstance(constraints, dict) else zip(names, constraints))
    word = {1: "up", -1: "down"}
    if wrong := [sign for _, sign in pairs if sign not in (-1, 0, 1)]:
        raise ValueError(f"monotonic_cst must be -1, 0 or 1 for each column, got {shown(wrong[0])}")
    asked = [f"{name}:{word[sign]}" for name, sign in pairs if sign]
    return ",".join(asked) or "none"


class _Trees(TilewiseEstimator):
    _missing = True
    _made_of = {"monotone": "monotonic_cst", "out_of_bag": "oob_score"}
    #: What a parameter means as a share: of rows.
    _shares: tuple[str, ...] = ("min_samples_leaf", "min_samples_split")

    def _settings(self, rows: int, weight: float) -> dict[str, Any]:
        settings = super()._settings(rows, weight)
        # `tilewise train` also grows trees of one leaf.
        for name, least in (("max_depth", 1), ("max_leaf_nodes", 2)):
            given = getattr(self, name)
            if isinstance(given, (int, float, np.number)) and given < least:
                raise ValueError(f"parameter {name}: {shown(given)} is not accepted; a whole number of {least} or more, or None, is")
        for name in self._shares:
            given = getattr(self, name, None)
            if isinstance(given, float) and not given.is_integer():
                settings[name] = max(1 + (name == "min_samples_split"), math.ceil(given * rows))
            elif given is not None:
                settings[name] = int(given)
        if getattr(self, "monotonic_cst", None) is not None:
            settings["monotone"] = monotone(_data.names_of(self), self.monotonic_cst)
        return settings

    #: What counts the rounds of a fit, of those that have `warm_start`.
    _counted = ""

    def _earlier(self) -> tuple[bytes, dict[str, Any]] | None:
        if not getattr(self, "warm_start", False) or "_model" not in self.__dict__:
            return None
        asked = getattr(self, self._counted)
        if self.n_iter_ == asked:
            warnings.warn(
                f"{type(self).__name__}: warm_start without a larger {self._counted} than {asked} adds no trees",
                UserWarning,
                stacklevel=outside(),
            )
        return self._model.to_bytes(), {}

    def _seed(self, further: bool = False) -> int:
        # Random states that are no numbers would draw another.
        if further and not isinstance(self.random_state, (int, np.integer, type(None))):
            return int(json.loads(self._model.metadata("seed") or "0"))
        return super()._seed(further)

    @property
    def n_outputs_(self) -> int:
        """Targets."""
        check_is_fitted(self)
        return len(self._model.outputs) if self._model.task == "outputs" else 1

    def _leaves(self, X: Any) -> NDArray[np.int64]:
        check_is_fitted(self)
        return self._model.leaves(self._asked(X)).astype(np.int64)

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """The share of each input in what all splits gained."""
        check_is_fitted(self)
        return self._model.importances()


_GROWING: dict[str, Setting] = {
    "criterion": ("criterion", criterion),
    "max_depth": ("max_depth", same),
    "max_features": ("max_features", features),
    "max_leaf_nodes": ("max_leaves", same),
    "min_weight_fraction_leaf": ("min_weight_fraction_leaf", same),
    "min_impurity_decrease": ("min_impurity_decrease", same),
    "ccp_alpha": ("ccp_alpha", same),
    "max_bins": ("max_bins", same),
}
_TREE: dict[str, Setting] = {**_GROWING, "splitter": ("splitter", same)}
_CLASSES: dict[str, Setting] = {"class_weight": ("class_weight", same)}


class _Single(_Trees):
    def _settings(self, rows: int, weight: float) -> dict[str, Any]:
        settings = super()._settings(rows, weight)
        # As where none is named, so that files are those of the command line.
        if self.criterion == ("gini" if self._fixed["task"] == "classification" else "squared_error"):
            settings["criterion"] = "auto"
        return settings

    @property
    def tree_(self) -> Tree:
        """The nodes as arrays, as scikit-learn has them: `tilewise._nodes.Tree` tells what differs."""
        check_is_fitted(self)
        return tree_of(self._model, 0)

    @property
    def max_features_(self) -> int:
        """Columns that each node looks at, which is never more than there are."""
        check_is_fitted(self)
        return self._model.max_features()

    def cost_complexity_pruning_path(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Bunch:
        """Grows the tree for `X` and `y` and prunes it to its root: `ccp_alphas`, at which more of it is cut off, ascending from 0, and the
        `impurities` of the leaves that are then left.

        Those that are equal, which scikit-learn lists one by one, are there once. With entropy they are in nats, as `ccp_alpha` is.

        >>> from tilewise import DecisionTreeRegressor
        >>> path = DecisionTreeRegressor().cost_complexity_pruning_path([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 19.0, 21.0])
        >>> path.ccp_alphas.tolist(), path.impurities.tolist()
        ([0.0, 0.5, 81.0], [0.0, 1.0, 82.0])
        """
        whole = clone(self).set_params(ccp_alpha=0.0).fit(X, y, sample_weight)
        alphas, added = whole._model.pruning_path()
        # The last tree is the root alone.
        root = whole.tree_._impurity_of_root(y, sample_weight)
        return Bunch(ccp_alphas=alphas, impurities=root - (added[-1] - added))

    def apply(self, X: Any) -> NDArray[np.int64]:
        """The number of the leaf of each row. Nodes are numbered from the root, 0, each before those below it, left before right.

        >>> from tilewise import DecisionTreeRegressor
        >>> DecisionTreeRegressor().fit([[0.0], [1.0]], [2.0, 4.0]).apply([[0.2], [0.9]]).tolist()
        [1, 2]
        """
        return self._leaves(X)[:, 0]

    def decision_path(self, X: Any) -> csr_array:
        """A sparse matrix of rows x nodes, 1 where a row comes through a node."""
        return self.tree_._paths(self.apply(X))

    def get_depth(self) -> int:
        """Questions from the root to the deepest leaf."""
        return self.tree_.max_depth

    def get_n_leaves(self) -> int:
        """Leaves of the tree."""
        return self.tree_.n_leaves


class DecisionTreeClassifier(Classifying, ClassifierMixin, _Single):
    """A decision tree for classes.

    >>> from tilewise import DecisionTreeClassifier
    >>> tree = DecisionTreeClassifier().fit([[1.0], [2.0], [8.0], [9.0]], ["low", "low", "high", "high"])
    >>> tree.predict([[1.5], [8.5]]).tolist()
    ['low', 'high']
    """

    _family = "tree"
    _fixed = {"task": "classification"}
    _accepted = {"criterion": "gini, entropy or log_loss is"}
    _parameters = {**_TREE, **_CLASSES}

    @property
    def n_classes_(self) -> int:
        """Classes."""
        check_is_fitted(self)
        return len(self.classes_)

    def __init__(
        self,
        *,
        criterion: str = "gini",
        splitter: str = "best",
        max_depth: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        min_weight_fraction_leaf: float = 0.0,
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
        self.min_weight_fraction_leaf = min_weight_fraction_leaf
        self.max_features = max_features
        self.random_state = random_state
        self.max_leaf_nodes = max_leaf_nodes
        self.min_impurity_decrease = min_impurity_decrease
        self.class_weight = class_weight
        self.ccp_alpha = ccp_alpha
        self.monotonic_cst = monotonic_cst
        self.max_bins = max_bins
        self.n_jobs = n_jobs


class DecisionTreeRegressor(Regressing, RegressorMixin, _Single):
    """A decision tree for numbers, of several targets together.

    >>> from tilewise import DecisionTreeRegressor, export_text
    >>> tree = DecisionTreeRegressor().fit([[1.0], [2.0], [8.0], [9.0]], [0.5, 0.5, 3.0, 3.0])
    >>> print(export_text(tree), end="")
      x0 <= 5, missing right (4 rows)
        0.5 (2 rows)
        3 (2 rows)
    """

    _family = "tree"
    _several = True
    _fixed = {"task": "regression"}
    _accepted = {"criterion": "squared_error, absolute_error or poisson is"}
    _parameters = _TREE

    def __init__(
        self,
        *,
        criterion: str = "squared_error",
        splitter: str = "best",
        max_depth: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        min_weight_fraction_leaf: float = 0.0,
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
        self.min_weight_fraction_leaf = min_weight_fraction_leaf
        self.max_features = max_features
        self.random_state = random_state
        self.max_leaf_nodes = max_leaf_nodes
        self.min_impurity_decrease = min_impurity_decrease
        self.ccp_alpha = ccp_alpha
        self.monotonic_cst = monotonic_cst
        self.max_bins = max_bins
        self.n_jobs = n_jobs
