"""From what scikit-learn users hold to what the compiled part reads: arrays of numbers where they lie, tables column by column."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
from sklearn.utils.validation import _check_feature_names, _check_n_features, validate_data

from ._native import MISSING_CODE, Table


def is_frame(X: Any) -> bool:
    """Whether `X` is a table with named columns: of pandas, polars or Arrow."""
    return not isinstance(X, np.ndarray) and nw.dependencies.is_into_dataframe(X)


def read(estimator: Any, X: Any, *, reset: bool) -> np.ndarray | nw.DataFrame:
    """Checks `X` as scikit-learn does, and remembers (`reset`) or compares its columns.

    Arrays of float32 and float64 in C order come back as they are. Whether numbers are finite is checked where they are read.
    """
    if not is_frame(X):
        X = validate_data(
            estimator, X, reset=reset, dtype=(np.float64, np.float32), ensure_all_finite=False, order="C"
        )
        return aligned(X)
    frame = nw.from_native(X, eager_only=True)
    _check_feature_names(estimator, X, reset=reset)
    if len(frame.columns) == 0:
        raise ValueError(f"Found array with 0 feature(s) (shape={frame.shape}) while a minimum of 1 is required.")
    if len(frame) == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={frame.shape}) while a minimum of 1 is required.")
    _check_n_features(estimator, X, reset=reset)
    return frame


def aligned(x: Any, dtype: Any = None) -> np.ndarray:
    """As an array in C order whose numbers lie where the compiled part may read them; a copy where `x` is not that."""
    return np.require(x, dtype=dtype, requirements=["C", "A"])


def names_of(estimator: Any) -> list[str]:
    """The names of the inputs; x0, x1 ... where training had none."""
    names = getattr(estimator, "feature_names_in_", None)
    return [f"x{i}" for i in range(estimator.n_features_in_)] if names is None else [str(name) for name in names]


def check_finite(X: np.ndarray | nw.DataFrame, names: list[str], missing: bool) -> None:
    """Refuses infinite numbers, and unless `missing` missing ones, in scikit-learn's words with row and column."""
    if isinstance(X, np.ndarray):
        if np.isfinite(X).all():
            return
        columns = iter(X.T)
    else:
        columns = (numbers_of(series) if series.dtype.is_numeric() else np.empty(0) for series in X.iter_columns())
    for name, column in zip(names, columns):
        wrong = np.isinf(column) if missing else ~np.isfinite(column)
        if wrong.any():
            row = int(wrong.argmax())
            what = "NaN" if np.isnan(column[row]) else "infinity or a value too large"
            raise ValueError(f"Input X contains {what}. It stands in row {row + 1}, column {name!r}.")


def table(X: np.ndarray | nw.DataFrame, names: list[str]) -> Table:
    """The columns of `X` under `names`, copied: fits read columns."""
    columns = Table()
    if isinstance(X, np.ndarray):
        columns.matrix(names, X)
        return columns
    for name, series in zip(names, X.iter_columns()):
        add(columns, name, series)
    return columns


def numbers_of(series: nw.Series) -> np.ndarray:
    """A column of numbers as float32 where it is that, else as float64; missing is NaN."""
    kind = np.float32 if series.dtype == nw.Float32 else np.float64
    if series.is_null().any():
        return np.array([np.nan if x is None else x for x in series.to_list()], dtype=kind)
    return aligned(series.to_numpy(), kind)


def add(columns: Table, name: str, series: nw.Series) -> None:
    """Adds a column of a table by its type: numbers, text and categories, or true and false."""
    kind = series.dtype
    if kind == nw.Boolean:
        codes = {True: 1, False: 0}
        columns.booleans(name, np.array([codes.get(x, -1) for x in series.to_list()], dtype=np.int8))
    elif kind.is_numeric():
        columns.numbers(name, numbers_of(series))
    elif kind in (nw.String, nw.Categorical, nw.Enum):
        columns.categories(name, *coded(series.to_list()))
    else:
        raise ValueError(
            f"column {name!r} holds {kind}; numbers, text, categories and booleans are accepted"
        )


def coded(values: list[Any]) -> tuple[np.ndarray, list[str]]:
    """Codes into the sorted dictionary of the values that occur; None and NaN are missing."""
    present = {value for value in set(values) if value is not None and value == value}
    dictionary = sorted({str(value) for value in present})
    places = {text: i for i, text in enumerate(dictionary)}
    code = {value: places[str(value)] for value in present}
    codes = np.fromiter((code.get(value, MISSING_CODE) for value in values), dtype=np.uint32, count=len(values))
    return codes, dictionary
