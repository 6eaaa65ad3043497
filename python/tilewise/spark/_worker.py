"""What runs in the Python processes of executors. In a module that can be imported, so that what is opened stays open from round
to round: functions that are sent along would start with nothing each time. Nor has it any need of scikit-learn, which takes each process
a second to import.

Every function reads its whole input. One that does not costs the worker, and with it all that it had open.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import glob
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import TaskContext

from .. import _native
from . import _arrow, _files

#: What stands for a partition: who made it, where its rows are, and what they are. `scattered` tells that the numbers of its rows do
#: not follow each other, so nothing is stored; `unread` why this process cannot read the files that the partition is.
TOKEN = pa.schema(
    {
        "partition": pa.int32(),
        "rows": pa.int64(),
        "width": pa.int32(),
        "hash": pa.string(),
        "path": pa.string(),
        "host": pa.string(),
        "version": pa.string(),
        "error": pa.string(),
        "unread": pa.string(),
        "scattered": pa.bool_(),
        "least": pa.int64(),
        "largest": pa.int64(),
    }
)
TOKEN_DDL = (
    "partition int, rows bigint, width int, hash string, path string, host string, version string, error string, unread string, "
    "scattered boolean, least bigint, largest bigint"
)

#: What a partition answers in a round. `lost` tells that its rows are no longer where they were.
ANSWER = pa.schema({"partition": pa.int32(), "hash": pa.string(), "answer": pa.binary(), "error": pa.string(), "lost": pa.bool_()})
ANSWER_DDL = "partition int, hash string, answer binary, error string, lost boolean"


@dataclass(frozen=True)
class Plan:
    """What of a table is stored, and under which name."""

    name: str
    features: list[str]
    #: With what the names of numbers begin where there is one column of arrays; else none.
    array: str | None
    others: list[str]
    #: The column that numbers rows, if there is one.
    numbers: str | None = None
    #: Names of fits that are over, of which files may be left.
    over: tuple[str, ...] = ()


_open: dict[str, _native.Piece] = {}


def _piece(path: str) -> _native.Piece:
    piece = _open.get(path)
    if piece is None:
        _prune()
        piece = _open[path] = _native.Piece.open(path)
    return piece


def _prune() -> None:
    """Lets go of what was open of files that are gone: another process may have removed them."""
    for gone in [known for known in _open if not os.path.exists(known)]:
        del _open[gone]


def _span(rows: pa.Table, numbers: str) -> dict:
    """The least and the largest number of a row; none where there are none."""
    ends = pc.min_max(rows.column(numbers))
    least, largest = ends["min"].as_py(), ends["max"].as_py()
    if least is None or not all(abs(end) < 2**53 for end in (least, largest)):
        return {}
    return {"least": int(least), "largest": int(largest)}


def _folder(partition: int) -> str:
    """The executor's own folder, which goes with it."""
    folders = [folder for folder in os.environ.get("SPARK_LOCAL_DIRS", "").split(",") if os.path.isdir(folder)]
    return folders[partition % len(folders)] if folders else _own_folder()


@functools.cache
def _own_folder() -> str:
    """A folder that nobody else can write to, where Spark names none."""
    return tempfile.mkdtemp(prefix="tilewise-")


def table_of(rows: pa.Table, plan: Plan) -> tuple[_native.Table, int]:
    """The rows as a table of the compiled part, and the number of its features."""
    table = _native.Table()
    width = len(plan.features)
    if plan.array is not None:
        arrays = _arrow.matrix(rows.column(plan.features[0]))
        width = arrays.shape[1]
        table.matrix([f"{plan.array}{i}" for i in range(width)], arrays)
    else:
        for name in plan.features:
            _arrow.add(table, name, rows.column(name))
    for name in plan.others:
        _arrow.add(table, name, rows.column(name))
    if plan.numbers is not None:
        _arrow.add(table, plan.numbers, rows.column(plan.numbers))
    return table, width


def build(batches: Iterable[pa.RecordBatch], plan: Plan) -> Iterator[pa.RecordBatch]:
    """Stores the rows of this partition, and yields its token; nothing for a partition without rows."""
    batches = [batch for batch in batches if batch.num_rows]
    if batches:
        yield pa.RecordBatch.from_pylist([_stored(pa.Table.from_batches(batches), plan)], schema=TOKEN)


def build_of_files(
    batches: Iterable[pa.RecordBatch], plan: Plan, splits: list[list[_files.Split]], columns: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """As `build`, of the files that this partition is; a row that comes in is its number."""
    for number in [row["id"] for batch in batches for row in batch.to_pylist()]:
        try:
            rows = _files.read(splits[number], columns, TaskContext.get().cpus() > 1)
        except _files.Unread as error:
            yield pa.RecordBatch.from_pylist([_token() | {"unread": str(error)}], schema=TOKEN)
            continue
        if rows.num_rows:
            yield pa.RecordBatch.from_pylist([_stored(rows, plan)], schema=TOKEN)


def _token() -> dict:
    """That of this partition before anything is known of it."""
    return {
        "partition": TaskContext.get().partitionId(),
        "host": socket.gethostname(),
        "version": _native.VERSION,
        "rows": 0,
        "width": 0,
        "hash": "",
        "path": "",
        "error": None,
        "unread": None,
        "scattered": False,
        "least": None,
        "largest": None,
    }


def _stored(rows: pa.Table, plan: Plan) -> dict:
    """Stores rows, at least one; the token."""
    token = _token()
    partition, count = token["partition"], rows.num_rows
    _remove(plan.over)
    _prune()
    try:
        if plan.numbers is not None:
            token |= _span(rows, plan.numbers)
        table, width = table_of(rows, plan)
        path = os.path.join(_folder(partition), f"tilewise-{plan.name}-{partition}.part")
        piece = _native.Piece.create(path, table, TaskContext.get().cpus(), plan.numbers)
        if piece is None:
            token |= {"rows": count, "scattered": True}
        else:
            _open[path] = piece
            token |= {"rows": piece.rows, "width": width, "hash": piece.hash, "path": path}
    except ValueError as error:
        # What is wrong with the data is wrong at the next attempt too.
        token["error"] = str(error)
    return token


def _tokens(batches: Iterable[pa.RecordBatch]) -> list[dict]:
    return [token for batch in batches for token in batch.to_pylist()]


def answer(batches: Iterable[pa.RecordBatch], request: bytes) -> Iterator[pa.RecordBatch]:
    """The answers of the partitions whose tokens come here."""
    yield pa.RecordBatch.from_pylist(list(answer_tokens(_tokens(batches), request)), schema=ANSWER)


@functools.cache
def _settle() -> None:
    """Once for a process: PySpark collects garbage after every task, and would each time look through all modules, which took 50 ms."""
    gc.collect()
    gc.freeze()


def answer_tokens(tokens: Iterable[Any], request: bytes) -> Iterator[dict]:
    """As `answer`, of tokens one by one."""
    _settle()
    threads = TaskContext.get().cpus()
    for token in tokens:
        told = {"partition": token["partition"], "hash": token["hash"], "answer": b"", "error": token["error"], "lost": False}
        if told["error"] is None:
            if not os.path.exists(token["path"]):
                told["lost"] = True
            else:
                try:
                    piece = _piece(token["path"])
                    told |= {"hash": piece.hash, "answer": piece.answer(request, token["partition"], threads)}
                except ValueError as error:
                    told["error"] = str(error)
        yield told


def forget(batches: Iterable[pa.RecordBatch], names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """Removes what these fits stored where this executor can reach it."""
    for _ in batches:
        pass
    _remove(names)
    _prune()
    yield pa.RecordBatch.from_pylist([], schema=ANSWER)


def _remove(names: Iterable[str]) -> None:
    """Removes all files of these fits, those that a process was about to write when it was killed too: from the folders of this executor,
    and from those beside them, as a worker has them one after the other where executors are killed."""
    begin = tuple(f"tilewise-{name}-" for name in names)
    if not begin:
        return
    own = [folder for folder in os.environ.get("SPARK_LOCAL_DIRS", "").split(",") if folder] or [_own_folder()]
    beside = [path for folder in own for path in glob.glob(os.path.join(glob.escape(os.path.dirname(folder)), "blockmgr-*"))]
    for folder in {*own, *beside}:
        # Somebody else may remove them at the same time, or a folder be of somebody else.
        with contextlib.suppress(OSError):
            for file in os.listdir(folder):
                if file.removeprefix(".").startswith(begin):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(os.path.join(folder, file))


_models: dict[bytes, _native.Model] = {}


def predict(model: bytes, features: list[str], array: bool, columns: tuple[pa.Array, ...]) -> np.ndarray:
    """Rows x outputs of a model's file."""
    loaded = _models.get(model)
    if loaded is None:
        _prune()
        _models.clear()
        loaded = _models[model] = _native.Model.from_bytes(model)
    context = TaskContext.get()
    if len(columns[0]) == 0:
        return np.empty((0, len(loaded.outputs) or 1))
    rows = pa.Table.from_arrays(list(columns), names=features)
    # Numbers of arrays have the names of the inputs, which end in their places.
    (first, _), *_ = loaded.inputs
    table, width = table_of(rows, Plan("", features, first[:-1] if array else None, []))
    if array and width != len(loaded.inputs):
        raise ValueError(f"arrays of features have {width} numbers, and the model was fitted on {len(loaded.inputs)}")
    return loaded.predict((table, True, context.cpus() if context else 1))


def numbers(answers: np.ndarray) -> pa.Array:
    """Predicted numbers as Spark takes them."""
    return pa.StructArray.from_arrays([pa.array(answers[:, 0])], names=["prediction"])


def labels(shares: np.ndarray, classes: pa.Array) -> pa.Array:
    """The most likely class of each row, of equals the first, and the probabilities of all."""
    likeliest = classes.take(pa.array(shares.argmax(axis=1)))
    offsets = np.arange(len(shares) + 1, dtype=np.int32) * shares.shape[1]
    arrays = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(shares.reshape(-1)))
    return pa.StructArray.from_arrays([likeliest, arrays], names=["prediction", "probability"])
