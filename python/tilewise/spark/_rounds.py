"""Training in rounds on a cluster: what the driver does. Of families it knows nothing: a trainer asks, partitions answer.

All this runs over Spark Connect too, by the API of DataFrames alone; where there are RDDs, rounds are jobs over these. The rows of a partition are stored once, by its
executor; a token for each partition is what Spark keeps. A round is one job over the tokens, with the request in the function that
is sent. When an executor is lost its tokens are lost with it, and Spark makes them again from the data, on another one.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import logging
import re
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.utils import is_remote

from .._native import VERSION, Model, Trainer
from . import _files, _worker
from ._checkpoint import Checkpoint

log = logging.getLogger("tilewise.spark")

#: The last fits that are over, by the names of their files. The next ones remove what is left of them: a task may have been at work when
#: its fit failed, and an executor have been busy, or not yet in the place of another, when files were removed.
_over: collections.deque[str] = collections.deque(maxlen=32)

#: Tasks for each partition of the job that removes files of a fit that failed.
TASKS = 4

#: How often partitions whose files are gone are stored again before the fit gives up.
REBUILDS = 3


@dataclass(frozen=True)
class Division:
    """How rows are to be divided among partitions."""

    #: How many partitions; as many as there are without it.
    count: int | None = None
    #: Anew, even where there are so many.
    force: bool = False
    #: The column that tells which rows are of one query, and stay together.
    query: str | None = None


class Partitions:
    """The partitions of a table, stored by the executors. Ends as a context."""

    def __init__(
        self,
        rows: DataFrame,
        features: list[str],
        array: str | None,
        others: list[str],
        numbers: str | None = None,
        directly: bool = True,
        division: Division = Division(),
    ) -> None:
        self._division = division
        self._plan = _worker.Plan(uuid.uuid4().hex, features, array, others, numbers, tuple(_over))
        self._rows = rows.select(*[f"`{name}`" for name in features + others + ([numbers] if numbers else [])])
        #: The parts of files that partitions are, where tasks read these themselves.
        self._splits = _files.splits(self._rows) if directly else None
        if numbers is None and division.count is not None:
            self._divide()
        if self._splits is not None:
            log.info("tasks read %d parts of files themselves", sum(map(len, self._splits)))
        self._known: dict[int, dict] = {}
        self._tokens: DataFrame | None = None
        try:
            self._build()
            if numbers is not None and self._known:
                self._check_numbers()
            if self._known and self._is_to_be_gathered():
                self._gather()
        except BaseException:
            self.close()
            raise

    def _divide(self) -> None:
        """Rows without numbers among as many partitions as are wanted."""
        count = self._division.count
        if self._splits is not None:
            have = len(self._splits)
        else:
            # Spark Connect does not tell.
            have = None if is_remote() else self._rows.rdd.getNumPartitions()
        if have != count or self._division.force:
            self._rows, self._splits = self._rows.repartition(count), None

    def _is_to_be_gathered(self) -> bool:
        """Whether rows with numbers are to be divided by these."""
        if any(token["scattered"] for token in self._known.values()):
            return True
        if self._division.query is not None and len(self._known) > 1:
            # Partitions may end in the middle of a query.
            return True
        return self._plan.numbers is not None and self._division.count is not None and (
            self._division.force or self._division.count != len(self._known)
        )

    def _build(self) -> None:
        self._tokens = self._built().persist()
        # Of the tokens where Spark has RDDs: an empty job over them took 33 ms, and 54 ms over a table, which is planned anew each
        # time. Spark Connect has none.
        self._rdd = None if is_remote() else self._tokens.rdd
        tokens = {token["partition"]: token for token in collected(self._tokens)}
        if unread := [token["unread"] for token in tokens.values() if token["unread"] is not None]:
            if self._known:
                # Spark may divide the table otherwise, so the fit could not go on.
                raise RuntimeError(f"a partition was lost and its files cannot be read again: {unread[0]}")
            log.info("files go through Spark: %s", unread[0])
            self._forget()
            self._splits = None
            self._build()
            return
        for partition, token in sorted(tokens.items()):
            if token["version"] != VERSION:
                raise RuntimeError(
                    f"the executor on {token['host']} has tilewise {token['version']}, the driver {VERSION}; install the same on all"
                )
            refused(partition, token["error"])
        if self._known:
            for partition in sorted(self._known.keys() | tokens.keys()):
                self._compare(partition, self._known.get(partition, {}).get("hash"), tokens.get(partition, {}).get("hash"))
        self._known = tokens

    def _built(self) -> DataFrame:
        """The tokens of partitions, to be made."""
        if self._splits is None:
            return self._rows.mapInArrow(functools.partial(_worker.build, plan=self._plan), _worker.TOKEN_DDL)
        build = functools.partial(
            _worker.build_of_files, plan=self._plan, splits=self._splits, columns=_files.wanted(self._rows)
        )
        count = len(self._splits)
        return self._rows.sparkSession.range(0, count, 1, count).mapInArrow(build, _worker.TOKEN_DDL)

    def _check_numbers(self) -> None:
        """Before rows are sent by them: they must be as many as the largest says."""
        least = min((token["least"] for token in self._known.values() if token["least"] is not None), default=None)
        largest = max((token["largest"] for token in self._known.values() if token["largest"] is not None), default=None)
        if least != 0 or largest != self.rows - 1:
            raise ValueError(
                f"column {self._plan.numbers!r} does not number rows: there are {self.rows}, and numbers go from {least} to {largest}; "
                "0, 1 and so on, each once and none left out, are accepted"
            )

    def _gather(self) -> None:
        """Divides rows anew, so that in each partition their numbers follow each other: one shuffle, and another one for queries."""
        number, rows, parts = F.col(f"`{self._plan.numbers}`"), self.rows, self._division.count or len(self._known)
        log.info("rows are divided by their numbers among %d partitions", parts)
        self._forget()
        query = self._division.query
        if query is not None:
            # All rows of a query go where its first does.
            number = F.min(number).over(Window.partitionBy(F.col(f"`{query}`")))
        # Numbers are checked where rows are stored: those of no row go anywhere.
        place = F.least(F.greatest(F.floor(number.cast("double") * parts / rows), F.lit(0)), F.lit(parts - 1))
        # A column of its own: Spark repartitions by no window.
        placed = self._rows.withColumn("tilewise place", F.coalesce(place, F.lit(0)).cast("int"))
        self._rows = placed.repartitionById(parts, F.col("`tilewise place`")).drop("tilewise place")
        self._known, self._splits = {}, None
        self._build()
        if any(token["scattered"] for token in self._known.values()):
            apart = f", in which rows of one query in column {query!r} follow each other," if query is not None else ""
            raise ValueError(
                f"column {self._plan.numbers!r} does not number rows: 0, 1 and so on, each once and none left out{apart} are accepted"
            )

    def _compare(self, partition: int, before: str | None, now: str | None) -> None:
        if before != now:
            raise RuntimeError(
                f"partition {partition} was read again and its rows are not what they were: a source that gives other rows each "
                "time, or divides them otherwise, cannot be trained on; write it to files first"
            )

    @property
    def hashes(self) -> list[list]:
        """What the rows of each partition are, in their order."""
        return [[partition, token["rows"], token["hash"]] for partition, token in sorted(self._known.items())]

    @property
    def rows(self) -> int:
        return sum(token["rows"] for token in self._known.values())

    @property
    def width(self) -> int:
        """Features of a row; 0 where there are no rows."""
        widths = {token["width"] for token in self._known.values()}
        if len(widths) > 1:
            raise ValueError(f"arrays of features have {min(widths)} numbers in one row and {max(widths)} in another")
        return max(widths, default=0)

    def ask(self, request: bytes) -> list[bytes]:
        """The answers of all partitions to a request, in their order."""
        for _ in range(REBUILDS):
            answers = self._answers(request)
            if not any(answer["lost"] for answer in answers):
                break
            log.warning("rows that were stored are gone; they are stored again")
            self._tokens.unpersist()
            self._build()
        else:
            raise RuntimeError(
                "the rows that executors stored are not there when they are needed: tasks run where they were not stored. "
                "Executors need local folders (spark.local.dir) that last as long as they do; where executors are on several hosts, a larger "
                "spark.locality.wait keeps tasks where their rows are"
            )
        answers = {answer["partition"]: answer for answer in answers}
        for partition in sorted(answers.keys() | self._known.keys()):
            known, answer = self._known.get(partition, {}), answers.get(partition, {})
            refused(partition, answer.get("error"))
            self._compare(partition, known.get("hash"), answer.get("hash"))
        return [answers[partition]["answer"] for partition in sorted(answers)]

    def _answers(self, request: bytes) -> list[dict]:
        """One job over the tokens."""
        if self._rdd is None:
            return collected(self._tokens.mapInArrow(functools.partial(_worker.answer, request=request), _worker.ANSWER_DDL))
        with told():
            return self._rdd.mapPartitions(functools.partial(_worker.answer_tokens, request=request)).collect()

    def close(self, whole: bool = False) -> None:
        """Removes what was stored, where it can be reached; `whole` where nothing went wrong."""
        if self._tokens is None:
            return
        _over.append(self._plan.name)
        try:
            self._forget(whole)
        except Exception as error:  # noqa: BLE001
            log.warning("stored rows could not be removed; the next fit removes them, or they go with their executors: %s", error)
        self._tokens = None

    def _forget(self, whole: bool = False) -> None:
        """A job of more tasks than there are partitions, of which every executor that has nothing else to do gets some; before it, if the fit is
        `whole`, one over the tokens, which goes where the files are. Else a token whose executor is gone, or whose rows cannot be read,
        would be made again for this."""
        forget = functools.partial(_worker.forget, names=(*_over, self._plan.name))
        tasks = TASKS * max(len(self._known), 1)
        try:
            for where in [self._tokens] * whole + [self._rows.sparkSession.range(0, tasks, 1, tasks)]:
                where.mapInArrow(forget, _worker.ANSWER_DDL).toArrow()
        finally:
            self._tokens.unpersist()

    def __enter__(self) -> Partitions:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(whole=kind is None)


def refused(partition: int, error: str | None) -> None:
    """Raises what a partition says is wrong with its rows, which are counted as they are stored: sorted by number or hash."""
    if error is not None:
        raise ValueError(f"partition {partition}, rows as stored: {error}")


def collected(frame: DataFrame) -> list[dict]:
    """The rows of a small table."""
    with told():
        rows: pa.Table = frame.toArrow()
    return rows.to_pylist()


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Tells in one line what went wrong with executors."""
    try:
        yield
    except Exception as error:
        text = str(error)
        for module, package in (("tilewise", "tilewise"), ("pyarrow", "pyarrow"), ("sklearn", "scikit-learn")):
            if f"No module named '{module}" in text:
                raise RuntimeError(
                    f"executors have no package {package!r}: install it where they run Python (spark.pyspark.python), in the "
                    "version that the driver has"
                ) from error
        if found := re.search(r"\[FAILED_READ_FILE[A-Z_.]*\] ([^\n]+)", text):
            raise OSError(f"a file of the table cannot be read: {found[1]}") from error
        if "No space left on device" in text:
            raise OSError("an executor has no space left in its local folder (spark.local.dir) for the rows of a partition") from error
        raise


def train(trainer: Trainer, partitions: Partitions, show: bool, checkpoint: Checkpoint | None = None) -> Model:
    """Runs the rounds of a trainer; those that a checkpoint has kept are not asked for again."""
    done, told = 0, ""
    for answers in checkpoint.kept() if checkpoint else ():
        trainer.request()
        trainer.advance(answers)
        done += 1
    if done:
        log.info("went on after round %d", done)
    while (request := trainer.request()) is not None:
        answers = partitions.ask(request)
        if checkpoint:
            checkpoint.keep(answers)
        trainer.advance(answers)
        done += 1
        most = trainer.at_most()
        line = f"round {done}" + (f" of at most {most}" if most else "") + f": {trainer.note()}"
        log.info(line)
        # A stage of boosting takes several rounds.
        if show and trainer.note() != told:
            told = trainer.note()
            print(line, file=sys.stderr, flush=True)
    return trainer.finish()


def cores_of_executors(spark: SparkSession) -> int | None:
    """The cores of the largest executor that there is; None over Spark Connect, which does not tell, and where all is one process."""
    if is_remote():
        return None
    # Clients of Spark Connect have none.
    from py4j.protocol import Py4JError

    try:
        executors = spark.sparkContext._jsc.sc().statusStore().executorList(True)
        found = [executors.apply(i) for i in range(executors.size())]
        return max((one.totalCores() for one in found if one.id() != "driver"), default=None)
    except (Py4JError, TypeError):
        # No interface of Spark, and there is nothing but advice to lose.
        return None


def advise(setting: Callable[[str, str], str], seen: int | None = None) -> None:
    """Tells of settings that cost time; `setting(key, default)` reads one, `seen` is how many cores executors have, as far as that is
    known: without `spark.executor.cores` a standalone cluster gives them all that a worker has."""

    def number(key: str, default: int) -> int:
        text = setting(key, str(default))
        return int(text) if text.isdigit() else default

    cores, cpus = number("spark.executor.cores", seen or 1), number("spark.task.cpus", 1)
    advice = []
    if setting("spark.python.unix.domain.socket.enabled", "false") != "true":
        advice.append("spark.python.unix.domain.socket.enabled=true spares every task a wait for the loopback connection")
    if cores > cpus:
        advice.append(
            f"spark.task.cpus={cores}, the cores of an executor, lets one task use them all instead of {cores // cpus} at a time"
        )
    if setting("spark.python.worker.reuse", "true") != "true":
        advice.append("spark.python.worker.reuse=true keeps what workers have open from round to round")
    if advice:
        warnings.warn("faster rounds: " + "; ".join(advice), stacklevel=5)
