"""From what scikit-learn users hold to what the compiled part reads: arrays of numbers where they lie, tables column by column."""

from __future__ import annotations

from typing import Any, Iterator

import narwhals as nw
import numpy as np
from sklearn.utils.validation import _check_feature_names, _check_n_features, validate_data

from ._native import MISSING_CODE, Model, Table


def is_frame(X: Any) -> bool:
    """Whether `X` is a table with named columns: of pandas, polars or Arrow."""
    return not isinstance(X, np.ndarray) and nw.dependencies.is_into_dataframe(X)


def read(estimator: Any, X: Any, *, reset: bool) -> np.ndarray | nw.DataFrame:
    """Checks `X` as scikit-learn does, and remembers (`reset`) or compares its columns.

    Arrays of float32 and float64 come back as they are, but to predict (not `reset`) in C order. Whether numbers are finite is checked
    where they are read.
    """
    if not is_frame(X):
        # Fits read columns, predictions rows.
        order = None if reset else "C"
        X = validate_data(
            estimator, X, reset=reset, dtype=(np.float64, np.float32), ensure_all_finite=False, order=order
        )
        return np.require(X, requirements="A") if reset else aligned(X)
    frame = nw.from_native(X, eager_only=True)
    _check_feature_names(estimator, X, reset=reset)
    if len(frame.columns) == 0:
        raise ValueError(f"Found array with 0 feature(s) (shape={frame.shape}) while a minimum of 1 is required.")
    if len(frame) == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={frame.shape}) while a minimum of 1 is required.")
    _check_n_features(estimator, X, reset=reset)
    return frame


#: Cells of a table that are worth a copy: of a row of 28 columns it takes 0.1 ms, and to ask each column what it holds 1.6.
FEW = 1 << 16


def few_numbers(X: Any, names: list[str]) -> np.ndarray | None:
    """The cells of a table of pandas that is small, has these columns in this order, and nothing but numbers of NumPy's types; else None."""
    if not nw.dependencies.is_pandas_dataframe(X) or not 0 < X.size <= FEW or X.columns.tolist() != names:
        return None
    if not all(isinstance(kind, np.dtype) and kind.kind in "iuf" for kind in set(X.dtypes)):
        return None
    cells = X.to_numpy()
    return aligned(cells, None if cells.dtype == np.float32 else np.float64)


def aligned(x: Any, dtype: Any = None) -> np.ndarray:
    """As an array in C order whose numbers lie where the compiled part may read them; a copy where `x` is not that."""
    return np.require(x, dtype=dtype, requirements=["C", "A"])


def names_of(estimator: Any) -> list[str]:
    """The names of the inputs; x0, x1 ... where training had none."""
    names = getattr(estimator, "feature_names_in_", None)
    return [f"x{i}" for i in range(estimator.n_features_in_)] if names is None else [str(name) for name in names]


def table(X: np.ndarray | nw.DataFrame, names: list[str], categorical: np.ndarray | None = None) -> Table:
    """The columns of `X` under `names`: where they lie if the numbers of each follow each other, else copies. Whether numbers are finite is
    checked by whoever reads them. Numbers of columns of the mask `categorical` are categories."""
    columns = Table()
    if isinstance(X, np.ndarray):
        if categorical is None:
            columns.matrix(names, X)
            return columns
        for name, numbers, is_category in zip(names, X.T, categorical):
            if is_category:
                columns.categories(name, *coded(name, numbers))
            else:
                columns.numbers(name, aligned(numbers))
        return columns
    masked = [False] * len(names) if categorical is None else categorical
    for name, series, is_category in zip(names, dense(X), masked):
        if is_category and series.dtype.is_numeric():
            columns.categories(name, *coded(name, numbers_of(series)))
        else:
            add(columns, name, series)
    return columns


def inputs(X: nw.DataFrame, model: Model, categorical: np.ndarray | None = None) -> Table:
    """The columns of `X` as the inputs of a model, whose types may be others than at the fit where they mean the same: numbers are categories
    where all of its categories are what numbers are called, and true and false are 1 and 0 where it has numbers. Of columns of the mask
    `categorical` numbers were categories at the fit."""
    columns = Table()
    masked = [False] * len(model.inputs) if categorical is None else categorical
    for at, ((name, kind), series, is_masked) in enumerate(zip(model.inputs, dense(X), masked)):
        numbers = numbers_of(series) if kind == "categorical" and series.dtype.is_numeric() else None
        if numbers is not None and (is_masked or are_numbers(model.categories(at), signed=True) or np.isnan(numbers).all()):
            columns.categories(name, *coded(name, numbers, signed=not is_masked))
        elif kind == "numeric" and (found := booleans(series)) is not None:
            columns.numbers(name, np.where(found < 0, np.nan, found))
        else:
            add(columns, name, series)
    return columns


def dense(X: nw.DataFrame) -> Iterator[nw.Series]:
    """The columns of `X`; sparse ones of pandas as numbers or booleans that lie one after the other."""
    for series in X.iter_columns():
        native: Any = series.to_native() if series.dtype == nw.Unknown else None
        yield nw.from_native(native.sparse.to_dense(), allow_series=True, eager_only=True) if hasattr(native, "sparse") else series


def is_text(kind: Any) -> bool:
    """Whether columns of a type of narwhals are categories by their type."""
    return kind in (nw.String, nw.Categorical, nw.Enum)


def coded(name: str, numbers: np.ndarray, signed: bool = False) -> tuple[np.ndarray, list[str]]:
    """Codes and dictionary of numbers that are categories; NaN is missing, and so are negative ones, as scikit-learn has it, but where they are
    `signed`. Fractions are called by their shortest text, which is the same for 0.1 of either precision."""
    if (large := (np.abs(numbers) if signed else numbers) >= 2**53).any():
        row = int(np.flatnonzero(large)[0])
        what = "infinity" if np.isinf(numbers[row]) else f"{numbers[row]:g}, beside which doubles have no other whole numbers"
        raise ValueError(f'row {row} (counted from 0), column "{name}": Input X contains {what}, as a category; numbers below 2^53 are accepted, or text')
    values, found = np.unique(numbers, return_inverse=True)
    return sorted_codes(found, list(values) if signed else [x if x >= 0 else None for x in values])


def called(value: Any) -> str:
    """What a category is called: 3 and 3.0 are the same one."""
    return str(int(value)) if isinstance(value, (float, np.floating)) and value.is_integer() else str(value)


def are_numbers(dictionary: list[str], signed: bool = False) -> bool:
    """Whether categories are what numbers are called, of which none is negative but where they are `signed`."""
    try:
        return all(called(float(text)) == text and (signed or float(text) >= 0) for text in dictionary)
    except ValueError:
        return False


def numbers_of(series: nw.Series) -> np.ndarray:
    """A column of numbers as float32 where it is that, else as float64; missing is NaN."""
    kind = np.float32 if series.dtype == nw.Float32 else np.float64
    numbers = series.to_numpy()
    if numbers.dtype.kind in "fiu":
        return aligned(numbers, kind)
    # Some keep what is missing as objects, which need not compare.
    missing = series.is_null().to_list()
    return np.array([np.nan if gone else x for gone, x in zip(missing, series.to_list())], dtype=kind)


def present(series: nw.Series) -> list[Any]:
    """The values of a column, None where they are missing in any way."""
    return [None if gone else value for gone, value in zip(series.is_null().to_list(), series.to_list())]


def objects(series: nw.Series) -> np.ndarray | None:
    """A column of objects that are numbers, of which some may be missing; else None."""
    values = present(series)
    if not all(value is None or isinstance(value, (int, float, np.number)) and not isinstance(value, bool) for value in values):
        return None
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def booleans(series: nw.Series) -> np.ndarray | None:
    """A column of true (1) and false (0), as a type or as objects, of which some may be missing (-1); else None."""
    if series.dtype == nw.Boolean:
        found = series.to_numpy()
        if found.dtype == bool:
            return found.astype(np.int8)
    elif series.dtype != nw.Object:
        return None
    values = present(series)
    kinds = {type(value) for value in values if value is not None}
    # Objects that are all missing are of any kind.
    if series.dtype == nw.Object and (not kinds or not kinds <= {bool, np.bool_}):
        return None
    return np.array([-1 if value is None else int(value) for value in values], dtype=np.int8)


def held(series: nw.Series) -> str:
    """What a column holds, by the name that its library has for it."""
    native = series.to_native()
    kind = getattr(native, "dtype", None) or getattr(native, "type", series.dtype)
    if series.dtype != nw.Object:
        return str(kind)
    kinds = sorted({type(value).__name__ for value in present(series) if value is not None})
    return f"{kind} ({', '.join(kinds)})"


def add(columns: Table, name: str, series: nw.Series) -> None:
    """Adds a column of a table by its type: numbers, text and categories, or true and false."""
    kind = series.dtype
    if (found := booleans(series)) is not None:
        columns.booleans(name, found)
    elif kind.is_numeric():
        columns.numbers(name, numbers_of(series))
    elif is_text(kind):
        columns.categories(name, *sorted_codes(*places(series)))
    elif series.is_null().all():
        # Such as of no type, which polars and Arrow have: it stands for any.
        columns.categories(name, np.full(len(series), MISSING_CODE, dtype=np.uint32), [])
    elif kind == nw.Object and (numbers := objects(series)) is not None:
        columns.numbers(name, numbers)
    else:
        raise ValueError(
            f"column {name!r} holds {held(series)}; numbers, text, categories and booleans are accepted, each column of one of them"
        )


def places(series: nw.Series) -> tuple[np.ndarray, list[Any]]:
    """For each row the place of its value in a list of values, -1 where it is missing, by the library's own codes where it has some."""
    native = series.to_native()
    if nw.dependencies.is_pandas_series(native):
        found, values = native.factorize()
        return found, list(values)
    if nw.dependencies.is_polars_series(native):
        import polars

        texts = native.cast(polars.String)
        places_from_1 = texts.rank("dense").cast(polars.Int64).fill_null(0).to_numpy()
        return places_from_1 - 1, texts.drop_nulls().unique().sort().to_list()
    if nw.dependencies.is_pyarrow_chunked_array(native):
        import pyarrow

        # A dictionary may hold a value twice, or none.
        coded = native.unify_dictionaries() if pyarrow.types.is_dictionary(native.type) else native.dictionary_encode()
        chunks = coded.chunks
        if not chunks:
            return np.empty(0, dtype=np.int64), []
        found = [chunk.indices.cast(pyarrow.int64()).fill_null(-1).to_numpy() for chunk in chunks]
        return np.concatenate(found), chunks[0].dictionary.to_pylist()
    values = list(dict.fromkeys(series.to_list()))
    place = {value: i for i, value in enumerate(values)}
    return np.array([place[value] for value in series.to_list()], dtype=np.int64), values


def sorted_codes(found: np.ndarray, values: list[Any]) -> tuple[np.ndarray, list[str]]:
    """Codes into the sorted dictionary of the values that occur, given their places in a list; of None and NaN `MISSING_CODE`."""
    occurs = np.zeros(len(values) + 1, dtype=bool)
    occurs[found] = True
    there = [i for i, value in enumerate(values) if occurs[i] and value is not None and value == value]
    dictionary = sorted({called(values[i]) for i in there})
    place = {text: i for i, text in enumerate(dictionary)}
    # The last is what -1 means.
    codes = np.full(len(values) + 1, MISSING_CODE, dtype=np.uint32)
    for i in there:
        codes[i] = place[called(values[i])]
    return codes[found], dictionary
