"""Tables that are Parquet files and nothing more: tasks read these themselves, where Spark would make rows of columns and columns of rows.

The driver asks Spark's plan which parts of which files each partition is; a task reads the groups of rows that Spark would read there. So
partitions hold the same rows either way, and a model has the same bytes. Whatever is not plainly so goes Spark's way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import types as T
from pyspark.sql.utils import is_remote

log = logging.getLogger("tilewise.spark")

#: What a column of a file must be for Spark and Arrow to see the same in it. Arrays are of numbers.
_SAME: dict[type[T.DataType], pa.DataType] = {
    T.FloatType: pa.float32(),
    T.DoubleType: pa.float64(),
    T.ByteType: pa.int8(),
    T.ShortType: pa.int16(),
    T.IntegerType: pa.int32(),
    T.LongType: pa.int64(),
    T.BooleanType: pa.bool_(),
    T.StringType: pa.string(),
}

_PLAIN = "org.apache.spark.sql.execution.datasources."
_FORMAT = _PLAIN + "parquet.ParquetFileFormat"
_LISTING = _PLAIN + "InMemoryFileIndex"
_PARTITION = _PLAIN + "FilePartition"


class Unread(Exception):
    """A file that cannot be read as Spark would read it; then Spark reads it."""


@dataclass(frozen=True)
class Split:
    """A part of a file, in bytes: the groups of rows whose middle lies in it."""

    path: str
    start: int
    length: int


def splits(frame: DataFrame) -> list[list[Split]] | None:
    """The parts of files that each partition of a table is; None where the table is anything but columns of Parquet files that every
    process of this host can open by their path, and over Spark Connect, which shows no plan."""
    if is_remote() or not all(_same(field.dataType) and "." not in field.name for field in frame.schema.fields):
        return None
    if (frame.sparkSession.conf.get("spark.sql.parquet.fieldId.read.enabled", "false") or "").lower() == "true":
        # Columns of files may then have other names.
        return None
    from py4j.protocol import Py4JError

    try:
        return _planned(frame)
    except (Py4JError, TypeError) as error:
        # Plans are no interface of Spark: another version, or who hides them, may show others.
        log.info("files go through Spark, whose plan cannot be read: %s", error)
        return None


def _planned(frame: DataFrame) -> list[list[Split]] | None:
    execution = frame._jdf.queryExecution()
    if not _is_scan(execution.optimizedPlan()):
        return None
    found = []
    for partition in execution.toRdd().partitions():
        if _class(partition) != _PARTITION:
            return None
        parts = []
        for file in partition.files():
            place = file.toPath().toUri()
            if place.getScheme() != "file":
                return None
            parts.append(Split(place.getPath(), file.start(), file.length()))
        found.append(parts)
    return found or None


def _same(kind: T.DataType) -> pa.DataType | None:
    if isinstance(kind, T.ArrayType):
        value = _same(kind.elementType)
        return pa.list_(value) if value is not None and pa.types.is_primitive(value) else None
    # Text of another collation is compared otherwise.
    return None if isinstance(kind, T.StringType) and kind != T.StringType() else _SAME.get(type(kind))


def _class(java: object) -> str:
    return java.getClass().getName()


def _is_scan(plan: object) -> bool:
    """Columns of a relation of files, and nothing else, not even another name for one."""
    if plan.nodeName() == "Project":
        kept = plan.projectList()
        if any(not _class(kept.apply(i)).endswith(".AttributeReference") for i in range(kept.size())):
            return False
        plan = plan.child()
    if not _class(plan).endswith(".datasources.LogicalRelation") or plan.isStreaming():
        return False
    relation = plan.relation()
    return (
        _class(relation) == _PLAIN + "HadoopFsRelation"
        # Formats that keep lists of deleted rows beside the files are classes of their own.
        and _class(relation.fileFormat()) == _FORMAT
        and _class(relation.location()) == _LISTING
        and relation.partitionSchema().isEmpty()
        and relation.bucketSpec().isEmpty()
    )


def wanted(frame: DataFrame) -> pa.Schema:
    """The columns of a table as its files must have them."""
    return pa.schema([(field.name, _same(field.dataType)) for field in frame.schema.fields])


def read(parts: Iterable[Split], columns: pa.Schema, threads: bool) -> pa.Table:
    """The rows of a partition.

    Raises Unread where a file cannot be opened here or a column is not there with the type that Spark sees.
    """
    tables = [columns.empty_table()]
    for part in parts:
        try:
            with pq.ParquetFile(part.path) as file:
                _compare(file.schema_arrow, columns, part.path)
                groups = [i for i in range(file.num_row_groups) if _middle(file.metadata.row_group(i)) in _span(part)]
                rows = file.read_row_groups(groups, columns=columns.names, use_threads=threads)
        except (OSError, pa.ArrowException) as error:
            raise Unread(f"{part.path}: {error}") from error
        # Metadata of a file and names inside of arrays may differ.
        tables.append(rows.select(columns.names).cast(columns))
    return pa.concat_tables(tables)


def _compare(found: pa.Schema, columns: pa.Schema, path: str) -> None:
    for field in columns:
        # Spark takes names by their letters whatever the case, and refuses one that is there twice.
        alike = [name for name in found.names if name.casefold() == field.name.casefold()]
        if alike != [field.name]:
            raise Unread(f"{path}: column {field.name!r} is there {alike.count(field.name)} times, alike {len(alike)}")
        kind = found.field(field.name).type
        if pa.types.is_list(kind):
            kind = pa.list_(kind.value_type)
        if kind != field.type:
            raise Unread(f"{path}: column {field.name!r} holds {kind}, where Spark sees {field.type}")


def _span(part: Split) -> range:
    return range(part.start, part.start + part.length)


def _middle(group: pq.RowGroupMetaData) -> int:
    """Where Spark takes a group of rows to lie: the byte in the middle of it."""
    columns = [group.column(i) for i in range(group.num_columns)]
    first = columns[0]
    starts = [first.data_page_offset]
    if first.has_dictionary_page and first.dictionary_page_offset > 0:
        starts.append(first.dictionary_page_offset)
    return min(starts) + sum(column.total_compressed_size for column in columns) // 2
