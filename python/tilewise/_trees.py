"""Trees and forests. Missing values and categories are taken as they are; columns have at most `max_bins` cuts."""

from __future__ import annotations

import json
import math
import warnings
from typing import Any, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.base import ClassifierMixin, RegressorMixin

from . import _data
from ._base import Absent, Callback, Classifying, Regressing, Setting, TilewiseEstimator, check_is_fitted, outside, same, threads
from ._native import Model

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
        raise ValueError(f"monotonic_cst must be -1, 0 or 1 for each column, got {wrong[0]!r}")
    asked = [f"{name}:{word[sign]}" for name, sign in pairs if sign]
    return ",".join(asked) or "none"


class _Trees(TilewiseEstimator):
    _missing = True
    _made_of = {"monotone": "monotonic_cst", "out_of_bag": "oob_score"}
    #: What a parameter means as a share: of rows.
    _shares: tuple[str, ...] = ("min_samples_leaf", "min_samples_split")

    def _settings(self, rows: int, weight: float) -> dict[str, Any]:
        settings = super()._settings(rows, weight)
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

    def _leaves(self, X: Any, trees: int) -> NDArray[np.int64]:
        return self._model.leaves(self._rows(X), trees, self._missing, threads(self.n_jobs)).astype(np.int64)

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """The share of each input in what all splits gained."""
        check_is_fitted(self)
        return self._model.importances()


def _paths(model: Model, tree: int, leaves: NDArray[np.int64]) -> csr_array:
    """Rows x nodes of a tree: 1 where a row, which comes to its leaf, comes through the node."""
    parents = model.parents(tree)
    rows, nodes, at = np.arange(len(leaves)), leaves, []
    while len(rows):
        at.append((rows, nodes))
        above = parents[nodes]
        rows, nodes = rows[above >= 0], above[above >= 0]
    row, column = (np.concatenate(part) for part in zip(*at))
    found = csr_array((np.ones(len(row), dtype=np.int64), (row, column)), shape=(len(leaves), len(parents)))
    found.sort_indices()
    return found


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
_FOREST: dict[str, Setting] = {
    **_GROWING,
    "n_estimators": ("trees", same),
    "bootstrap": ("bootstrap", same),
    "max_samples": ("max_samples", same),
}
_CLASSES: dict[str, Setting] = {"class_weight": ("class_weight", same)}


class _Single(_Trees):
    tree_ = Absent("export_text, plot_tree, apply, decision_path, get_depth and get_n_leaves tell of the tree, shap_values of its answers")
    max_features_ = Absent("the number of columns is worked out as trees grow")
    cost_complexity_pruning_path = Absent("ccp_alpha prunes; the alphas at which something is pruned are not told")

    def apply(self, X: Any) -> NDArray[np.int64]:
        """The number of the leaf of each row. Nodes are numbered from the root, 0, each before those below it, left before right.

        >>> from tilewise import DecisionTreeRegressor
        >>> DecisionTreeRegressor().fit([[0.0], [1.0]], [2.0, 4.0]).apply([[0.2], [0.9]]).tolist()
        [1, 2]
        """
        check_is_fitted(self)
        return self._leaves(X, 1)[:, 0]

    def decision_path(self, X: Any) -> csr_array:
        """A sparse matrix of rows x nodes, 1 where a row comes through a node."""
        return _paths(self._model, 0, self.apply(X))

    def get_depth(self) -> int:
        """Questions from the root to the deepest leaf."""
        check_is_fitted(self)
        return self._model.size(0)[0]

    def get_n_leaves(self) -> int:
        """Leaves of the tree."""
        check_is_fitted(self)
        return self._model.size(0)[1]


class _Forest(_Trees):
    _counted = "n_estimators"
    estimators_ = Absent("trees are no estimators of their own: apply, decision_path, export_text(forest, tree=3), plot_tree tell of them")
    estimator_ = Absent("trees are no estimators of their own")
    estimators_samples_ = Absent("rows are drawn by counters as trees grow, and not kept; oob_score=True judges by those left out")

    def apply(self, X: Any) -> NDArray[np.int64]:
        """The number of the leaf of each row in each tree: rows x trees. Nodes are numbered as in a single tree."""
        check_is_fitted(self)
        return self._leaves(X, self.n_iter_)

    def decision_path(self, X: Any) -> tuple[csr_array, NDArray[np.int64]]:
        """A sparse matrix of rows x nodes of all trees, 1 where a row comes through a node, and the places at which the nodes of each
        tree begin, and end."""
        leaves = self.apply(X)
        parts = [_paths(self._model, tree, of_tree) for tree, of_tree in enumerate(leaves.T)]
        return csr_array(hstack(parts, format="csr")), np.cumsum([0] + [part.shape[1] for part in parts])

    def _settings(self, rows: int, weight: float) -> dict[str, Any]:
        if not isinstance(self.oob_score, (bool, np.bool_)):
            raise ValueError(
                f"oob_score must be True or False, got {self.oob_score!r}; another score can be taken of oob_decision_function_ or "
                "oob_prediction_"
            )
        if self.oob_score and not self.bootstrap:
            raise ValueError("Out of bag estimation only available if bootstrap=True")
        settings = {"max_features": "all", **super()._settings(rows, weight)}
        # Named only where it is asked for, as on the command line.
        return settings | {"out_of_bag": True} if self.oob_score else settings

    def _keep(self, model: Model) -> None:
        super()._keep(model)
        # What an earlier fit was asked for is not that of this one.
        for name in ("oob_score_", "oob_prediction_", "oob_decision_function_"):
            self.__dict__.pop(name, None)
        if self.oob_score and (judged := json.loads(model.metadata("out_of_bag") or "null")):
            #: The accuracy, or R2, on rows that were out of the bag of some tree; weights of rows count.
            self.oob_score_ = math.nan if judged["score"] is None else judged["score"]

    def _hear(self, losses: list[tuple[float, float | None]], out_of_bag: NDArray[np.float64], further: bool) -> None:
        if not self.oob_score:
            return
        classifies = hasattr(self, "classes_")
        predictions = out_of_bag if classifies or out_of_bag.shape[1] > 1 else out_of_bag[:, 0]
        unknown = int(np.isnan(out_of_bag[:, 0]).sum())
        if unknown:
            warnings.warn(
                f"{type(self).__name__}: {unknown} of {len(out_of_bag)} rows were in the bag of every tree; of them there is no "
                "out-of-bag prediction (NaN), and more trees leave fewer",
                UserWarning,
                stacklevel=outside(),
            )
        setattr(self, "oob_decision_function_" if classifies else "oob_prediction_", predictions)


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


class RandomForestClassifier(Classifying, ClassifierMixin, _Forest):
    """A random forest for classes; a row's probabilities are the mean of those of its leaves.

    With `oob_score` `oob_score_` is the accuracy on the training rows when each is predicted by the trees that were grown without it,
    and `oob_decision_function_` has these predictions, NaN where every tree saw the row. `max_samples` is the number of rows drawn for a
    tree, or their share. With `warm_start` a fit keeps the trees of the last one, and grows those that a larger `n_estimators` asks for: the
    forest of as many at once, so rows and other parameters have to be the same. `callback(done, total, note)` hears of every
    tree and ends training, keeping those that have grown, where it returns true; `verbose` prints some lines of it. A callback must not
    write to the arrays of the fit, which are read where they lie.

    >>> from sklearn.datasets import load_iris
    >>> from tilewise import RandomForestClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(n_estimators=50, oob_score=True, random_state=0).fit(X, y)
    >>> forest.oob_score_ > 0.9, forest.oob_decision_function_.shape
    (True, (150, 3))
    """

    _family = "forest"
    _fixed = {"task": "classification"}
    _accepted = {"criterion": "gini, entropy or log_loss is"}
    _parameters = {**_FOREST, **_CLASSES}

    @property
    def n_classes_(self) -> int:
        """Classes."""
        check_is_fitted(self)
        return len(self.classes_)

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        criterion: str = "gini",
        max_depth: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        min_weight_fraction_leaf: float = 0.0,
        max_features: int | float | str | None = "sqrt",
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        bootstrap: bool = True,
        oob_score: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        class_weight: dict[Any, float] | str | None = None,
        ccp_alpha: float = 0.0,
        monotonic_cst: Sequence[int] | dict[str, int] | None = None,
        max_bins: int | str = 255,
        max_samples: int | float | None = None,
        warm_start: bool = False,
        callback: Callback | None = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.min_weight_fraction_leaf = min_weight_fraction_leaf
        self.max_features = max_features
        self.max_leaf_nodes = max_leaf_nodes
        self.min_impurity_decrease = min_impurity_decrease
        self.bootstrap = bootstrap
        self.oob_score = oob_score
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.class_weight = class_weight
        self.ccp_alpha = ccp_alpha
        self.monotonic_cst = monotonic_cst
        self.max_bins = max_bins
        self.max_samples = max_samples
        self.warm_start = warm_start
        self.callback = callback


class RandomForestRegressor(Regressing, RegressorMixin, _Forest):
    """A random forest for numbers, of several targets together. As in scikit-learn each node looks at all columns.

    With `oob_score` `oob_score_` is R2 on the training rows when each is predicted by the trees that were grown without it (of several
    targets the mean), and `oob_prediction_` has these predictions, NaN where every tree saw the row. `callback` and `verbose` as in
    `RandomForestClassifier`.

    >>> from sklearn.datasets import load_diabetes
    >>> from tilewise import RandomForestRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> forest = RandomForestRegressor(n_estimators=50, oob_score=True, random_state=0).fit(X, y)
    >>> 0.3 < forest.oob_score_ < 0.6, forest.oob_prediction_.shape
    (True, (442,))
    """

    _family = "forest"
    _several = True
    _fixed = {"task": "regression"}
    _accepted = {"criterion": "squared_error, absolute_error or poisson is"}
    _parameters = _FOREST

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        criterion: str = "squared_error",
        max_depth: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        min_weight_fraction_leaf: float = 0.0,
        max_features: int | float | str | None = 1.0,
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        bootstrap: bool = True,
        oob_score: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        ccp_alpha: float = 0.0,
        monotonic_cst: Sequence[int] | dict[str, int] | None = None,
        max_bins: int | str = 255,
        max_samples: int | float | None = None,
        warm_start: bool = False,
        callback: Callback | None = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.min_weight_fraction_leaf = min_weight_fraction_leaf
        self.max_features = max_features
        self.max_leaf_nodes = max_leaf_nodes
        self.min_impurity_decrease = min_impurity_decrease
        self.bootstrap = bootstrap
        self.oob_score = oob_score
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.ccp_alpha = ccp_alpha
        self.monotonic_cst = monotonic_cst
        self.max_bins = max_bins
        self.max_samples = max_samples
        self.warm_start = warm_start
        self.callback = callback


class ExtraTreesClassifier(RandomForestClassifier):
    """Extremely randomised trees for classes: columns are divided at drawn places, and each tree sees all rows.

    >>> from tilewise import ExtraTreesClassifier
    >>> trees = ExtraTreesClassifier(n_estimators=20, random_state=0).fit([[1.0], [2.0], [8.0], [9.0]], [False, False, True, True])
    >>> trees.predict([[0.0], [10.0]])
    array([False,  True])
    """

    _family = "extra-trees"

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        criterion: str = "gini",
        max_depth: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        min_weight_fraction_leaf: float = 0.0,
        max_features: int | float | str | None = "sqrt",
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        bootstrap: bool = False,
        oob_score: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        class_weight: dict[Any, float] | str | None = None,
        ccp_alpha: float = 0.0,
        monotonic_cst: Sequence[int] | dict[str, int] | None = None,
        max_bins: int | str = 255,
        max_samples: int | float | None = None,
        warm_start: bool = False,
        callback: Callback | None = None,
    ) -> None:
        super().__init__(
            n_estimators, criterion=criterion, max_depth=max_depth, min_samples_split=min_samples_split,
            min_samples_leaf=min_samples_leaf, min_weight_fraction_leaf=min_weight_fraction_leaf,
            max_features=max_features, max_leaf_nodes=max_leaf_nodes, min_impurity_decrease=min_impurity_decrease,
            bootstrap=bootstrap, oob_score=oob_score, n_jobs=n_jobs, random_state=random_state, verbose=verbose, class_weight=class_weight, ccp_alpha=ccp_alpha,
            monotonic_cst=monotonic_cst, max_bins=max_bins, max_samples=max_samples, warm_start=warm_start, callback=callback,
        )


class ExtraTreesRegressor(RandomForestRegressor):
    """Extremely randomised trees for numbers, of several targets together.

    >>> from tilewise import ExtraTreesRegressor
    >>> trees = ExtraTreesRegressor(n_estimators=20, random_state=0).fit([[1.0], [2.0], [8.0], [9.0]], [0.5, 0.5, 3.0, 3.0])
    >>> trees.predict([[0.0], [10.0]])
    array([0.5, 3. ])
    """

    _family = "extra-trees"

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        criterion: str = "squared_error",
        max_depth: int | None = None,
        min_samples_split: int | float = 2,
        min_samples_leaf: int | float = 1,
        min_weight_fraction_leaf: float = 0.0,
        max_features: int | float | str | None = 1.0,
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        bootstrap: bool = False,
        oob_score: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        ccp_alpha: float = 0.0,
        monotonic_cst: Sequence[int] | dict[str, int] | None = None,
        max_bins: int | str = 255,
        max_samples: int | float | None = None,
        warm_start: bool = False,
        callback: Callback | None = None,
    ) -> None:
        super().__init__(
            n_estimators, criterion=criterion, max_depth=max_depth, min_samples_split=min_samples_split,
            min_samples_leaf=min_samples_leaf, min_weight_fraction_leaf=min_weight_fraction_leaf,
            max_features=max_features, max_leaf_nodes=max_leaf_nodes, min_impurity_decrease=min_impurity_decrease,
            bootstrap=bootstrap, oob_score=oob_score, n_jobs=n_jobs, random_state=random_state, verbose=verbose, ccp_alpha=ccp_alpha,
            monotonic_cst=monotonic_cst, max_bins=max_bins, max_samples=max_samples, warm_start=warm_start, callback=callback,
        )
