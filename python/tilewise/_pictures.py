"""Trees as text and as pictures."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, Iterable

from ._base import TilewiseEstimator, check_is_fitted
from ._native import Model


def _model_of(estimator: Any) -> Model:
    if not isinstance(estimator, TilewiseEstimator):
        raise TypeError(f"an estimator of tilewise is accepted, not {type(estimator).__name__}")
    check_is_fitted(estimator)
    return estimator._model


def _place(name: str, number: int | None, least: int) -> None:
    if number is not None and (isinstance(number, bool) or not hasattr(number, "__index__") or number < least):
        raise ValueError(f"{name} must be a whole number of {least} or more, got {number!r}")


def _called(feature_names: Iterable[Any] | None, class_names: Iterable[Any] | bool | None) -> dict[str, list[str] | None]:
    """What trees call inputs and classes, as the compiled part takes it; None is the model's own names."""
    own = class_names is None or isinstance(class_names, bool)
    return {
        "features": None if feature_names is None else [str(name) for name in feature_names],
        "classes": None if own else [str(name) for name in class_names],  # type: ignore[union-attr]
    }


def export_text(
    estimator: Any,
    *,
    tree: int = 0,
    max_depth: int | None = None,
    max_lines: int = 10_000,
    feature_names: Iterable[Any] | None = None,
    class_names: Iterable[Any] | bool | None = None,
) -> str:
    """Tree number `tree`, from 0, of a fitted estimator as indented text: a line for each node, with its rows.

    What lies below `max_depth` questions is counted, and so is what comes after `max_lines` lines. `feature_names` and `class_names`, in the
    order of columns and of `classes_`, take the place of the model's names. Raises ValueError where the model has no such tree, or
    another number of names.

    >>> from tilewise import DecisionTreeClassifier, export_text
    >>> model = DecisionTreeClassifier().fit([[1.0], [2.0], [8.0], [9.0]], ["low", "low", "high", "high"])
    >>> print(export_text(model), end="")
      x0 <= 5, missing right (4 rows)
        "low" 1.000 (2 rows)
        "high" 1.000 (2 rows)
    """
    model = _model_of(estimator)
    for name, number, least in (("tree", tree, 0), ("max_depth", max_depth, 0), ("max_lines", max_lines, 1)):
        _place(name, number, least)
    return model.outline(tree, max_depth, max_lines, _called(feature_names, class_names))


class TreePicture:
    """A picture of a tree, which notebooks show: an SVG document, and text where there are no pictures."""

    def __init__(self, svg: str, text: str) -> None:
        #: The document.
        self.svg = svg
        self._text = text

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return self._text

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the document to a file."""
        Path(path).write_text(self.svg, encoding="utf-8")


def plot_tree(
    estimator: Any,
    *,
    tree: int = 0,
    max_depth: int | None = 4,
    feature_names: Iterable[Any] | None = None,
    class_names: Iterable[Any] | bool | None = None,
) -> TreePicture:
    """A picture of tree number `tree`, from 0, of a fitted estimator, down to `max_depth` questions (None for all of them).

    A notebook shows it; `save` writes it, `svg` is the document. Each box has the question, the answer, and the rows that came there; the
    thickness of a way is their share. `feature_names` and `class_names` as in `export_text`. Raises ValueError where the model has no such
    tree.

    >>> from tilewise import DecisionTreeClassifier, plot_tree
    >>> model = DecisionTreeClassifier().fit([[1.0], [2.0], [8.0], [9.0]], ["low", "low", "high", "high"])
    >>> plot_tree(model).svg.startswith("<svg")
    True
    """
    model = _model_of(estimator)
    _place("tree", tree, 0)
    _place("max_depth", max_depth, 0)
    names = _called(feature_names, class_names)
    return TreePicture(model.picture(tree, max_depth, names), model.outline(tree, max_depth, 100, names))


def export_graphviz(
    estimator: Any,
    *,
    tree: int = 0,
    max_depth: int | None = None,
    feature_names: Iterable[Any] | None = None,
    class_names: Iterable[Any] | bool | None = None,
) -> str:
    """Tree number `tree`, from 0, of a fitted estimator in the language of Graphviz, down to `max_depth` questions. `feature_names` and
    `class_names` as in `export_text`.

    Raises ValueError where the model has no such tree.

    >>> from tilewise import DecisionTreeClassifier, export_graphviz
    >>> model = DecisionTreeClassifier().fit([[1.0], [2.0], [8.0], [9.0]], ["low", "low", "high", "high"])
    >>> export_graphviz(model).startswith("digraph tree {")
    True
    """
    model = _model_of(estimator)
    _place("tree", tree, 0)
    _place("max_depth", max_depth, 0)
    return model.graphviz(tree, max_depth, _called(feature_names, class_names))
