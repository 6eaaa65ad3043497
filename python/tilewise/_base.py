"""What all estimators share: from arguments to a fit of the compiled part, and from its answers to those of scikit-learn."""

from __future__ import annotations

import functools
import json
import os
import re
import sys
import warnings
from os import PathLike
from typing import TYPE_CHECKING, Any, Callable, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    assert_all_finite,
    check_consistent_length,
    column_or_1d,
)
from sklearn.utils.validation import check_is_fitted as sklearn_check_is_fitted

from . import _data, _labels
from ._native import MISSING_CODE, Model, Table, fit, processors

#: How a parameter of scikit-learn is called by `tilewise train --set`, and what becomes of its value.
Setting = tuple[str, Callable[[Any], Any]]


def same(value: Any) -> Any:
    """The value as it is."""
    return value


def outside() -> int:
    """The `stacklevel` of warnings that stand where the user's code calls this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("tilewise."):
        level, frame = level + 1, frame.f_back
    return level


#: Rows, whether their cells may be missing, and threads: what questions about rows take.
Asked = tuple[NDArray[Any] | Table, bool, int]

#: An error of the compiled part about a setting.
_REFUSED = re.compile(r"parameter (\S+): (.*) is not accepted; (.*)", re.DOTALL)
#: In its words a setting with a value, and values that Python has other names for.
_EQUAL = re.compile(r"\b([a-z]\w*)=")
_PYTHON = {"none": "None", "true": "True", "false": "False", "inf": "math.inf"}
_WORD = re.compile(r"\b(none|true|false|inf)\b")


class Absent:
    """An attribute of scikit-learn's estimators that these do not have: whoever asks for it hears why, and hasattr says no."""

    def __init__(self, why: str) -> None:
        self.why = why

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, estimator: object, owner: type) -> Any:
        if estimator is None:
            return self
        raise AttributeError(f"{owner.__name__} has no {self.name}: {self.why}")


#: Numbers that predictions read where they lie.
_READ = (np.dtype(np.float64), np.dtype(np.float32))


@functools.cache
def _processors() -> int:
    """Processors that this process may use, asked once: the system takes 30 microseconds to tell, ten times a prediction of one row."""
    return processors()


def threads(n_jobs: int | None) -> int:
    """Threads for `n_jobs`: None and -1 are all processors, or as many as joblib leaves a worker (OMP_NUM_THREADS); -2 all but one."""
    if n_jobs is None:
        limit = os.environ.get("OMP_NUM_THREADS", "")
        return int(limit) if limit.isdigit() and int(limit) > 0 else _processors()
    if not isinstance(n_jobs, (int, np.integer)):
        raise ValueError(f"n_jobs must be a whole number or None, got {n_jobs!r}")
    if n_jobs == 0:
        raise ValueError("n_jobs == 0 has no meaning; a number of threads, -1 for all processors or None is accepted")
    return int(n_jobs) if n_jobs > 0 else max(1, _processors() + 1 + int(n_jobs))


def check_is_fitted(estimator: Any) -> None:
    """Raises NotFittedError where there is no model.

    scikit-learn's function gathers the tags of all classes first: some 10 microseconds, more than a prediction of one row takes.
    """
    if "_model" not in estimator.__dict__:
        sklearn_check_is_fitted(estimator, "_model")


#: Told (rounds done, rounds at most, a note such as the loss) after each round; ends training where it returns true. It must not write
#: to the arrays of the fit, which are read where they lie.
Callback = Callable[[int, int, str], object]


def telling(who: str, callback: Callback | None) -> Callback:
    """A callback that prints some ten lines of a fit whose rounds are counted, and asks the other one."""
    shown = -1

    def tell(done: int, total: int, note: str) -> object:
        nonlocal shown
        tenth = 10 * done // total if total else done
        if tenth > shown:
            shown = tenth
            print(f"[{who}] {done} of {total}: {note}", flush=True)
        return callback(done, total, note) if callback is not None else False

    return tell


class TilewiseEstimator(BaseEstimator):
    """Base of all estimators. A subclass names its family, and tells how its parameters are called there."""

    _family: str
    _parameters: dict[str, Setting] = {}
    _fixed: dict[str, Any] = {}
    #: Of settings that are made elsewhere the parameter that they are made of, for errors.
    _made_of: dict[str, str] = {}
    #: What errors say is accepted, of parameters whose values have other names here.
    _accepted: dict[str, str] = {}
    _missing = False
    #: Of a model that was loaded: what is missing is its own matter, as its file says, where fits of this estimator refuse it.
    _as_file = False
    _model: Model
    n_jobs: int | None

    # --- parameters ---

    def _settings(self, rows: int, weight: float) -> dict[str, Any]:
        """Parameters as `--set` takes them for so many rows, whose mean weight is `weight`; those that are None keep the family's
        default."""
        settings = dict(self._fixed)
        for name, (key, value) in self._parameters.items():
            given = getattr(self, name)
            if given is not None:
                settings[key] = value(given)
        return settings

    def _in_own_words(self, error: ValueError) -> ValueError:
        """An error of the compiled part that names a setting of `tilewise train --set`, with the parameter that it was made of in its
        place; others as they are."""
        if (found := _REFUSED.match(str(error))) is None:
            return error
        setting, value, accepted = found.groups()
        names = {key: name for name, (key, _) in self._parameters.items()} | self._made_of
        name = names.get(setting, setting)
        given = shown(getattr(self, name, value))
        if name in self._accepted:
            accepted = self._accepted[name]
        else:
            # What is listed behind are names of columns, say.
            accepted, colon, listed = accepted.partition(": ")
            accepted = _WORD.sub(lambda word: _PYTHON[word[0]], accepted)
            accepted = _EQUAL.sub(lambda key: f"{names.get(key[1], key[1])}=", accepted) + colon + listed
        return ValueError(f"parameter {name}: {given if len(given) < 80 else value} is not accepted; {accepted}")

    def _seed(self, further: bool = False) -> int:
        """`random_state` as a key of random numbers. None is 0: fits can be repeated. `further` is true where a fit goes on."""
        state = getattr(self, "random_state", None)
        if state is None:
            return 0
        if isinstance(state, (int, np.integer)) and state >= 0:
            return int(state)
        return int(check_random_state(state).randint(2**31 - 1))

    # --- training ---

    def _train(
        self,
        X: Any,
        targets: Callable[[Table, str], None] | None,
        *,
        target: str = "y",
        sample_weight: NDArray[np.float64] | None = None,
        group: NDArray[np.float64] | None = None,
        several: int = 1,
        earlier: bytes | None = None,
        over: dict[str, Any] | None = None,
    ) -> None:
        """Fits the columns of `X`, which were read, and what `targets` adds under the name it is given; from the model whose file has the
        bytes `earlier` on, where there are some, and with the settings `over` in place of those of the parameters."""
        names = _data.names_of(self)
        table = self._table(X, names)
        taken = set(names)

        def free(name: str) -> str:
            while name in taken:
                name += "_"
            taken.add(name)
            return name

        goals: list[str] = []
        if targets is not None:
            # A model that is trained further keeps its names of several.
            numbered = self._model.outputs if earlier is not None and several > 1 else [f"{target}{i}" for i in range(several)]
            if earlier is not None and several == 1:
                # What it called its target, which this `y` need not be called.
                target = json.loads(self._model.metadata("target") or "null") or target
            goals = [free(name) for name in ([target] if several == 1 else numbered)]
            for goal in goals:
                targets(table, goal)
        weight = None
        if sample_weight is not None:
            weight = free("weight")
            table.numbers(weight, _data.aligned(sample_weight, np.float64))
        query = None
        if group is not None:
            query = free("query")
            table.numbers(query, group)
        mean = 1.0 if sample_weight is None else float(sample_weight.mean())
        settings = {key: text(value) for key, value in (self._settings(len(X), mean) | (over or {})).items()}
        callback = getattr(self, "callback", None)
        if getattr(self, "verbose", 0):
            callback = telling(type(self).__name__, callback)
        seed = self._seed(earlier is not None)
        # A model that fills in what is missing goes on to.
        missing = self._missing or earlier is not None and self._as_file
        parts = {"targets": goals, "weight": weight, "offset": None, "group": query, "held_out": None}
        try:
            model, stopped, losses, out_of_bag = fit(
                self._family, list(settings.items()), table, parts, missing, seed, threads(self.n_jobs), callback, earlier
            )
        except ValueError as error:
            raise self._in_own_words(error) from None
        if model is not None:
            if earlier is None:
                self.__dict__.pop("_as_file", None)
            self._keep(model)
            self._hear(losses, out_of_bag.reshape(-1, len(model.outputs)), earlier is not None)
        if stopped is not None:
            # What was trained is there for whoever catches this.
            raise stopped
        if model is None:
            raise RuntimeError("the callback ended training before the first round was done; there is no model")
        report = model.report
        kind = UserWarning if report["converged"] else ConvergenceWarning
        told = report["warnings"] or ([] if report["converged"] else [report["stopped"]])
        for warning in told:
            warnings.warn(f"{type(self).__name__}: {warning}", kind, stacklevel=outside())

    def _table(self, X: Any, names: list[str]) -> Table:
        """The columns of `X`, which was read."""
        return _data.table(X, names)

    def _keep(self, model: Model) -> None:
        """Takes a fitted model; subclasses add the attributes that users look at."""
        self._model = model
        self.n_iter_ = max(1, model.report["rounds"])

    def _hear(self, losses: list[tuple[float, float | None]], out_of_bag: NDArray[np.float64], further: bool) -> None:
        """Takes what no model keeps: the losses after each round, of the rows that were learned from and of those held out, and what
        a forest predicts for rows (rows x outputs) by the trees that did not see them; both are empty where nobody asked. `further` is
        true where the fit went on from an earlier one."""

    def _earlier(self) -> tuple[bytes, dict[str, Any]] | None:
        """The file of the model that `fit` goes on from, and settings that are then others; of those that have `warm_start`."""
        return None

    def _weights(self, sample_weight: Any, X: Any) -> NDArray[np.float64] | None:
        if sample_weight is None:
            return None
        plain = X if isinstance(X, np.ndarray) else np.empty((len(X), 1))
        weights = _check_sample_weight(sample_weight, plain, dtype=np.float64, ensure_non_negative=True)
        if not weights.any():
            raise ValueError("Sample weights must contain at least one non-zero number.")
        return weights

    # --- answers ---

    def _rows(self, X: Any) -> NDArray[Any] | Table:
        """`X` as the compiled part reads it: an array of the right shape as it is, else checked by scikit-learn."""
        check_is_fitted(self)
        if (
            type(X) is np.ndarray
            and X.ndim == 2
            and X.dtype in _READ
            and X.flags.c_contiguous
            and X.flags.aligned
            and len(X)
            and X.shape[1] == self.n_features_in_
            and "feature_names_in_" not in self.__dict__
        ):
            return X
        if type(X) is not np.ndarray and all(kind == "numeric" for _, kind in self._model.inputs):
            found = _data.few_numbers(X, list(getattr(self, "feature_names_in_", ())))
            if found is not None:
                return found
        X = _data.read(self, X, reset=False)
        return X if isinstance(X, np.ndarray) else _data.inputs(X, self._model)

    def _asked(self, X: Any) -> Asked:
        """What the compiled part is asked with."""
        return self._rows(X), self._missing or self._as_file, threads(self.n_jobs)

    if TYPE_CHECKING:

        def predict(self, X: Any) -> NDArray[Any]:
            """The answer for each row of `X`: a number, of several targets numbers, or a class."""
            raise NotImplementedError

    def _predict(self, X: Any) -> NDArray[np.float64]:
        return self._model.predict(self._asked(X))

    def shap_values(self, X: Any) -> NDArray[np.float64]:
        """What each input adds to each prediction: rows x inputs, or rows x inputs x outputs where there are several.

        Together with `expected_value_` they sum to the prediction; in boosted trees to the score it is made of.

        >>> from tilewise import DecisionTreeRegressor
        >>> tree = DecisionTreeRegressor().fit([[0.0], [1.0]], [2.0, 4.0])
        >>> tree.expected_value_, tree.shap_values([[1.0]]).tolist()
        (3.0, [[1.0]])
        """
        check_is_fitted(self)
        added = self._model.contributions(self._asked(X))
        added = added.reshape(len(added), 1 + self.n_features_in_, -1)[:, 1:]
        return added[:, :, 0] if added.shape[2] == 1 else added

    @property
    def expected_value_(self) -> float | NDArray[np.float64]:
        """What is predicted when nothing is known of a row: the base of `shap_values`."""
        check_is_fitted(self)
        table = Table()
        for name, kind in self._model.inputs:
            if kind == "categorical":
                table.categories(name, np.array([MISSING_CODE], dtype=np.uint32), [])
            else:
                table.numbers(name, np.array([np.nan]))
        try:
            told = self._model.contributions((table, True, 1))
        except ValueError as error:
            # Who asks what an estimator has, as notebooks do, hears that it has not this.
            raise AttributeError(str(error)) from error
        base = told.reshape(1 + self.n_features_in_, -1)[0]
        return float(base[0]) if len(base) == 1 else base

    def export_text(self, tree: int = 0, max_depth: int | None = None, max_lines: int = 10_000) -> str:
        """Tree number `tree`, from 0, as indented text, cut below `max_depth` questions and after `max_lines` lines."""
        from ._pictures import export_text

        return export_text(self, tree=tree, max_depth=max_depth, max_lines=max_lines)

    def describe(self) -> str:
        """What `tilewise inspect` tells of the model."""
        check_is_fitted(self)
        return self._model.describe()

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the model's file, which `tilewise.load`, the command line and the server read."""
        check_is_fitted(self)
        self._model.save(path)

    def __sklearn_is_fitted__(self) -> bool:
        return "_model" in self.__dict__

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._missing or self._as_file
        tags.input_tags.sparse = False
        return tags


def shown(value: Any) -> str:
    """A value as errors show it: numbers of NumPy as numbers."""
    return repr(value.item() if isinstance(value, np.generic) else value)


def text(value: Any) -> str:
    """A value as the compiled part reads it."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    return str(value)


def named(y: Any, otherwise: str) -> str:
    """The name of a series; so models are those of the command line on a file with this header."""
    name = getattr(y, "name", None)
    return name if isinstance(name, str) and name else otherwise


if TYPE_CHECKING:
    #: What stands beside an estimator in the bases of a class knows its methods.
    _Beside = TilewiseEstimator
else:
    _Beside = object


class Regressing(_Beside):
    """Fit and predict of regressors."""

    _several = False

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Learns from the rows of `X` and their targets `y`.

        Raises ValueError where they do not fit each other, a number is missing or infinite, or `y` is the same everywhere.
        """
        self._learn(X, y, sample_weight, *(self._earlier() or ()))
        return self

    def _learn(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        earlier: bytes | None = None,
        over: dict[str, Any] | None = None,
    ) -> None:
        """Fits, from an earlier model on where there is one (`_train`)."""
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y is None"
            )
        X = _data.read(self, X, reset=earlier is None)
        name = named(y, "y")
        goals: NDArray[Any] = _check_y(y, multi_output=self._several, y_numeric=True, estimator=self)
        if not self._several or goals.ndim == 2 and goals.shape[1] == 1:
            goals = column_or_1d(goals, warn=True)
        check_consistent_length(X, goals)
        if len(X) < 2 and earlier is None:
            raise ValueError("there is 1 sample (n_samples = 1); at least two are needed")
        columns = iter(_data.aligned(np.atleast_2d(goals.T), np.float64))
        weights = self._weights(sample_weight, X)
        several = 1 if goals.ndim == 1 else goals.shape[1]
        if earlier is not None and several != len(self._model.outputs):
            raise ValueError(f"y has {several} targets, and the model to go on with {len(self._model.outputs)}")
        self._train(
            X,
            lambda table, goal: table.numbers(goal, next(columns)),
            target=name,
            sample_weight=weights,
            several=several,
            earlier=earlier,
            over=over,
        )

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The predicted number of each row, or numbers where there are several targets."""
        check_is_fitted(self)
        answers = self._predict(X)
        return answers[:, 0] if answers.shape[1] == 1 else answers

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = True
        tags.target_tags.multi_output = self._several
        return tags


class Classifying(_Beside):
    """Fit and predict of classifiers."""

    class_weight: dict[Any, float] | str | None
    classes_: NDArray[Any]

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Learns from the rows of `X` and their classes `y`: numbers, text or booleans.

        Raises ValueError where they do not fit each other, a number is missing or infinite, or there is one class only.
        """
        self._learn(X, y, sample_weight, *(self._earlier() or ()))
        return self

    def _learn(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None,
        earlier: bytes | None = None,
        over: dict[str, Any] | None = None,
        told: NDArray[Any] | None = None,
    ) -> None:
        """Fits, from an earlier model on where there is one (`_train`); the classes are `told`, of which some need not occur, or else
        those that occur."""
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y is None"
            )
        X = _data.read(self, X, reset=earlier is None)
        name = named(y, "y")
        y = column_or_1d(y, warn=True)
        if y.dtype.kind == "f":
            assert_all_finite(y, input_name="y")
        # Whole numbers, booleans and texts are classes; it sorts all rows to see.
        if y.dtype.kind not in "iubU":
            check_classification_targets(y)
        check_consistent_length(X, y)
        classes, codes = _labels.classes_of(y)
        if told is not None:
            if len(unknown := np.setdiff1d(classes, told)):
                raise ValueError(
                    f"`y` has classes not in `self.classes_`. `self.classes_` has {told}. 'y' has {classes}: {unknown} are new."
                )
            # Those of a file are in its order, which is that of their texts.
            order = np.argsort(told)
            classes, codes = told, order[np.searchsorted(told, classes, sorter=order)][codes]
            y = told[codes]
        elif earlier is not None and not np.array_equal(self.classes_, classes) and _labels.texts_of(classes) != self._model.outputs:
            # Of a file text that looks like numbers has become numbers.
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously got "
                f"{self.classes_}, `y` has {classes}"
            )
        weights = self._weights(sample_weight, X)
        if isinstance(of_classes := getattr(self, "class_weight", None), dict):
            for which, weight in of_classes.items():
                if not isinstance(weight, (int, float, np.number)) or not 0 <= weight < np.inf:
                    raise ValueError(f"class_weight of {shown(which)} is {shown(weight)}; a finite number of 0 or more is accepted")
            of_rows = compute_sample_weight(self.class_weight, y)
            weights = of_rows if weights is None else weights * of_rows
        counted = np.arange(len(classes)) if weights is None else np.flatnonzero(np.bincount(codes[weights > 0]))
        if len(counted) < 2 and told is None:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes; the data contains only one class: "
                f"{shown(classes[counted[0]]) if len(counted) else None}"
            )
        if earlier is None:
            # A fit that ends early must not leave an older model beside these classes.
            self.__dict__.pop("_model", None)
            self.classes_ = classes
        texts = _labels.texts_of(classes)
        if told is not None:
            over = (over or {}) | {"classes": json.dumps(texts)}

        def add(table: Table, goal: str) -> None:
            """As the command line reads them, so that files are the same: whole numbers, booleans, text."""
            if y.dtype.kind == "b":
                table.booleans(goal, np.ascontiguousarray(y).view(np.int8))
            elif _labels.are_whole(classes):
                table.numbers(goal, y.astype(np.float64))
            else:
                table.categories(goal, codes.astype(np.uint32), texts)

        self._train(X, add, target=name, sample_weight=weights, earlier=earlier, over=over)

    def _settings(self, rows: int, weight: float) -> dict[str, Any]:
        settings = super()._settings(rows, weight)
        if isinstance(settings.get("class_weight"), dict):
            # Folded into the weights of rows.
            del settings["class_weight"]
        return settings

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class, in the order of `classes_`."""
        check_is_fitted(self)
        return self._predict(X)

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Logarithms of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """The most likely class of each row, of equals the first."""
        check_is_fitted(self)
        return self.classes_[self._model.likeliest(self._asked(X))]


class Scoring(_Beside):
    """The decision function of classifiers that sum scores."""

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """The scores that probabilities are made of: log odds of the second of two classes, else one for each class."""
        check_is_fitted(self)
        scores = self._model.scores(self._asked(X))
        return scores[:, 0] if scores.shape[1] == 1 else scores
