"""Neural networks of dense layers. Inputs are standardised inside, and a target of numbers too."""

from __future__ import annotations

import math
from typing import Any, Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin

from ._base import Callback, Classifying, Regressing, Setting, TilewiseEstimator, same
from ._native import Model

#: As they are called here, and by `tilewise train`.
_ACTIVATIONS = {"logistic": "sigmoid"} | {name: name for name in ("relu", "tanh", "leaky-relu", "gelu", "silu")}
_SCHEDULES = {"adaptive": "plateau"} | {name: name for name in ("constant", "step", "cosine", "one-cycle")}
_SOLVERS = ("adam", "adamw", "sgd", "rmsprop", "adagrad", "lamb")
#: Of these the penalty is a decay beside the gradient, and no part of the loss.
DECOUPLED = ("adamw", "lamb")
#: Rows of a step at most, where `batch_size` is "auto", as in scikit-learn.
_BATCH = 200


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


class _MLP(TilewiseEstimator):
    _parameters: dict[str, Setting] = {
        "hidden_layer_sizes": ("hidden", _widths),
        "activation": ("activation", _renamed("activation", _ACTIVATIONS)),
        "solver": ("optimiser", _renamed("solver", {name: name for name in _SOLVERS})),
        "learning_rate": ("schedule", _renamed("learning_rate", _SCHEDULES)),
        "learning_rate_init": ("learning_rate", same),
        "max_iter": ("epochs", same),
        "tol": ("tolerance", same),
        "momentum": ("momentum", same),
        "n_iter_no_change": ("patience", same),
    }

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
        max_iter: int = 200,
        random_state: Any = None,
        tol: float | None = 1e-4,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        dropout: float = 0.0,
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
        self.max_iter = max_iter
        self.random_state = random_state
        self.tol = tol
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.dropout = dropout
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.callback = callback

    def _settings(self, rows: int, weight: float) -> dict[str, Any]:
        settings = super()._settings(rows, weight)
        if self.solver == "sgd" and self.nesterovs_momentum:
            settings["optimiser"] = "nesterov"
        share = self.validation_fraction if self.early_stopping else 0.0
        if self.early_stopping and not 0.0 < share < 1.0:
            raise ValueError(f"validation_fraction must be above 0 and below 1, got {share}")
        settings["validation_fraction"] = share
        settings["dropout"] = self.dropout
        left = rows - max(1, math.floor(rows * share + 0.5)) if share else rows
        batch = _BATCH if self.batch_size == "auto" else self.batch_size
        if isinstance(batch, bool) or not isinstance(batch, (int, np.integer)) or batch < 1:
            raise ValueError(f"batch_size must be a number of rows above 0 or 'auto', got {self.batch_size!r}")
        if left < 1:
            raise ValueError(f"validation_fraction={share} leaves none of {rows} rows to learn from")
        if not self.alpha >= 0.0:
            raise ValueError(f"alpha must be a number of 0 or more, got {self.alpha!r}")
        settings["batch_size"] = batch = min(batch, left)
        # scikit-learn divides the penalty by the weight of the rows of a step, here it is a decay of each step: where steps take some
        # rows each, by that of as many average ones.
        settings["weight_decay"] = self.alpha if self.solver in DECOUPLED else self.alpha / (batch * weight)
        return settings

    def _keep(self, model: Model) -> None:
        super()._keep(model)
        layers: dict[int, dict[str, NDArray[np.float32]]] = {}
        for name, numbers in model.weights():
            at, _, part = name.partition(".")
            layers.setdefault(int(at), {})[part] = numbers
        # A table of embeddings has no bias, norms and convolutions have other shapes.
        dense = [layer for _, layer in sorted(layers.items()) if "bias" in layer and layer["weight"].ndim == 2]
        #: Inputs x outputs of each dense layer, of inputs that are standardised and categories as zeros and ones.
        self.coefs_ = [layer["weight"].T for layer in dense]
        self.intercepts_ = [layer["bias"] for layer in dense]
        self.n_layers_ = len(dense) + 1
        self.n_outputs_ = len(self.intercepts_[-1])
        self.out_activation_ = "softmax" if model.task == "classification" else "identity"

    def _hear(self, losses: list[tuple[float, float | None]], out_of_bag: NDArray[np.float64]) -> None:
        self.loss_curve_ = [training for training, _ in losses]
        self.loss_ = self.loss_curve_[-1]
        held_out = [loss for _, loss in losses if loss is not None]
        #: Losses where scikit-learn has scores.
        self.validation_losses_ = held_out or None
        #: Of rows held out, where some are.
        self.best_loss_ = min(held_out or self.loss_curve_)


class MLPClassifier(Classifying, ClassifierMixin, _MLP):
    """A network of dense layers for classes, with softmax cross-entropy.

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


class MLPRegressor(Regressing, RegressorMixin, _MLP):
    """A network of dense layers for numbers, with half the squared error of the standardised target.

    >>> import numpy as np
    >>> from tilewise import MLPRegressor
    >>> X = np.linspace(-1.0, 1.0, 64).reshape(-1, 1)
    >>> model = MLPRegressor((16,), max_iter=400, learning_rate_init=0.02, random_state=0).fit(X, X[:, 0] ** 2)
    >>> bool(abs(model.predict([[0.5]])[0] - 0.25) < 0.05)
    True
    """

    _family = "network"
    _fixed = {"task": "regression"}
