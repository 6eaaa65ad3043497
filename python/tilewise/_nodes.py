"""The nodes of a tree as arrays, with the names that scikit-learn has for them."""

from __future__ import annotations

import json
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import entr, xlogy

from ._native import Model


class Tree:
    """A fitted tree in arrays of an entry for each node, as in scikit-learn: `apply` numbers nodes so, the root 0, each before those below
    it, left before right. They cannot be written to.

    A row goes to `children_left` where its number in column `feature` is at most `threshold`, else to `children_right`; a missing one goes left
    where `missing_go_to_left` is 1. Numbers are compared as they are given, not as float32. A threshold is infinite where all numbers go
    left and what is missing right. Leaves have -1 as children, -2 as feature and threshold. Where categories are asked about, which
    scikit-learn's trees do not, `feature` tells the column and `threshold` is NaN: `export_text` has the categories. `value` is nodes x targets x 1,
    or for classes nodes x 1 x their shares. `impurity` is there for classes, by the criterion of the fit.

    >>> from tilewise import DecisionTreeRegressor
    >>> tree = DecisionTreeRegressor().fit([[1.0], [2.0], [8.0], [9.0]], [0.5, 0.5, 3.0, 3.0]).tree_
    >>> tree.children_left.tolist(), tree.feature.tolist(), tree.threshold.tolist()
    ([1, -1, -1], [0, -2, -2], [5.0, -2.0, -2.0])
    >>> tree.value.ravel().tolist(), tree.n_node_samples.tolist()
    ([1.75, 0.5, 3.0], [4, 2, 2])
    """

    children_left: NDArray[np.int64]
    children_right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    missing_go_to_left: NDArray[np.uint8]
    #: Training rows, and their weight.
    n_node_samples: NDArray[np.int64]
    weighted_n_node_samples: NDArray[np.float64]
    value: NDArray[np.float64]

    def __init__(self, model: Model, tree: int) -> None:
        self.__dict__.update(model.nodes(tree))
        classifies = model.task == "classification"
        nodes, outputs = self.value.shape
        self.value = self.value.reshape((nodes, 1, outputs) if classifies else (nodes, outputs, 1))
        params = json.loads(model.metadata("params") or "{}")
        #: As the model has it: `auto` is Gini for classes.
        self._criterion: str = params.get("tree", params)["criterion"]
        self._classifies = classifies
        self.node_count = nodes
        #: Columns, and targets.
        self.n_features = len(model.inputs)
        self.n_outputs, self.max_n_classes = self.value.shape[1:]
        self.n_classes = np.full(self.n_outputs, self.max_n_classes)
        self.n_leaves = int((self.children_left < 0).sum())
        #: Questions from the root to the deepest leaf.
        self.max_depth = int(self.compute_node_depths().max()) - 1
        for array in vars(self).values():
            if isinstance(array, np.ndarray):
                array.flags.writeable = False

    @property
    def impurity(self) -> NDArray[np.float64]:
        """The impurity of each node, of trees for classes: Gini, or entropy in bits."""
        if not self._classifies:
            raise AttributeError("a tree for numbers has no impurity: its model keeps what splits gained, not the spread within nodes")
        shares = self.value[:, 0]
        return entr(shares).sum(axis=1) / np.log(2) if self._criterion == "entropy" else 1 - (shares**2).sum(axis=1)

    def compute_node_depths(self) -> NDArray[np.int64]:
        """Nodes from the root to each node, both counted."""
        depths = np.ones(self.node_count, dtype=np.int64)
        level = np.arange(1)
        while len(level):
            divided = level[self.children_left[level] >= 0]
            level = np.concatenate([self.children_left[divided], self.children_right[divided]])
            depths[level] = depths[divided[:1]] + 1
        return depths

    def _paths(self, leaves: NDArray[np.int64]) -> csr_array:
        """Rows x nodes: 1 where a row, which comes to its leaf, comes through the node."""
        parents = np.full(self.node_count, -1)
        divided = np.flatnonzero(self.children_left >= 0)
        parents[self.children_left[divided]] = parents[self.children_right[divided]] = divided
        rows, nodes, at = np.arange(len(leaves)), leaves, []
        while len(rows):
            at.append((rows, nodes))
            above = parents[nodes]
            rows, nodes = rows[above >= 0], above[above >= 0]
        row, column = (np.concatenate(part) for part in zip(*at))
        found = csr_array((np.ones(len(row), dtype=np.int64), (row, column)), shape=(len(leaves), self.node_count))
        found.sort_indices()
        return found

    def _impurity_of_root(self, y: Any, sample_weight: Any) -> float:
        """In the units of `ccp_alpha`: entropy in nats, of several targets the mean. `y` are the rows of the fit."""
        if self._classifies:
            return float(self.impurity[0] * (np.log(2) if self._criterion == "entropy" else 1.0))
        # What the root answers is the mean, or the median.
        y, centre = np.asarray(y, dtype=np.float64).reshape(len(y), -1), self.value[0, :, 0]
        loss = {"absolute": np.abs(y - centre), "poisson": xlogy(y, y / centre)}.get(self._criterion, (y - centre) ** 2)
        return float(np.average(loss, axis=0, weights=sample_weight).mean())


_MADE: WeakKeyDictionary[Model, dict[int, Tree]] = WeakKeyDictionary()


def tree_of(model: Model, tree: int) -> Tree:
    """Tree number `tree` of a model, made once as long as the model is there: readers ask for `tree_` again and again."""
    made = _MADE.setdefault(model, {})
    if tree not in made:
        made[tree] = Tree(model, tree)
    return made[tree]
