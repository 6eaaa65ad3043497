"""Estimators of model files: fitted, and with the parameters that would fit so, as far as the file says them."""

from __future__ import annotations

import json
import math
import warnings
from os import PathLike
from typing import Any, Callable

import numpy as np

from . import _data
from ._base import TilewiseEstimator
from ._boosting import GBDTRanker, HistGradientBoostingClassifier, HistGradientBoostingRegressor
from ._forests import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from ._imported import ImportedClassifier, ImportedRegressor
from ._isolation import IsolationForest
from ._linear import (
    ElasticNet,
    GammaRegressor,
    HuberRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    TweedieRegressor,
)
from ._native import Model
from ._network import DECOUPLED, MLPClassifier, MLPRegressor
from ._trees import _CRITERIA, DecisionTreeClassifier, DecisionTreeRegressor

_LOSSES = {"squared": "squared_error", "absolute": "absolute_error"}
_NAMES = {ours: theirs for theirs, ours in _CRITERIA.items() if ours != "entropy"}

#: What the fits of all estimators have and no parameter of theirs says, by the file's names.
_FIXED_TREE = {"columns_by_level": 1.0, "columns_by_tree": 1.0, "growth": "leaf_wise", "interactions": [], "unseen": "missing"}
_FIXED_BOOSTING = {"subsample": 1.0, "goss": None, "dart": None, "path_smoothing": 0.0}
_FIXED_NETWORK = {"balanced": False, "body": None, "embedding": None, "label_smoothing": 0.0}
_FIXED_TRAINING = {"accumulate": 1, "clip": None, "warm_up": 0.0}
_OPTIMISERS = {"adam_w": "adamw", "rms_prop": "rmsprop"}
_FIXED_PENALTY = {"l1": 0.0, "category_smoothing": 10.0, "min_hessian": 0.001}


#: Estimators by the family of the file, and whether it classifies.
_BY_FAMILY: dict[str, tuple[type[Any], type[Any]]] = {
    "linear": (LinearRegression, LinearRegression),
    "ridge": (Ridge, Ridge),
    "lasso": (Lasso, Lasso),
    "elastic-net": (ElasticNet, ElasticNet),
    "poisson": (PoissonRegressor, PoissonRegressor),
    "gamma": (GammaRegressor, GammaRegressor),
    "tweedie": (TweedieRegressor, TweedieRegressor),
    "huber": (HuberRegressor, HuberRegressor),
    "quantile": (QuantileRegressor, QuantileRegressor),
    "logistic": (LogisticRegression, LogisticRegression),
    "tree": (DecisionTreeRegressor, DecisionTreeClassifier),
    "forest": (RandomForestRegressor, RandomForestClassifier),
    "extra-trees": (ExtraTreesRegressor, ExtraTreesClassifier),
    "gbdt": (HistGradientBoostingRegressor, HistGradientBoostingClassifier),
    "network": (MLPRegressor, MLPClassifier),
    "group-lasso": (ImportedRegressor, ImportedClassifier),
    "isolation-forest": (IsolationForest, IsolationForest),
    "lightgbm": (ImportedRegressor, ImportedClassifier),
    "xgboost": (ImportedRegressor, ImportedClassifier),
    "catboost": (ImportedRegressor, ImportedClassifier),
}


def load(path: str | PathLike[str], mmap_mode: str | None = None) -> TilewiseEstimator:
    """The fitted estimator of a model file, whoever trained it: this package, the command line, a program in Rust; or of one that
    LightGBM (text), XGBoost (JSON, UBJSON) or CatBoost (JSON) saved, which predicts and explains but cannot be fitted, or of a network
    in a file of ONNX, which predicts.

    It answers as `tilewise predict` does with this file: what is missing is filled in where the model has what to put there, as networks and
    linear models of the command line have, also where fits of the estimator refuse it; a fit of it anew refuses it.

    Classes are numbers where all of them read so (0.0 and 1.0 come back as 0 and 1), booleans where they are true and false, else text. The parameters of the
    estimator are those that the file tells and the estimator has, so that a clone of it fits the same again; what the fit had besides
    and no parameter says (subsample of boosted trees, say) is warned of. Threads, callbacks and
    weights of classes by name are in no file, nor is the random state of a single tree or an isolation forest; `alpha` of a network that
    was fitted with weights of rows is what it was divided by their mean.

    With `mmap_mode="r"` the file is mapped, as joblib and NumPy have it: the trees of an ensemble are read where they lie, in pages that all
    processes share that map the file, and are put into memory when somebody asks for more than predictions (`describe`, `shap_values`,
    pictures, a further fit). Nobody may write to such a file (`chmod a-w`), which belongs to this user or root. It is replaced as `save` and `mv`
    do it, which leave the old one to whoever has mapped it, never written to in place: nothing keeps root from that, and a process that has
    mapped it would read what nobody checked, or end. Many rows at once take longer than of a model that is read, whose trees have
    tables made for them. Linear models, networks, forests of quantiles and isolation
    forests are read as without it; files of other libraries are refused.

    >>> import tempfile, pathlib, tilewise
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "m.safetensors")
    ...     tilewise.Ridge(alpha=0.5).fit([[0.0], [1.0]], [0.0, 3.0]).save(path)
    ...     tilewise.load(path)
    Ridge(alpha=0.5)
    """
    if mmap_mode not in (None, "r"):
        raise ValueError(f"mmap_mode is {mmap_mode!r}; None or 'r' is accepted")
    model = Model.load(path, mmap_mode == "r")
    if model.kind not in _BY_FAMILY:
        raise ValueError(f"{path}: no estimator is there for a model of kind {model.kind!r}")
    classifies = model.task == "classification"
    kinds = _BY_FAMILY[model.kind]
    # A network that was read from ONNX, which tells nothing of its training.
    if is_whole := model.kind == "network" and model.metadata("whole") == "true":
        kinds = (ImportedRegressor, ImportedClassifier)
    kind = GBDTRanker if model.task == "ranking" else kinds[classifies]
    estimator: TilewiseEstimator = kind()
    known = estimator.get_params()
    told = {} if is_whole else parameters(model, classifies)
    estimator.set_params(**{name: value for name, value in told.items() if name in known})
    names = [name for name, _ in model.inputs]
    estimator.n_features_in_ = len(names)
    # What they call columns that had no names.
    prefix = {"lightgbm": "Column_", "xgboost": "f", "catboost": ""}.get(model.kind, "x")
    if names != [f"{prefix}{i}" for i in range(len(names))]:
        estimator.feature_names_in_ = np.array(names, dtype=object)
    if classifies:
        estimator.classes_ = _classes(model.outputs)
    estimator._keep(model)
    # Networks that another library trained have no answer for what is missing.
    estimator._as_file = not is_whole
    if "categorical_features" in told:
        estimator._coded = np.array(_coded(model))
    return estimator


def _classes(names: list[str]) -> np.ndarray:
    if names == ["false", "true"]:
        return np.array([False, True])
    for kind in (int, float):
        try:
            values = [kind(name) for name in names]
        except ValueError:
            continue
        # "01" is text.
        if [str(value) for value in values] == names:
            return np.array(values)
    return np.array(names)


def parameters(model: Model, classifies: bool) -> dict[str, Any]:
    """Those that the file tells, by scikit-learn's names. What no estimator has a name for, such as `subsample`, is left out, with a
    warning where it is not as estimators have it, and so is what files do not hold: threads, and the random state of single trees and
    isolation forests."""
    stored = model.metadata("params")
    if stored is None:
        return {}
    params = json.loads(stored)
    if lost := _inexpressible(model, params):
        what = ", ".join(f"{name}={value}" for name, value in lost.items())
        warnings.warn(
            f"the model was fitted with {what}, which {'is no parameter' if len(lost) == 1 else 'are no parameters'} of the "
            f"estimator: it predicts as the file does, but a clone of it fits otherwise",
            UserWarning,
            stacklevel=3,
        )
    if model.kind == "isolation-forest":
        share = params["contamination"]
        return {
            "n_estimators": params["trees"],
            "max_samples": params["subsample"],
            "contamination": "auto" if share is None else share,
        }
    if "estimator" in params:
        found = _linear(model.kind, params)
        if model.kind == "huber":
            weight = json.loads(model.metadata("residuals") or "{}").get("weight", 1.0)
            # A power of ten comes back as it was.
            found["alpha"] = _shortest(params["alpha"] * weight, lambda number: number / weight == params["alpha"])
        return found
    if model.kind == "network":
        return _network(params, classifies) | {"random_state": json.loads(model.metadata("seed") or "null")}
    found = _tree(params.get("tree", params), classifies)
    for key, name in (("seed", "random_state"), ("max_bins", "max_bins")):
        if (text := model.metadata(key)) is not None:
            found[name] = json.loads(text)
    if model.kind in ("forest", "extra-trees"):
        drawn, samples = params["max_features"], params.get("max_samples", "all")
        usual = "sqrt" if classifies else "third"
        found |= {
            "n_estimators": params["trees"],
            "bootstrap": params["bootstrap"],
            "max_samples": None if samples == "all" else next(iter(samples.values())),
            "oob_score": params.get("out_of_bag", False),
            "max_features": usual if drawn is None else _features(drawn),
        }
    elif model.kind == "gbdt":
        found |= _boosting(params, classifies)
        if numbers := [name for (name, _), coded in zip(model.inputs, _coded(model)) if coded]:
            found["categorical_features"] = numbers
        if groups := params["tree"].get("interactions"):
            # What a file has in no group is alone; what a parameter has in none is together.
            used = {place for group in groups for place in group}
            found["interaction_cst"] = groups + [[place] for place in range(len(model.inputs)) if place not in used]
    return found


def _coded(model: Model) -> list[bool]:
    """Of which inputs the categories are what numbers are called."""
    kinds = (kind for _, kind in model.inputs)
    return [kind == "categorical" and _data.are_numbers(model.categories(at)) for at, kind in enumerate(kinds)]


def _inexpressible(model: Model, params: dict[str, Any]) -> dict[str, Any]:
    """What no estimator of this family could have been told, by the file's names."""

    def other(found: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
        return {name: found[name] for name, value in usual.items() if found.get(name, value) != value}

    if "estimator" in params:
        lost = other(params, {} if model.kind == "logistic" else {"l1": 0.0, "solver": "auto"})
        lost |= {name: params[name] for name in ("lower", "upper") if params.get(name) not in (None, 0.0 if name == "lower" else None)}
        if params.get("columns"):
            lost["columns"] = params["columns"]
        if params["estimator"] in (solvers := {"gradient_descent": "gradient-descent", "stochastic": "sgd"}):
            lost["solver"] = solvers[params["estimator"]]
        if params["estimator"] == "stochastic" and params["alpha"] and model.kind not in ("lasso", "elastic-net"):
            lost["alpha"] = params["alpha"]
        if model.kind in ("poisson", "gamma", "tweedie", "huber"):
            lost |= other(params, {"l1_ratio": 0.0, "joint_scale": True})
        encoder = json.loads(model.metadata("encoder") or "{}")
        # It changes what a penalty means; without one the solution is the same.
        if any(params.get(name) for name in ("alpha", "l1", "l2")) and (encoder.get("standardise") or params.get("standardise")):
            lost["standardise"] = True
        return lost
    if model.kind == "network":
        lost = other(params, _FIXED_NETWORK) | other(params["training"], _FIXED_TRAINING)
        training = params.get("full_batch") or params["training"]
        if training["weight_decay"] and training.get("decay_biases", True):
            lost["decay_biases"] = True
        if model.task != "classification" and params["huber"] is None and not params.get("halved", False):
            lost["halved"] = False
        # Of 8 bits, which a fit does not make.
        return lost | ({"precision": "int8"} if json.loads(model.metadata("precision") or "null") == "int8" else {})
    lost = other(params.get("tree", params), _FIXED_TREE) | other(params, {"quantiles": []})
    if model.kind == "gbdt":
        lost.pop("interactions", None)
        lost |= other(params, _FIXED_BOOSTING) | other(params["penalty"], _FIXED_PENALTY)
    return lost


def _network(params: dict[str, Any], classifies: bool) -> dict[str, Any]:
    training = params["training"]
    optimiser, function = training["optimiser"], params["function"]
    # A text alone where it has no numbers.
    function = function if isinstance(function, str) else next(iter(function))
    solver = optimiser["optimiser"]
    name = _OPTIMISERS.get(solver, solver)
    at_once = params.get("full_batch")
    decay, batch = training["weight_decay"], training["batch"]
    schedule = "adaptive" if training["plateau"] else training["schedule"]["schedule"]
    found: dict[str, Any] = {}
    if not classifies:
        found["loss"] = "squared_error" if params["huber"] is None else f"huber:{_short(params['huber'])}"
    if at_once:
        name, solver = "lbfgs", "lbfgs"
        decay = at_once["weight_decay"]
        found |= {"max_fun": at_once["evaluations"], "tol": at_once["tolerance"], "max_iter": at_once["steps"]}
    elif "beta1" in optimiser:
        found |= {"beta_1": optimiser["beta1"], "beta_2": optimiser["beta2"], "epsilon": optimiser["epsilon"]}
    if not at_once:
        # What lbfgs has no use for stays as estimators have it.
        found |= {
            "shuffle": training.get("shuffle", True),
            "power_t": training["schedule"].get("power", 0.5),
            "batch_size": batch,
            "learning_rate": "invscaling" if schedule == "inverse" else schedule.replace("_", "-"),
            "learning_rate_init": training["learning_rate"],
            "momentum": optimiser.get("momentum", 0.9) if solver == "sgd" else 0.9,
            "nesterovs_momentum": optimiser.get("nesterov", True),
            "n_iter_no_change": training["patience"] - 1,
        }
    return {
        "tol": training["tolerance"],
        "precision": params.get("precision", "single"),
        "hidden_layer_sizes": tuple(params["hidden"]),
        "activation": "logistic" if function == "sigmoid" else function.replace("_", "-"),
        "solver": name,
        "alpha": decay if name in DECOUPLED else _shortest(decay * batch, lambda number: number / batch == decay),
        "max_iter": training["epochs"],
        "early_stopping": params["validation"] > 0.0,
        "validation_fraction": params["validation"] or 0.1,
        "dropout": params["dropout"],
        "initialiser": params["initialiser"].replace("_", "-"),
    } | found


def _short(number: float) -> str:
    """As somebody would have written it."""
    return str(int(number)) if number == int(number) else repr(number)


def _linear(kind: str, params: dict[str, Any]) -> dict[str, Any]:
    if params["estimator"] == "stochastic":
        # Its passes and tolerance are not those of the solver that a fit has, and its penalty is beside a mean.
        shared = ("alpha", "l1_ratio") if kind == "elastic-net" else ("alpha",) if kind == "lasso" else ()
        return {"fit_intercept": params["intercept"]} | {name: params[name] for name in shared}
    names = {
        "intercept": "fit_intercept", "max_rounds": "max_iter", "tolerance": "tol", "l1_ratio": "l1_ratio", "alpha": "alpha",
        "positive": "positive", "quantile": "quantile",
    }  # fmt: skip
    found = {name: params[key] for key, name in names.items() if key in params}
    if kind in ("linear", "ridge"):
        found["positive"] = params.get("lower") == 0.0
    if kind == "ridge":
        found["alpha"] = params["l2"]
    elif kind == "logistic":
        # Descent, which estimators do not offer, has |w|^2 alone.
        found |= _shared(params.get("l1", 0.0), params["l2"])
        found["solver"] = params.get("solver", "auto")
        found["class_weight"] = "balanced" if params.get("class_weights") == "balanced" else None
    elif kind == "huber":
        found["epsilon"] = params["threshold"]
    elif kind == "tweedie":
        distribution = params["distribution"]
        if isinstance(distribution, str):
            found["power"] = {"poisson": 1.0, "gamma": 2.0}[distribution]
        elif "tweedie" in distribution:
            found["power"] = distribution["tweedie"]
        else:
            found |= {"power": 0.0, "link": "auto" if distribution["normal"] == "identity" else "log"}
    return found


def _shared(l1: float, l2: float) -> dict[str, float]:
    """C and l1_ratio of the penalties l1_ratio / C and (1 - l1_ratio) / C."""
    if l1 + l2 == 0.0:
        return {"C": math.inf, "l1_ratio": 0.0}
    ratio = _shortest(l1 / (l1 + l2), lambda number: math.isclose(number, l1 / (l1 + l2), rel_tol=1e-15))

    def fits(number: float) -> bool:
        penalty = 1.0 / number
        return penalty * ratio == l1 and penalty * (1.0 - ratio) == l2

    return {"C": _shortest(1.0 / (l1 + l2), fits), "l1_ratio": ratio}


def _shortest(about: float, fits: Callable[[float], bool]) -> float:
    """Of the numbers about this one that fit the one of fewest digits, as somebody would have written it."""
    numbers = (float(f"{about:.{digits}g}") for digits in range(1, 17))
    return next((number for number in numbers if fits(number)), about)


def _tree(tree: dict[str, Any], classifies: bool) -> dict[str, Any]:
    usual = "gini" if classifies else "squared_error"
    criterion = tree["criterion"]
    return {
        "criterion": usual if criterion == "auto" else _NAMES.get(criterion, criterion),
        "splitter": tree["splitter"],
        "max_depth": tree["max_depth"],
        "min_samples_split": tree["min_samples_split"],
        "min_samples_leaf": tree["min_samples_leaf"],
        "min_weight_fraction_leaf": tree.get("min_weight_fraction_leaf", 0.0),
        "max_features": _features(tree["max_features"]),
        "max_leaf_nodes": tree["max_leaves"],
        "min_impurity_decrease": tree["min_impurity_decrease"],
        "ccp_alpha": tree["ccp_alpha"],
        "monotonic_cst": tree["monotone"] or None,
        "class_weight": "balanced" if tree["class_weights"] == "balanced" else None,
    }


def _features(drawn: str | dict[str, Any]) -> float | int | str:
    if isinstance(drawn, dict):
        return next(iter(drawn.values()))
    return 1.0 if drawn == "all" else drawn


def _boosting(params: dict[str, Any], classifies: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "learning_rate": params["learning_rate"],
        "max_iter": params["stages"],
        "l2_regularization": params["penalty"]["l2"],
        "early_stopping": False,
    }
    if stopped := params["early_stopping"]:
        found |= {"early_stopping": True, "n_iter_no_change": stopped["patience"]}
        if (share := stopped.get("share")) is not None:
            found["validation_fraction"] = share
    loss = params["loss"]
    if classifies or loss == "auto":
        found["loss"] = "log_loss" if classifies else "squared_error"
    elif isinstance(loss, str):
        found["loss"] = _LOSSES.get(loss, loss)
    else:
        [(name, numbers)] = loss.items()
        [number] = numbers.values()
        found |= {"loss": "quantile", "quantile": number} if name == "quantile" else {"loss": f"{name}:{number}"}
    return found
