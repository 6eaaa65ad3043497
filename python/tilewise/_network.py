"""Neural networks of dense layers. Inputs are standardised inside, and a target of numbers too."""

from __future__ import annotations

import math
from typing import Any, Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin

from ._base import Classifying, Regressing, Setting, TilewiseEstimator, same
from ._boosting import Callback
from ._native import Model

_ACTIVATIONS = {"logistic": "sigmoid"}
_SCHEDULES = {"adaptive": "plateau"}
#: Rows of a step at most, where `batch_size` is "auto", as in scikit-learn.
_BATCH = 200


def _widths(sizes: int | Sequence[int]) -> str:
    """`hidden_layer_sizes` as `--set hidden` takes them."""
    widths = [sizes] if isinstance(sizes, (int, np.integer)) else list(sizes)
    if any(not isinstance(width, (int, np.integer)) or width <= 0 for width in widths):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {list(widths)}.")
    return ",".join(map(str, widths)) or "none"


def _renamed(names: dict[str, str]) -> Callable[[str], str]:
    return lambda value: names.get(value, value)


class _MLP(TilewiseEstimator):
    _parameters: dict[str, Setting] = {
        "hidden_layer_sizes": ("hidden", _widths),
        "activation": ("activation", _renamed(_ACTIVATIONS)),
        "learning_rate": ("schedule", _renamed(_SCHEDULES)),
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
        tol: float = 1e-4,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        dropout: float = 0.0,
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
        self.n_jobs = n_jobs
        self.callback = callback

    def _settings(self, rows: int) -> dict[str, Any]:
        settings = super()._settings(rows)
        settings["optimiser"] = "nesterov" if self.solver == "sgd" and self.nesterovs_momentum else self.solver
        if self.solver == "lbfgs":
            raise ValueError("solver='lbfgs' is not offered; 'adam', 'adamw', 'sgd', 'rmsprop', 'adagrad' and 'lamb' are")
        share = self.validation_fraction if self.early_stopping else 0.0
        if self.early_stopping and not 0.0 < share < 1.0:
            raise ValueError(f"validation_fraction must be above 0 and below 1, got {share}")
        settings["validation_fraction"] = share
        settings["dropout"] = self.dropout
        left = rows - max(1, math.floor(rows * share + 0.5)) if share else rows
        if isinstance(self.batch_size, str):
            if self.batch_size != "auto":
                raise ValueError(f"batch_size must be a number of rows or 'auto', got {self.batch_size!r}")
            settings["batch_size"] = min(_BATCH, left)
        else:
            settings["batch_size"] = min(self.batch_size, left)
        # scikit-learn divides the penalty by the rows of a step, here it is a decay of each step.
        settings["weight_decay"] = self.alpha / settings["batch_size"]
        return settings

    def _keep(self, model: Model) -> None:
        super()._keep(model)
        layers: dict[int, dict[str, NDArray[np.float32]]] = {}
        for name, numbers in model.weights():
            at, _, part = name.partition(".")
            layers.setdefault(int(at), {})[part] = numbers
        dense = [layer for _, layer in sorted(layers.items()) if layer["weight"].ndim == 2]
        #: Inputs x outputs of each layer, of inputs that are standardised and categories as zeros and ones.
        self.coefs_ = [layer["weight"].T for layer in dense]
        self.intercepts_ = [layer["bias"] for layer in dense]
        self.n_layers_ = len(dense) + 1
        self.n_outputs_ = len(self.intercepts_[-1])
        self.out_activation_ = "softmax" if model.task == "classification" else "identity"
        self.loss_ = model.report["objective"]

    def _hear(self, losses: list[tuple[float, float | None]]) -> None:
        self.loss_curve_ = [training for training, _ in losses]
        held_out = [loss for _, loss in losses if loss is not None]
        #: Losses where scikit-learn has scores.
        self.validation_losses_ = held_out or None
        self.best_loss_ = min(held_out or self.loss_curve_, default=np.nan)


class MLPClassifier(Classifying, ClassifierMixin, _MLP):
    """A network of dense layers for classes, with softmax cross-entropy.

    `callback(done, total, note)` hears of every epoch and ends training, keeping the weights, where it returns true.

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
