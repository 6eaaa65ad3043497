"""Tables for tests, fits of one machine to compare with, and which tests are for deep runs."""

import os

import numpy as np
import pyarrow as pa
import pytest
from tilewise import _native
from tilewise.spark import _arrow

#: Tests, or cases of them, that are left to `make test-deep`.
DEEP = pytest.mark.skipif(os.environ.get("TILEWISE_DEEP") != "1", reason="minutes: TILEWISE_DEEP=1 and make test-deep run it")

#: Sums are merged at other places: what is left is rounding, relative to the largest number of a model.
CHUNKING = 1e-9

INPUTS = ["a", "b", "colour", "member"]


def mixed(rows=600):
    """Numbers with gaps, a boolean with gaps, a category of which "rare" is in one row, and targets of each kind."""
    rng = np.random.default_rng(0)
    a, b, noise = rng.normal(size=(3, rows))
    colour = rng.choice(["red", "grün", "blue"], rows).astype(object)
    member = rng.random(rows) < 0.4
    score = 1.5 * a - b + (colour == "red") + 0.5 * member + 0.5 * noise
    colour[3], colour[::7] = "rare", None
    gap = rng.random(rows) < 0.1
    return pa.table(
        {
            "a": pa.array(a.astype(np.float32)),
            "b": pa.array(np.where(gap, None, 100 + 10 * b).tolist(), pa.float64()),
            "colour": pa.array(colour.tolist(), pa.string()),
            "member": pa.array([None if i % 9 == 4 else bool(m) for i, m in enumerate(member)], pa.bool_()),
            "weight": pa.array(1 + rng.integers(0, 3, rows)),
            "score": pa.array(score),
            "passed": pa.array((score > 0.5).tolist()),
            "grade": pa.array(np.digitize(score, [-0.5, 1.0]).astype(np.int32)),
            "word": pa.array(np.array(["low", "middle", "top"])[np.digitize(score, [-0.5, 1.0])].tolist()),
            "count": pa.array(np.abs(score).round().astype(np.int64)),
            "key": pa.array(np.arange(rows)),
        }
    )


def single(family, settings, table, label, inputs=INPUTS, weight=None, seed=0, group=None, held_out=None):
    """The model that one machine fits: the compiled part on the whole table, without Spark."""
    columns = _native.Table()
    for name in [*inputs, label, *(name for name in (weight, group, held_out) if name)]:
        _arrow.add(columns, name, table.column(name))
    parts = {"targets": [label], "weight": weight, "offset": None, "group": group, "held_out": held_out}
    model, stopped, *_ = _native.fit(family, settings, columns, parts, True, seed, 1)
    assert stopped is None
    return model


def answers(path, table, inputs):
    """What the model in a file predicts of a table, without Spark."""
    columns = _native.Table()
    for name in inputs:
        _arrow.add(columns, name, table.column(name))
    return _native.Model.load(path).predict((columns, True, 1))


def assert_same_model(ours, theirs):
    """Everything is the same, numbers up to rounding."""
    assert (ours.kind, ours.task, ours.outputs, ours.inputs) == (theirs.kind, theirs.task, theirs.outputs, theirs.inputs)
    assert ours.report["warnings"] == theirs.report["warnings"]
    assert ours.report["converged"]
    for one, other in zip(ours.linear()[:2], theirs.linear()[:2]):
        assert np.abs(one - other).max() <= CHUNKING * max(1, np.abs(other).max())
    assert ours.linear()[2] == theirs.linear()[2]
