"""Arrays are read where they lie: what fits and predictions take of memory beyond them."""

import ctypes
import gc

import numpy as np
import pandas as pd
import pytest
import tilewise


def counts_anew():
    """Has the system count the most memory from here; whether it does. Some sandboxes have no such file, or let nobody write it."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt") or not counts_anew(),
    reason="memory is read from /proc, whose clear_refs must take writes, and given back by glibc",
)

ROWS, COLUMNS = 1 << 18, 32


def status(name):
    with open("/proc/self/status") as told:
        return next(1024 * int(line.split()[1]) for line in told if line.startswith(name + ":"))


def taken(work):
    """The most memory that was in use while `work` ran, beyond what was before."""
    gc.collect()
    # M_MMAP_THRESHOLD: what is large goes back to the system at once; memory that is kept would be taken again unseen.
    ctypes.CDLL(None).mallopt(-3, 1 << 16)
    ctypes.CDLL(None).malloc_trim(0)
    assert counts_anew()
    before = status("VmRSS")
    kept = work()
    del kept
    return status("VmHWM") - before


def usually_taken(work):
    """The middle of three: one fit was once measured as half of its copy, for a reason that was not found."""
    return sorted(taken(work) for _ in range(3))[1]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, COLUMNS))
    return X, X[:, 0] + rng.normal(size=ROWS)


def models(X, y):
    few, some = X[:500], y[:500]
    # Each thread has blocks of its own, so the limits hold for a number of them.
    yield tilewise.Ridge(n_jobs=2).fit(few, some)
    yield tilewise.DecisionTreeRegressor(max_depth=4, n_jobs=2).fit(few, some)
    yield tilewise.RandomForestClassifier(n_estimators=3, max_depth=4, n_jobs=2).fit(few, some > 0)
    yield tilewise.HistGradientBoostingRegressor(max_iter=3, n_jobs=2).fit(few, some)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_predictions_copy_no_array_in_c_order(table, kind):
    X, y = table
    for model in models(X, y):
        array = X.astype(kind)
        ask = getattr(model, "predict_proba", model.predict)
        ask(array[:1000])
        # Answers are 1/32 of 64-bit cells for each output, and a block for each thread is widened where it is of 32 bits.
        assert taken(lambda: ask(array)) < 0.2 * X.nbytes, type(model).__name__
        # What copies is seen.
        assert taken(lambda: ask(np.asfortranarray(array))) > 0.9 * array.nbytes


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_fits_read_arrays_where_they_lie(table, kind):
    X, y = table
    columns = np.asfortranarray(X.astype(kind))
    rows = np.ascontiguousarray(columns)
    frame = pd.DataFrame({f"x{i}": columns[:, i] for i in range(COLUMNS)}, copy=False)
    boosting = tilewise.HistGradientBoostingRegressor(max_iter=1, max_leaf_nodes=4, early_stopping=False, n_jobs=2)
    # Linear models read rows, and make their design matrix of columns; trees read both, and have a byte for each cell, some numbers for
    # each row, and 64 MiB at most of sorted copies, from which cuts are taken.
    of_trees = 0.6 * X.nbytes + (64 << 20)
    for model, most, by_rows in ((tilewise.Ridge(n_jobs=2), 1.15 * X.nbytes, 0.15 * X.nbytes), (boosting, of_trees, of_trees)):
        # Programs that are read for the first time and memory of threads are not counted.
        model.fit(columns, y)
        in_place = usually_taken(lambda: model.fit(columns, y))
        assert in_place < most, in_place / X.nbytes
        in_frame = taken(lambda: model.fit(frame, y))
        assert in_frame < most, in_frame / X.nbytes
        in_rows = usually_taken(lambda: model.fit(rows, y))
        assert in_rows < by_rows, in_rows / X.nbytes
        # No copy hides in what is allowed.
        assert in_rows < in_place + 0.15 * rows.nbytes, (in_rows - in_place) / rows.nbytes


def test_layouts_give_the_same_model(table):
    X, y = table
    X, y = X[:3000], y[:3000]
    for model in (tilewise.Ridge(), tilewise.DecisionTreeRegressor(max_depth=6)):
        files = [
            model.fit(array, y)._model.to_bytes()
            for array in (X, np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], X[::-1][::-1], X.astype(">f8"))
        ]
        assert all(file == files[0] for file in files)
