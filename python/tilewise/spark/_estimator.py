"""What all estimators and models on Spark share: columns, checks, the way to the rounds, and to a file and back."""

from __future__ import annotations

import inspect
import os
import re
import warnings
from os import PathLike
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.ml import Estimator, Model
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import (
    DefaultParamsReadable,
    DefaultParamsReader,
    DefaultParamsWritable,
    DefaultParamsWriter,
    MLReadable,
    MLReader,
    MLWritable,
    MLWriter,
)
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from sklearn.exceptions import ConvergenceWarning

from .. import _native
from .._base import text
from . import _rounds, _worker
from ._checkpoint import Checkpoint, usable

_VECTOR = "vector"
_ACCEPTED = "numbers, text, booleans, arrays of numbers and vectors are accepted"


def _names(value: Any) -> str | list[str]:
    """A column of arrays, or columns."""
    if isinstance(value, str):
        return value
    if not value or not all(isinstance(name, str) for name in value):
        raise TypeError(f"features_col={value!r}; the name of a column of arrays or a list of names of columns is accepted")
    return list(value)


class Columns(Params):
    """The parameters that name columns."""

    features_col = Param(Params._dummy(), "features_col", "a column of arrays or vectors, or a list of columns", _names)
    prediction_col = Param(Params._dummy(), "prediction_col", "the predicted column", TypeConverters.toString)

    def _features(self, frame: DataFrame) -> tuple[DataFrame, list[str], bool]:
        """The table with features as Arrow can carry them, their names, and whether they are one column of arrays."""
        given = self.getOrDefault(self.features_col)
        names = [given] if isinstance(given, str) else given
        for name in names:
            kind = column(frame, name)
            if _is_array(kind) and isinstance(given, str):
                if kind.typeName() != "array":
                    frame = frame.withColumn(name, vector_to_array(F.col(f"`{name}`")))
                return frame, names, True
            if not isinstance(kind, (T.NumericType, T.StringType, T.BooleanType)):
                raise ValueError(f"column {name!r} holds {kind.simpleString()}; {_ACCEPTED} ({_LIST})")
        if len(set(names)) < len(names):
            raise ValueError(f"features_col={names!r} names a column twice")
        return frame, names, False


_LIST = "arrays and vectors as the only column, named without a list"


def _is_array(kind: T.DataType) -> bool:
    if isinstance(kind, T.ArrayType):
        return isinstance(kind.elementType, T.NumericType)
    return isinstance(kind, T.UserDefinedType) and kind.simpleString() == _VECTOR


def _stem(features: str, others: list[str | None]) -> str:
    """With what the names of numbers in an array begin: x, so that they are x0, x1 and so on, but where another column has such a name."""
    stem = "x"
    while any(other is not None and re.fullmatch(re.escape(stem) + "[0-9]+", other) for other in others):
        stem = f"{features}_" if stem == "x" else f"{stem}_"
    return stem


def column(frame: DataFrame, name: str) -> T.DataType:
    """The type of a column."""
    for field in frame.schema.fields:
        if field.name == name:
            return field.dataType
    raise ValueError(f"column {name!r}: there is no such column; there are {', '.join(frame.columns[:40])}")


#: What every estimator has, where nothing else is said.
_COLUMNS = {
    "features_col": "features",
    "label_col": "label",
    "prediction_col": "prediction",
    "probability_col": "probability",
    "read_directly": True,
    "force_repartition": False,
    "verbose": False,
}


class TilewiseSparkEstimator(Estimator, Columns, DefaultParamsWritable, DefaultParamsReadable):
    """Base of the estimators. A subclass names that of a single machine, of which it has the parameters."""

    label_col = Param(Params._dummy(), "label_col", "the column to predict", TypeConverters.toString)
    weight_col = Param(Params._dummy(), "weight_col", "how often each row counts", TypeConverters.toString)
    probability_col = Param(Params._dummy(), "probability_col", "the probabilities of classes", TypeConverters.toString)
    read_directly = Param(
        Params._dummy(), "read_directly", "tasks read Parquet files themselves, where the table is those and nothing more", TypeConverters.toBoolean
    )
    checkpoint_dir = Param(
        Params._dummy(), "checkpoint_dir", "a folder of the driver, from which a fit goes on whose driver was lost", TypeConverters.toString
    )
    num_workers = Param(
        Params._dummy(), "num_workers", "partitions that rows are brought to; they stay as they are without it", TypeConverters.toInt
    )
    force_repartition = Param(
        Params._dummy(), "force_repartition", "divide rows anew where they have num_workers partitions already", TypeConverters.toBoolean
    )
    verbose = Param(Params._dummy(), "verbose", "print a line for each round", TypeConverters.toBoolean)

    _DEFAULTS: dict[str, Any] = {}
    #: What None is, of parameters with another default.
    _NONE: dict[str, Any] = {}
    _single: Any
    _model_class: Any
    _classifies = False

    def __init_subclass__(cls, **more: Any) -> None:
        """A constructor takes every parameter of its class by name, as its signature says; those without a default are None."""
        super().__init_subclass__(**more)
        names = [name for name in dir(cls) if isinstance(getattr(cls, name, None), Param)]
        if not cls._classifies:
            names.remove("probability_col")
        defaults = {name: value for name, value in (_COLUMNS | cls._DEFAULTS).items() if name in names}
        cls._defaults, given = defaults, {name: defaults.get(name) for name in names}
        keywords = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value) for name, value in given.items()]
        cls.__signature__ = inspect.Signature(keywords)

    def __init__(self, **given: Any) -> None:
        super().__init__()
        known = type(self).__signature__.parameters
        if unknown := [name for name in given if name not in known]:
            raise TypeError(f"{type(self).__name__} has no parameter {unknown[0]!r}; there are {', '.join(known)}")
        self._setDefault(**self._defaults)
        # None is as good as nothing but where it says something else than the default.
        said = {name: self._NONE.get(name) if value is None else value for name, value in given.items()}
        self._set(**{name: value for name, value in said.items() if value is not None})

    def _settings(self) -> list[tuple[str, str]]:
        settings = dict(self._single._fixed)
        for name, (key, value) in self._single._parameters.items():
            if self._has(name):
                settings[key] = value(self.getOrDefault(name))
        settings |= self._more_settings()
        return [(key, text(value)) for key, value in settings.items()]

    def _has(self, name: str) -> bool:
        return self.hasParam(name) and self.isDefined(name) and self.getOrDefault(name) is not None

    def _more_settings(self) -> dict[str, Any]:
        """Those that are called otherwise on a single machine, or are not there."""
        return {}

    def _seed(self) -> int:
        """The key of random numbers."""
        return 0

    def _numbers(self, frame: DataFrame) -> str | None:
        """The column that numbers rows, where that matters and it was named."""
        return None

    def _roles(self, frame: DataFrame, features: list[str]) -> dict[str, Any]:
        label = self.getOrDefault(self.label_col)
        kind = column(frame, label)
        if not self._classifies and not isinstance(kind, (T.NumericType, T.BooleanType)):
            raise ValueError(f"column {label!r} holds {kind.simpleString()}; the label of a regression must be a number")
        if self._classifies and not isinstance(kind, (T.NumericType, T.BooleanType, T.StringType)):
            raise ValueError(f"column {label!r} holds {kind.simpleString()}; text, booleans and whole numbers are classes")
        weight = self.getOrDefault(self.weight_col) if self._has("weight_col") else None
        if weight is not None and not isinstance(column(frame, weight), T.NumericType):
            raise ValueError(f"column {weight!r} holds {column(frame, weight).simpleString()}; weights are numbers")
        roles = {"targets": [label], "weight": weight, "offset": None, "group": None, "held_out": None} | self._more_roles(frame)
        named = _named(roles)
        if taken := [name for i, name in enumerate(named) if name in features or name in named[:i]]:
            raise ValueError(f"column {taken[0]!r} has two parts among features, label, weight, queries and rows held out")
        return roles

    def _more_roles(self, frame: DataFrame) -> dict[str, Any]:
        """Columns that only some estimators have a use for."""
        return {}

    def _division(self, roles: dict[str, Any]) -> _rounds.Division:
        """How rows are to be divided among partitions."""
        count, force = self.getOrDefault(self.num_workers) if self._has("num_workers") else None, self.getOrDefault(self.force_repartition)
        if count is not None and count < 1:
            raise ValueError(f"num_workers={count}; a number of partitions, 1 or more, is accepted")
        if force and count is None:
            raise ValueError("force_repartition=True needs num_workers, the number of partitions")
        return _rounds.Division(count, force, roles["group"])

    def _fit(self, dataset: DataFrame) -> Any:
        dataset, features, array = self._features(dataset)
        roles = self._roles(dataset, features)
        others = _named(roles)
        conf = dataset.sparkSession.conf
        cores = _rounds.cores_of_executors(dataset.sparkSession)
        _rounds.advise(lambda key, default: conf.get(key, default) or default, cores)
        settings, seed, numbers = self._settings(), self._seed(), self._numbers(dataset)
        if numbers in [*features, *others]:
            raise ValueError(f"column {numbers!r} numbers rows; it can have no other part")
        if not array:
            # Before any data is read.
            _native.Trainer(self._single._family, settings, features, roles, seed)
        if self._has("checkpoint_dir"):
            usable(self.getOrDefault(self.checkpoint_dir))
        directly = self.getOrDefault(self.read_directly)
        division = self._division(roles)
        stem = _stem(features[0], [*others, numbers]) if array else None
        with _rounds.Partitions(dataset, features, stem, others, numbers, directly, division) as partitions:
            if partitions.rows == 0:
                raise ValueError("the table has no rows; at least two are needed")
            inputs = [f"{stem}{i}" for i in range(partitions.width)] if array else features
            trainer = _native.Trainer(self._single._family, settings, inputs, roles, seed)
            show = self.getOrDefault(self.verbose)
            if self._has("checkpoint_dir"):
                about = {"family": self._single._family, "settings": settings, "inputs": inputs, "roles": roles, "seed": seed}
                about |= {"partitions": partitions.hashes, "version": _native.VERSION}
                with Checkpoint(self.getOrDefault(self.checkpoint_dir), about) as checkpoint:
                    model = _rounds.train(trainer, partitions, show, checkpoint)
            else:
                model = _rounds.train(trainer, partitions, show)
        report = model.report
        for warning in report["warnings"] or ([] if report["converged"] else [report["stopped"]]):
            kind = UserWarning if report["converged"] else ConvergenceWarning
            warnings.warn(f"{type(self).__name__}: {warning}", kind, stacklevel=3)
        label = column(dataset, roles["targets"][0])
        labels = "number" if isinstance(label, T.NumericType) else label.typeName()
        fitted = self._model_class()
        fitted._resetUid(self.uid)
        fitted._take(model.to_bytes(), labels)
        return self._copyValues(fitted)


def _named(roles: dict[str, Any]) -> list[str]:
    """The columns that are no features."""
    return [name for name in (*roles["targets"], roles["weight"], roles["group"], roles["held_out"]) if name]


class Fitted(Model, Columns, MLWritable, MLReadable):
    """A fitted model: the bytes of its file, and the columns to read and write."""

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(features_col="features", prediction_col="prediction")
        self._bytes = b""
        self._labels = "number"

    def _take(self, file: bytes, labels: str) -> None:
        self._bytes, self._labels = bytes(file), labels

    @property
    def native(self) -> _native.Model:
        """The model of the compiled part."""
        return _native.Model.from_bytes(self._bytes)

    @property
    def report(self) -> dict[str, Any]:
        """How the fit went."""
        return self.native.report

    def describe(self) -> str:
        """What `tilewise inspect` tells of the model."""
        return self.native.describe()

    @property
    def feature_importances(self) -> np.ndarray:
        """Of models of trees the share of each input in what all splits gained."""
        return self.native.importances()

    def to_bytes(self) -> bytes:
        """The model's file."""
        return self._bytes

    def save_file(self, path: str | PathLike[str]) -> None:
        """Writes the model's file on the driver, which `tilewise.load`, the command line and the server read."""
        self.native.save(path)

    def _outputs(self) -> str:
        return "prediction double"

    def _transform(self, dataset: DataFrame) -> DataFrame:
        readable, features, array = self._features(dataset)
        model, answers = self._bytes, self._answers()

        @F.arrow_udf(returnType=self._outputs())
        def predict(*columns: pa.Array) -> pa.Array:
            return answers(_worker.predict(model, features, array, columns))

        inputs = [F.col(f"`{name}`") for name in features]
        if array and readable is not dataset:
            inputs = [vector_to_array(inputs[0])]
        predicted = "tilewise predicted"
        result = dataset.withColumn(predicted, predict(*inputs))
        return result.withColumns(self._columns(F.col(f"`{predicted}`"))).drop(predicted)

    def _answers(self) -> Any:
        return _worker.numbers

    def _columns(self, predicted: Any) -> dict[str, Any]:
        return {self.getOrDefault(self.prediction_col): predicted["prediction"]}

    def write(self) -> MLWriter:
        """Writes parameters and file below a path that Spark can write to."""
        return _Writer(self)

    @classmethod
    def read(cls) -> MLReader:
        """Reads what `write` wrote."""
        return _Reader(cls)


class FittedClasses(Fitted):
    """A fitted classifier."""

    probability_col = Param(Params._dummy(), "probability_col", "the probabilities of classes", TypeConverters.toString)

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(probability_col="probability")

    @property
    def classes(self) -> list[Any]:
        """The labels, in the order of probabilities."""
        names = self.native.outputs
        if self._labels == "number":
            return [float(name) for name in names]
        return [name == "true" for name in names] if self._labels == "boolean" else names

    def _outputs(self) -> str:
        label = {"number": "double", "boolean": "boolean"}.get(self._labels, "string")
        return f"prediction {label}, probability array<double>"

    def _answers(self) -> Any:
        classes = pa.array(self.classes)

        def answers(shares: np.ndarray) -> pa.Array:
            return _worker.labels(shares, classes)

        return answers

    def _columns(self, predicted: Any) -> dict[str, Any]:
        shares = array_to_vector(predicted["probability"])
        return {**super()._columns(predicted), self.getOrDefault(self.probability_col): shares}


class _Writer(MLWriter):
    def __init__(self, instance: Fitted) -> None:
        super().__init__()
        self.instance = instance

    def saveImpl(self, path: str) -> None:
        spark = self.sparkSession
        DefaultParamsWriter.saveMetadata(self.instance, path, spark, extraMetadata={"labels": self.instance._labels})
        file = spark.createDataFrame([(bytearray(self.instance._bytes),)], "file binary")
        file.coalesce(1).write.parquet(os.path.join(path, "model"))


class _Reader(MLReader):
    def __init__(self, cls: type[Fitted]) -> None:
        super().__init__()
        self.cls = cls

    def load(self, path: str) -> Fitted:
        spark = self.sparkSession
        metadata = DefaultParamsReader.loadMetadata(path, spark)
        model = self.cls()
        model._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(model, metadata)
        file = spark.read.parquet(os.path.join(path, "model")).first()
        model._take(bytes(file["file"]), metadata["labels"])
        # Refuses a file that is damaged.
        model.native
        return model
