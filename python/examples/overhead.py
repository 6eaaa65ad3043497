"""What the Python layer costs: its time beside the compiled part, a prediction of one row, and memory beyond the arrays.

    python overhead.py [--rows 200000] [--columns 28] [--rounds 5]

Three tables. Times are medians of the rounds after one that is not counted; those of one row are the least of the rounds, of 2,000
predictions each, as whatever else runs can only add to them. The compiled part is what is called without the interpreter's lock, which
looks for numbers that are not finite too; what is before and behind it (checks, classes, columns, warnings) is the layer's. Memory is the
most that was resident (Linux) beyond what was before. For figures install the release wheel (`make wheel`).
"""

import argparse
import ctypes
import gc
import statistics
import time
import timeit

import numpy as np
import pandas as pd
import tilewise
from tilewise import _base

FITS = [
    tilewise.LinearRegression(),
    tilewise.Ridge(),
    tilewise.LogisticRegression(),
    tilewise.DecisionTreeRegressor(max_depth=8),
    tilewise.RandomForestClassifier(n_estimators=10, max_depth=10),
    tilewise.HistGradientBoostingRegressor(max_iter=20, early_stopping=False),
]


class Timed:
    """Calls a function, and knows how long the last call took."""

    def __init__(self, function):
        self.function, self.seconds = function, 0.0

    def __call__(self, *given):
        start = time.perf_counter()
        try:
            return self.function(*given)
        finally:
            self.seconds = time.perf_counter() - start


class Asked:
    """A compiled model that answers `predict` of regressors or classifiers, whose calls are timed."""

    def __init__(self, model, classifies):
        self.model = model
        self.timed = self.predict = self.likeliest = Timed(model.likeliest if classifies else model.predict)

    def __getattr__(self, name):
        return getattr(self.model, name)


def medians(work, inside, rounds):
    """Seconds of `work` and of the call inside it."""
    found = []
    for turn in range(rounds + 1):
        start = time.perf_counter()
        work()
        whole = time.perf_counter() - start
        if turn:
            found.append([whole, inside.seconds])
    return [statistics.median(times) for times in zip(*found)]


def status(name):
    with open("/proc/self/status") as told:
        return next(1024 * int(line.split()[1]) for line in told if line.startswith(name + ":"))


def taken(work):
    """Bytes that were resident at most while `work` ran, beyond those before."""
    gc.collect()
    # M_MMAP_THRESHOLD: what is large goes back to the system at once; memory that is kept would be taken again unseen.
    ctypes.CDLL(None).mallopt(-3, 1 << 16)
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = status("VmRSS")
    kept = work()
    del kept
    return status("VmHWM") - before


def table(header, rows):
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    print("\n".join("| " + " | ".join(line) + " |" for line in lines), end="\n\n", flush=True)


def target(estimator, y):
    return y > 0 if hasattr(estimator, "predict_proba") else y


def times(X, y, rounds):
    rows = []
    _base.fit = native = Timed(_base.fit)
    for estimator in FITS:
        truth = target(estimator, y)
        fit, inside = medians(lambda: estimator.fit(X, truth), native, rounds)
        asked = estimator._model = Asked(estimator._model, hasattr(estimator, "predict_proba"))
        predict, inner = medians(lambda: estimator.predict(X), asked.timed, rounds)
        estimator._model = asked.model
        cells = []
        for whole, part in ((fit, inside), (predict, inner)):
            over = whole - part
            allowed = "yes" if over <= 1e-3 or over <= 0.05 * part else "no"
            cells += [f"{1e3 * whole:.2f}", f"{1e3 * over:.2f}", f"{100 * over / part:.1f} %", allowed]
        rows.append([type(estimator).__name__, *cells])
    _base.fit = native.function
    what = ["ms", "layer, ms", "layer", "<= 5 % or 1 ms"]
    print(f"Fits and predictions of {X.shape[0]:,} x {X.shape[1]} float64")
    steps = [f"{step}: {each}" for step in ("fit", "predict") for each in what]
    table(["estimator", *steps], rows)


def one_row(rounds):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 20))
    y = X[:, 0] + rng.normal(size=2000)
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    rows = []
    for estimator in FITS:
        cells = []
        for table_of in (X, X.astype(np.float32), frame):
            model = estimator.fit(table_of, target(estimator, y))
            row = table_of[:1]
            least = min(timeit.repeat(lambda: model.predict(row), number=2000, repeat=max(rounds, 3))) / 2000
            cells += [f"{1e6 * least:.2f}"]
        rows.append([type(estimator).__name__, *cells])
    print("`predict` of one row of 20 numbers, checks included, microseconds")
    table(["estimator", "float64", "float32", "pandas"], rows)


def copies(X, y):
    rows = []
    for estimator in FITS:
        few = slice(0, 2000)
        for kind in (np.float64, np.float32):
            by_rows = np.ascontiguousarray(X, dtype=kind)
            truth = target(estimator, y)
            estimator.fit(by_rows[few], truth[few])
            asked = taken(lambda: estimator.predict(by_rows))
            fit = taken(lambda: estimator.fit(by_rows, truth))
            by_columns = np.asfortranarray(by_rows)
            del by_rows
            in_columns = taken(lambda: estimator.fit(by_columns, truth))
            size = by_columns.nbytes
            rows.append([
                f"{type(estimator).__name__}, {np.dtype(kind).name}", f"{size / 1e6:.0f}",
                *(f"{amount / 1e6:.0f} ({amount / size:.2f})" for amount in (asked, fit, in_columns)),
            ])  # fmt: skip
    print(f"Memory beyond an array of {X.shape[0]:,} x {X.shape[1]}: MB, and as a share of the array")
    table(["estimator and numbers", "array, MB", "predict, C order", "fit, C order", "fit, Fortran order"], rows)


def main():
    options = argparse.ArgumentParser(description="what the Python layer costs")
    options.add_argument("--rows", type=int, default=200_000)
    options.add_argument("--columns", type=int, default=28)
    options.add_argument("--rounds", type=int, default=5)
    options = options.parse_args()
    print(f"tilewise {tilewise.__version__}, NumPy {np.__version__}, {_base.processors()} processors\n")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(options.rows, options.columns))
    y = X[:, 0] - X[:, 1] * X[:, 2] + rng.normal(size=options.rows)
    times(X, y, options.rounds)
    one_row(options.rounds)
    copies(X, y)


if __name__ == "__main__":
    main()
