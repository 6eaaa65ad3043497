"""Classes of classifiers: which occur, and what models call them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def classes_of(y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The classes that occur, sorted, and the place of that of each row; `np.unique` of whole numbers near each other without a sort."""
    if y.dtype.kind not in "iub" or len(y) == 0:
        return np.unique(y, return_inverse=True)
    if y.dtype.kind == "b":
        there = np.flatnonzero(np.array([not y.all(), y.any()]))
        return there.astype(bool), y.astype(np.intp) if len(there) == 2 else np.zeros(len(y), dtype=np.intp)
    # Differences of narrow signed numbers would not fit their type.
    numbers = y.astype(np.int64, copy=False) if y.dtype.kind == "i" else y
    low, high = int(numbers.min()), int(numbers.max())
    if high - low >= 1 << 16:
        return np.unique(y, return_inverse=True)
    # Classes from 0 on are places already.
    places = (numbers - numbers.dtype.type(low) if low else numbers).astype(np.intp, copy=False)
    occurs = np.bincount(places) > 0
    there = np.flatnonzero(occurs)
    # In their own type: a sum with numbers of 64 bits without sign would not fit that of places.
    classes = (there.astype(numbers.dtype) + numbers.dtype.type(low)).astype(y.dtype)
    return classes, places if occurs.all() else (np.cumsum(occurs) - 1)[places]


def are_whole(classes: NDArray[Any]) -> bool:
    """Whether the command line would read them as whole numbers."""
    return classes.dtype.kind in "iuf" and bool((classes == np.trunc(classes)).all() and np.abs(classes).max() < 2**53)


def texts_of(classes: NDArray[Any]) -> list[str]:
    """What a model calls its classes."""
    if classes.dtype.kind == "b":
        return [str(c).lower() for c in classes]
    if are_whole(classes):
        return [str(int(c)) for c in classes]
    # Sorted by bytes there, and by value here: the order is made the same.
    width = len(str(len(classes)))
    texts = [str(c) for c in classes]
    return texts if texts == sorted(set(texts)) else [f"{i:0{width}d}" for i in range(len(classes))]
