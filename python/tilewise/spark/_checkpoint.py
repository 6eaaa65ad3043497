"""Answers of partitions on disk, so that a fit whose driver was lost goes on where it was.

A trainer is what it was asked and told: given the same answers again, a new one stands where the old one stood, to the bit. So that is
what is kept, whatever the family; rounds that are kept are not computed again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Before each record: its length, little-endian; behind it so many bytes of its hash.
_LENGTH, _HASH = 8, 16


class Checkpoint:
    """The answers of one fit, in a file of the folder that is named by all that the fit depends on: settings, columns, the rows of each
    partition, the version. What of a record is not whole, as a driver that is killed may leave it, counts as not there."""

    def __init__(self, folder: str | os.PathLike[str], about: dict[str, Any]) -> None:
        name = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=_HASH).hexdigest()
        os.makedirs(folder, exist_ok=True)
        self.path = Path(folder) / f"tilewise-{name}.answers"
        self._file = open(self.path, "a+b")  # noqa: SIM115
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise RuntimeError(f"{self.path}: another fit of the same rows with the same settings writes there") from error
        self._file.seek(0)

    def kept(self) -> Iterator[list[bytes]]:
        """The answers of each round that is whole, in order. What is behind them is cut off."""
        while True:
            start = self._file.tell()
            length = int.from_bytes(self._file.read(_LENGTH), "little")
            # A length that is damaged may be anything.
            there = os.fstat(self._file.fileno()).st_size - start
            record, told = self._file.read(min(length, there)), self._file.read(_HASH)
            if not record or told != _hash(record):
                self._file.truncate(start)
                return
            yield _apart(record)

    def keep(self, answers: list[bytes]) -> None:
        """Adds the answers of a round."""
        record = b"".join(len(answer).to_bytes(_LENGTH, "little") + answer for answer in answers)
        self._file.write(len(record).to_bytes(_LENGTH, "little") + record + _hash(record))
        self._file.flush()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Of a fit that is done nothing stays."""
        if kind is None:
            self.path.unlink(missing_ok=True)
        self._file.close()


def _apart(record: bytes) -> list[bytes]:
    answers, at = [], 0
    while at < len(record):
        at, length = at + _LENGTH, int.from_bytes(record[at : at + _LENGTH], "little")
        answers.append(record[at : at + length])
        at += length
    return answers


def _hash(record: bytes) -> bytes:
    return hashlib.blake2b(record, digest_size=_HASH).digest()
