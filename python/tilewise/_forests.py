"""Forests and extremely randomised trees."""

from __future__ import annotations

import copy
import json
import math
import warnings
from collections import abc
from typing import Any, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.base import ClassifierMixin, RegressorMixin

from ._base import Absent, Callback, Classifying, Regressing, Setting, check_is_fitted, outside, same
from ._native import Model
from ._nodes import Tree
from ._trees import _CLASSES, _GROWING, DecisionTreeClassifier, DecisionTreeRegressor, _Single, _Trees

_FOREST: dict[str, Setting] = {
    **_GROWING,
    "n_estimators": ("trees", same),
    "bootstrap": ("bootstrap", same),
    "max_samples": ("max_samples", same),
}


class _Estimators(abc.Sequence[_Single]):
    """The trees of a forest, each made into an estimator when it is asked for, anew each time."""

    def __init__(self, model: Model, trees: int, like: _Single) -> None:
        self._model, self._trees, self._like = model, range(trees), like

    def __len__(self) -> int:
        return len(self._trees)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[number] for number in self._trees[at]]
        tree = copy.copy(self._like)
        tree._keep(self._model.tree(self._trees[at]))
        return tree


class _Forest(_Trees):
    _counted = "n_estimators"
    #: What its trees are by themselves.
    _of: type[Any]
    estimators_samples_ = Absent("rows are drawn by counters as trees grow, and not kept; oob_score=True judges by those left out")

    @property
    def estimator_(self) -> _Single:
        """A tree that is not fitted, with the parameters that those of the forest have."""
        check_is_fitted(self)
        names = set(self._of._get_param_names()) & set(self._get_param_names())
        drawn = {"splitter": "random"} if self._family == "extra-trees" else {}
        return self._of(**{name: getattr(self, name) for name in names}, **drawn)

    @property
    def estimators_(self) -> Sequence[_Single]:
        """The trees as estimators, each made when it is asked for, a copy of its nodes. The forest predicts the mean of what they do; those for
        classes predict, as scikit-learn's do, places in its `classes_`. A fit of one grows another tree: rows are drawn by the forest.

        >>> from tilewise import RandomForestRegressor
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 19.0, 21.0]
        >>> forest = RandomForestRegressor(n_estimators=3).fit(X, y)
        >>> bool(forest.predict(X)[1] == sum(tree.predict(X)[1] for tree in forest.estimators_) / 3)
        True
        """
        like = self.estimator_
        like.n_features_in_ = self.n_features_in_
        if (names := getattr(self, "feature_names_in_", None)) is not None:
            like.feature_names_in_ = names
        if (classes := getattr(self, "classes_", None)) is not None:
            like.classes_ = np.arange(len(classes), dtype=np.float64)
        return _Estimators(self._model, self.n_iter_, like)

    def apply(self, X: Any) -> NDArray[np.int64]:
        """The number of the leaf of each row in each tree: rows x trees. Nodes are numbered as in a single tree."""
        return self._leaves(X)

    def decision_path(self, X: Any) -> tuple[csr_array, NDArray[np.int64]]:
        """A sparse matrix of rows x nodes of all trees, 1 where a row comes through a node, and the places at which the nodes of each
        tree begin, and end."""
        leaves = self.apply(X)
        parts = [Tree(self._model, tree)._paths(of_tree) for tree, of_tree in enumerate(leaves.T)]
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
    _of = DecisionTreeClassifier
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
    _of = DecisionTreeRegressor
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
