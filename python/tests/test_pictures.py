"""Trees as text and pictures, and what notebooks show."""

import xml.dom.minidom

import estimators
import numpy as np
import pytest
import tilewise
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError


def fitted():
    X, y = load_iris(return_X_y=True, as_frame=True)
    return tilewise.RandomForestClassifier(n_estimators=3, random_state=0).fit(X, np.array(["a<b", "c", "d"])[y])


def test_text_has_a_line_for_each_node():
    X, y = load_diabetes(return_X_y=True)
    tree = tilewise.DecisionTreeRegressor(max_depth=3).fit(X, y)
    lines = tilewise.export_text(tree).splitlines()
    assert len(lines) == 2 * tree.get_n_leaves() - 1 and tree.get_depth() == 3
    assert sum("<=" in line for line in lines) == tree.get_n_leaves() - 1
    # Leaves are what is predicted, and their rows are all.
    leaves = {float(line.split()[0]): int(line.split("(")[1].split()[0]) for line in lines if "<=" not in line}
    values, counts = np.unique(tree.predict(X), return_counts=True)
    assert leaves == dict(zip(values.tolist(), counts.tolist()))
    assert tree.export_text(max_depth=0).count("nodes more") == 1
    assert tilewise.export_text(tree, max_lines=2).count("\n") == 3


def test_a_picture_is_svg_that_notebooks_show(tmp_path):
    forest = fitted()
    picture = tilewise.plot_tree(forest, tree=1, max_depth=2)
    document = xml.dom.minidom.parseString(picture._repr_svg_())
    assert document.documentElement.tagName == "svg"
    words = "".join(node.firstChild.data for node in document.getElementsByTagName("text") if node.firstChild)
    assert "petal" in words and "a<b" in words
    assert repr(picture) == tilewise.export_text(forest, tree=1, max_depth=2, max_lines=100)
    picture.save(tmp_path / "tree.svg")
    assert (tmp_path / "tree.svg").read_text() == picture.svg
    # All of it has a box for each node.
    whole = tilewise.plot_tree(forest, tree=1, max_depth=None)
    assert len(whole.svg) > len(picture.svg) and "more" not in repr(whole)
    assert tilewise.plot_tree(forest, tree=0).svg != tilewise.plot_tree(forest, tree=1).svg


def test_graphviz_has_a_node_for_each():
    forest = fitted()
    dot = tilewise.export_graphviz(forest, tree=2)
    nodes = len(tilewise.export_text(forest, tree=2).splitlines())
    assert dot.count("[label=") == nodes + (nodes - 1) and dot.count(" -> ") == nodes - 1


@pytest.mark.parametrize("show", [tilewise.export_text, tilewise.plot_tree, tilewise.export_graphviz])
def test_what_is_no_tree_is_told(show):
    forest = fitted()
    with pytest.raises(ValueError, match="3 trees"):
        show(forest, tree=3)
    for wrong in (-1, 1.5, True):
        with pytest.raises(ValueError, match="whole number"):
            show(forest, tree=wrong)
    with pytest.raises(ValueError, match="ridge"):
        show(tilewise.Ridge().fit([[0.0], [1.0]], [0.0, 1.0]))
    with pytest.raises(NotFittedError):
        show(tilewise.DecisionTreeRegressor())
    with pytest.raises(TypeError, match="estimator of tilewise"):
        show("tree")


def test_notebooks_show_estimators_and_their_parameters():
    shown = tilewise.Ridge(alpha=0.25).fit([[0.0], [1.0]], [0.0, 1.0])._repr_mimebundle_()
    assert shown["text/plain"] == "Ridge(alpha=0.25)"
    assert "alpha" in shown["text/html"] and "0.25" in shown["text/html"] and "Fitted" in shown["text/html"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", estimators.ALL, ids=lambda x: type(x).__name__)
def test_every_fitted_estimator_is_shown(estimator):
    X, y = load_iris(return_X_y=True)
    model = clone(estimator).fit(X, y + 1)
    assert type(model).__name__ in model._repr_html_()
    # Attributes that are there can be read, and those that are not are not there.
    assert "n_features_in_" in dir(model) and hasattr(model, "expected_value_") == hasattr(model, "feature_importances_")


def test_every_public_name_has_an_example():
    # Models of other libraries come from files alone, pictures from `plot_tree`.
    without = {"ImportedClassifier", "ImportedRegressor", "TreePicture", "__version__"}
    lacking = [name for name in tilewise.__all__ if name not in without and ">>>" not in (getattr(tilewise, name).__doc__ or "")]
    assert not lacking
