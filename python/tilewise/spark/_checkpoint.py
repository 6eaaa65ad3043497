"""Answers of partitions on disk, so that a fit whose driver was lost goes on where it was.

A trainer is what it was asked and told: given the same answers again, a new one stands where the old one stood, to the bit. So that is
what is kept, whatever the family; rounds that are kept are not computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Before each record: its length, little-endian; behind it so many bytes of its hash.
_LENGTH, _HASH = 8, 16


class Checkpoint:
    """The answers of one fit, in a file of the folder that is named by all that the fit depends on: settings, columns, the rows of each
    partition, the version. What of a record is not whole, as a driver that is killed may leave it, counts as not there."""

    def __init__(self, folder: str | os.PathLike[str], about: dict[str, Any]) -> None:
        # Here, as Windows has none: the rest of the package is of use there, over Spark Connect.
        import fcntl

        name = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=_HASH).hexdigest()
        self.path = usable(folder) / f"tilewise-{name}.answers"
        # Without a buffer: what could not be written is told once, where it happens.
        self._file = open(self.path, "a+b", buffering=0)  # noqa: SIM115
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise RuntimeError(f"{self.path}: another fit of the same rows with the same settings writes there") from error
        except OSError as error:
            self._file.close()
            raise RuntimeError(f"{self.path} cannot be locked, as checkpoint_dir must be: {error}") from error
        others = [path for path in self.path.parent.glob("tilewise-*.answers") if path != self.path]
        if others and os.fstat(self._file.fileno()).st_size == 0:
            warnings.warn(
                f"{folder} holds answers of {len(others)} other fits: of other settings, rows or partitions, or another version. This fit "
                "begins with its first round. Partitions are the same where spark.sql.files.minPartitionNum says how many",
                stacklevel=5,
            )
        self._file.seek(0)

    def kept(self) -> Iterator[list[bytes]]:
        """The answers of each round that is whole, in order. What is behind them is cut off."""
        while True:
            start = self._file.tell()
            length = int.from_bytes(self._read(_LENGTH), "little")
            # A length that is damaged may be anything.
            there = os.fstat(self._file.fileno()).st_size - start
            record, told = self._read(min(length, there)), self._read(_HASH)
            if not record or told != _hash(record):
                self._file.truncate(start)
                return
            yield _apart(record)

    def _read(self, count: int) -> bytes:
        """So many bytes, fewer where there are no more: the system may give less than 2 GiB at a time."""
        parts = []
        while count and (part := self._file.read(count)):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def keep(self, answers: list[bytes]) -> None:
        """Adds the answers of a round."""
        record = b"".join(len(answer).to_bytes(_LENGTH, "little") + answer for answer in answers)
        left = memoryview(len(record).to_bytes(_LENGTH, "little") + record + _hash(record))
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise RuntimeError(f"{self.path}: answers cannot be kept there (checkpoint_dir): {error}") from error

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Of a fit that is done nothing stays."""
        if kind is None:
            self.path.unlink(missing_ok=True)
        self._file.close()


def usable(folder: str | os.PathLike[str]) -> Path:
    """The folder, which is made where it is not there.

    Raises ValueError where it is none of the driver's file system, or nothing can be written there.
    """
    if not os.fspath(folder) or re.match("[A-Za-z][A-Za-z0-9+.-]*:/", os.fspath(folder)):
        raise ValueError(f"checkpoint_dir={os.fspath(folder)!r}: a folder of the driver's file system is accepted, no URL")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise ValueError(f"checkpoint_dir={os.fspath(folder)!r} cannot be made: {error}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"checkpoint_dir={os.fspath(folder)!r}: nothing can be written there")
    return Path(folder)


def _apart(record: bytes) -> list[bytes]:
    answers, at = [], 0
    while at < len(record):
        at, length = at + _LENGTH, int.from_bytes(record[at : at + _LENGTH], "little")
        answers.append(record[at : at + length])
        at += length
    return answers


def _hash(record: bytes) -> bytes:
    return hashlib.blake2b(record, digest_size=_HASH).digest()
