"""Neural networks of dense layers. Inputs are standardised inside, and a target of numbers too."""

from __future__ import annotations

import math
from typing import Any, Callable, Self, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import unique_labels

from ._base import Absent, Callback, Classifying, Regressing, Setting, TilewiseEstimator, same, shown
from ._native import Model

#: As they are called here, and by `tilewise train`.
_ACTIVATIONS = {"logistic": "sigmoid"} | {name: name for name in ("identity", "relu", "tanh", "leaky-relu", "gelu", "silu")}
_SCHEDULES = {"adaptive": "plateau", "invscaling": "inverse"} | {name: name for name in ("constant", "step", "cosine", "one-cycle")}
_INITIALISERS = {name: name for name in ("xavier-biases", "xavier", "kaiming", "auto")}
_SOLVERS = ("adam", "adamw", "sgd", "rmsprop", "adagrad", "lamb", "lbfgs")
#: Of these the penalty is a decay beside the gradient, and no part of the loss.
DECOUPLED = ("adamw", "lamb")
#: What `tilewise train --set optimiser=lbfgs` has no use for.
_OF_STEPS = (
    "beta1", "beta2", "epsilon", "learning_rate", "momentum", "batch_size", "shuffle", "schedule", "power", "patience",
)  # fmt: skip
#: Rows of a step at most, where `batch_size` is "auto", as in scikit-learn.
_BATCH = 200
#: Rows up to which `precision="auto"` is double: fits of so few take no time worth saving.
_FEW = 1000


def _widths(sizes: int | Sequence[int]) -> str:
    """`hidden_layer_sizes` as `--set hidden` takes them."""
    widths = list(sizes) if np.iterable(sizes) else [sizes]
    if any(isinstance(width, bool) or not isinstance(width, (int, np.integer)) or width <= 0 for width in widths):
        raise ValueError(f"hidden_layer_sizes must be whole numbers > 0, got {sizes!r}.")
    return ",".join(map(str, widths)) or "none"


def _renamed(name: str, names: dict[str, str]) -> Callable[[Any], str]:
    def renamed(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, names))}, got {value!r}")
        return names[value]

    return renamed


def _coefficients(layer: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """Inputs x outputs; weights of 8 bits have a scale for each output."""
    weight = layer["weight"]
    return (weight * layer["weight_scale"][:, None]).T if "weight_scale" in layer else weight.T


class _MLP(TilewiseEstimator):
    validation_scores_ = Absent("the loss of the rows held out decides: validation_losses_")
    best_validation_score_ = Absent("the loss of the rows held out decides: best_validation_loss_")
    _parameters: dict[str, Setting] = {
        "hidden_layer_sizes": ("hidden", _widths),
        "activation": ("activation", _renamed("activation", _ACTIVATIONS)),
        "solver": ("optimiser", _renamed("solver", {name: name for name in _SOLVERS})),
        "learning_rate": ("schedule", _renamed("learning_rate", _SCHEDULES)),
        "learning_rate_init": ("learning_rate", same),
        "power_t": ("power", same),
        "shuffle": ("shuffle", same),
        "beta_1": ("beta1", same),
        "beta_2": ("beta2", same),
        "max_fun": ("max_evaluations", same),
        "initialiser": ("initialiser", _renamed("initialiser", _INITIALISERS)),
        "precision": ("precision", _renamed("precision", {name: name for name in ("auto", "single", "double")})),
        "max_iter": ("epochs", same),
        "tol": ("tolerance", same),
        "momentum": ("momentum", same),
        # scikit-learn ends after more epochs than these.
        "n_iter_no_change": ("patience", lambda epochs: epochs + 1),
    }

    _made_of = {"weight_decay": "alpha", "huber": "loss"}
    # One less than what the setting has to be.
    _accepted = {"n_iter_no_change": "a whole number of 0 or more is", "loss": "squared_error, or huber:D with D above 0, is"}

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float | None = 1e-4,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15_000,
        dropout: float = 0.0,
        initialiser: str = "xavier-biases",
        precision: str = "auto",
        warm_start: bool = False,
        verbose: int = 0,
        n_jobs: int | None = None,
        callback: Callback | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.initialiser = initialiser
        self.precision = precision
        self.warm_start = warm_start
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.callback = callback

    def _settings(self, rows: int, weight: float) -> dict[str, Any]:
        settings = super()._settings(rows, weight)
        if self.solver == "sgd" and self.nesterovs_momentum:
            settings["optimiser"] = "nesterov"
        settings["epsilon"] = self.epsilon
        at_once = self.solver == "lbfgs"
        share = self.validation_fraction if self.early_stopping and not at_once else 0.0
        if self.early_stopping and not at_once and not 0.0 < share < 1.0:
            raise ValueError(f"validation_fraction must be above 0 and below 1, got {share}")
        settings["validation_fraction"] = share
        settings["dropout"] = self.dropout
        if self.precision == "auto":
            settings["precision"] = "double" if rows <= _FEW else "single"
        left = rows - max(1, math.floor(rows * share + 0.5)) if share else rows
        batch = rows if at_once else _BATCH if self.batch_size == "auto" else self.batch_size
        if isinstance(batch, bool) or not isinstance(batch, (int, np.integer)) or batch < 1:
            raise ValueError(f"batch_size must be a number of rows above 0 or 'auto', got {self.batch_size!r}")
        if left < 1:
            raise ValueError(f"validation_fraction={share} leaves none of {rows} rows to learn from")
        if not self.alpha >= 0.0:
            raise ValueError(f"alpha must be a number of 0 or more, got {self.alpha!r}")
        settings["batch_size"] = batch = min(batch, left)
        self._learned_from = 0 if at_once else left
        # scikit-learn divides the penalty by the weight of the rows of a step, here it is a decay of each step: where steps take some
        # rows each, by that of as many average ones.
        settings["weight_decay"] = self.alpha if self.solver in DECOUPLED else self.alpha / (batch * weight)
        settings["decay_biases"] = False
        # As in scikit-learn a parameter that the solver has no use for is none.
        for name in _OF_STEPS if at_once else ("max_evaluations",):
            settings.pop(name, None)
        return settings

    def _kept(self) -> dict[str, Any]:
        """Settings of a fit that goes on: it stays in its precision."""
        if self.precision != "auto":
            return {}
        return {"precision": "double" if self.coefs_[0].dtype == np.float64 else "single"}

    def _earlier(self) -> tuple[bytes, dict[str, Any]] | None:
        if not self.warm_start or "_model" not in self.__dict__:
            return None
        # Without what the optimiser kept, which begins anew, as in scikit-learn.
        return self._model.to_bytes(), self._kept()

    def _once(self) -> tuple[bytes | None, dict[str, Any]]:
        """What `partial_fit` goes on from, and its settings: one epoch more."""
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        if self.learning_rate not in ("constant", "adaptive", "invscaling"):
            raise ValueError(
                f"learning_rate={self.learning_rate!r} depends on how many epochs there are to be, which partial_fit does not know; "
                "'constant', 'adaptive' or 'invscaling' is accepted"
            )
        once = {"epochs": 1, "tolerance": "none"}
        if "_model" not in self.__dict__:
            return None, once
        if (kept := self._model.checkpoint()) is None:
            return self._model.to_bytes(), once | self._kept()
        return kept, once | self._kept() | {"epochs": self._model.report["rounds"] + 1}

    def _takes_steps(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
        return True

    def _keep(self, model: Model) -> None:
        super()._keep(model)
        layers: dict[int, dict[str, NDArray[Any]]] = {}
        for name, numbers in model.weights():
            at, _, part = name.partition(".")
            layers.setdefault(int(at), {})[part] = numbers
        # A table of embeddings has no bias, norms and convolutions have other shapes.
        dense = [layer for _, layer in sorted(layers.items()) if "bias" in layer and layer["weight"].ndim == 2]
        #: Inputs x outputs of each dense layer, of inputs that are standardised and categories as zeros and ones.
        self.coefs_ = [_coefficients(layer) for layer in dense]
        self.intercepts_ = [layer["bias"] for layer in dense]
        self.n_layers_ = len(dense) + 1
        self.n_outputs_ = len(self.intercepts_[-1])
        self.out_activation_ = "softmax" if model.task == "classification" else "identity"

    def _hear(self, losses: list[tuple[float, float | None]], out_of_bag: NDArray[np.float64], further: bool) -> None:
        # As in scikit-learn the epochs of the last fit are counted, and the losses and rows of all that it went on from.
        self.n_iter_ = max(1, len(losses))
        before, seen = (getattr(self, "loss_curve_", []), getattr(self, "t_", 0)) if further else ([], 0)
        self.loss_curve_ = before + [training for training, _ in losses]
        # Of lbfgs with the penalty, and without a round that of first weights, which it may find good enough.
        self.loss_ = self._model.report["objective"] if self.solver == "lbfgs" or not losses else losses[-1][0]
        #: Rows that steps were made of; 0 of lbfgs, as in scikit-learn.
        self.t_ = seen + len(losses) * self._learned_from
        held_out = [loss for _, loss in losses if loss is not None]
        if held_out and further:
            held_out = (getattr(self, "validation_losses_", None) or []) + held_out
        #: Losses where scikit-learn has scores.
        self.validation_losses_ = held_out or None
        self.best_validation_loss_ = min(held_out) if held_out else None
        #: Of the rows that are learned from; nothing with early stopping, as in scikit-learn.
        self.best_loss_ = None if held_out else min(self.loss_curve_, default=self.loss_)


class MLPClassifier(Classifying, ClassifierMixin, _MLP):
    """A network of dense layers for classes, with softmax cross-entropy.

    With `warm_start` a fit begins with the weights of the last one; `partial_fit` also keeps what the optimiser does, which pickles hold
    and `save` does not. Both keep the standardisation of the first rows.

    `callback(done, total, note)` hears of every epoch and ends training, keeping the weights, where it returns true; `verbose` prints
    some lines of it. A callback must not write to the arrays of the fit, which are read where they lie.

    >>> import numpy as np
    >>> from tilewise import MLPClassifier
    >>> X = np.linspace(-1.0, 1.0, 64).reshape(-1, 1)
    >>> model = MLPClassifier((8,), max_iter=400, learning_rate_init=0.05, random_state=0).fit(X, np.abs(X[:, 0]) > 0.5)
    >>> model.predict([[-0.9], [0.0], [0.9]])
    array([ True, False,  True])
    """

    _family = "network"
    _fixed = {"task": "classification"}

    @available_if(_MLP._takes_steps)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None, classes: ArrayLike | None = None) -> Self:
        """Learns from these rows by one epoch of steps, going on with the optimiser of the last call or fit.

        `classes` are all that any call will bring; the first one needs them, and rows of two of them need not be there. What standardises
        inputs is that of the first rows, and so are the categories of tables. `learning_rate="invscaling"` counts rows as if each call before
        had brought as many.

        Raises ValueError where a class is new, `classes` are others than at first, or columns are.
        """
        earlier, over = self._once()
        if classes is not None:
            told = unique_labels(classes)
            if earlier is not None:
                if not np.array_equal(told, np.sort(self.classes_)):
                    raise ValueError(
                        f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {self.classes_!r}"
                    )
                told = self.classes_
        elif earlier is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        else:
            told = self.classes_
        if len(told) < 2:
            raise ValueError(f"{type(self).__name__} needs at least 2 classes; classes has one: {shown(told[0])}")
        self._learn(X, y, sample_weight, earlier, over, told)
        return self


class MLPRegressor(Regressing, RegressorMixin, _MLP):
    """A network of dense layers for one number or several, standardised targets each.

    The loss is half the mean over rows and targets of squared errors, or of Huber's with `loss="huber:1.5"`, which is linear beyond so
    many deviations. Of several targets (y of n x k) `predict` gives n x k numbers.

    `warm_start` and `partial_fit` are as those of MLPClassifier; the standardisation of targets is kept too.

    >>> import numpy as np
    >>> from tilewise import MLPRegressor
    >>> X = np.linspace(-1.0, 1.0, 64).reshape(-1, 1)
    >>> model = MLPRegressor(hidden_layer_sizes=(16,), max_iter=400, learning_rate_init=0.02, random_state=0).fit(X, X[:, 0] ** 2)
    >>> bool(abs(model.predict([[0.5]])[0] - 0.25) < 0.05)
    True
    """

    _several = True
    _family = "network"
    _fixed = {"task": "regression"}

    @available_if(_MLP._takes_steps)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Learns from these rows by one epoch of steps, going on with the optimiser of the last call or fit.

        What standardises inputs and targets is that of the first rows, and so are the categories of tables.

        Raises ValueError where columns are others than at first, and in the first call where `y` is the same everywhere.
        """
        self._learn(X, y, sample_weight, *self._once())
        return self

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float | None = 1e-4,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15_000,
        dropout: float = 0.0,
        initialiser: str = "xavier-biases",
        precision: str = "auto",
        warm_start: bool = False,
        verbose: int = 0,
        n_jobs: int | None = None,
        callback: Callback | None = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
            dropout=dropout,
            initialiser=initialiser,
            precision=precision,
            warm_start=warm_start,
            verbose=verbose,
            n_jobs=n_jobs,
            callback=callback,
        )
        self.loss = loss

    def _settings(self, rows: int, weight: float) -> dict[str, Any]:
        settings = super()._settings(rows, weight)
        name, _, delta = self.loss.partition(":") if isinstance(self.loss, str) else ("", "", "")
        if name == "huber" and delta and delta != "inf":
            settings["huber"] = delta
        elif self.loss == "squared_error":
            settings["halved"] = True
        else:
            raise ValueError(
                f"loss must be 'squared_error' or 'huber:D', D deviations, got {self.loss!r}; hidden_layer_sizes is the second "
                "argument, as in scikit-learn"
            )
        return settings
