"""From Arrow columns, as Spark sends them, to the tables of the compiled part, and back."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .._native import MISSING_CODE, Table


def add(table: Table, name: str, column: pa.ChunkedArray) -> None:
    """Adds a column by its type; nulls and NaN are missing."""
    kind = column.type
    if pa.types.is_boolean(kind):
        table.booleans(name, column.cast(pa.int8()).fill_null(-1).to_numpy())
    elif pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        if not pa.types.is_float32(kind):
            column = column.cast(pa.float64(), safe=False)
        table.numbers(name, _lying(column.fill_null(np.nan).to_numpy()))
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        table.categories(name, *coded(column))
    else:
        raise ValueError(f"column {name!r} holds {kind}; numbers, text and booleans are accepted")


def coded(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """Codes into the sorted dictionary of the values that occur."""
    encoded = pc.dictionary_encode(column.combine_chunks())
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    values = encoded.dictionary.to_pylist()
    # By code points, which is the order of bytes in UTF-8.
    order = sorted(range(len(values)), key=values.__getitem__)
    place = np.empty(len(values) + 1, dtype=np.uint32)
    place[order] = np.arange(len(values), dtype=np.uint32)
    place[-1] = MISSING_CODE
    return place[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)], [values[i] for i in order]


def add_arrays(table: Table, names: list[str], column: pa.ChunkedArray) -> None:
    """Adds the columns of an array in each row."""
    table.matrix(names, _lying(matrix(column)))


def matrix(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Arrays of one length, a row for each row; nulls in them are missing numbers."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if column.null_count:
        raise ValueError("a row has no array of features; arrays of numbers are accepted, in which nulls are missing")
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) > 1:
        raise ValueError(f"arrays of features have {min(lengths)} numbers in one row and {max(lengths)} in another")
    values = column.flatten()
    if not pa.types.is_float32(values.type):
        values = values.cast(pa.float64(), safe=False)
    return values.fill_null(np.nan).to_numpy(zero_copy_only=False).reshape(len(column), -1)


def _lying(numbers: np.ndarray) -> np.ndarray:
    """In C order, where the compiled part may read it."""
    return np.require(numbers, requirements=["C", "A"])
