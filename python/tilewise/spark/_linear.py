"""Linear models as estimators and models of pyspark.ml."""

from __future__ import annotations

from typing import Any

from pyspark.ml.param import Param, Params, TypeConverters

from .. import _linear as single
from ._estimator import Fitted, FittedClasses, TilewiseSparkEstimator

_to_float, _to_bool, _to_int = TypeConverters.toFloat, TypeConverters.toBoolean, TypeConverters.toInt


def _param(name: str, doc: str, converter: Any) -> Param:
    return Param(Params._dummy(), name, doc, converter)


class SparkRegressionModel(Fitted):
    """A fitted model of numbers."""


class SparkClassificationModel(FittedClasses):
    """A fitted model of classes."""


class _Linear(TilewiseSparkEstimator):
    fit_intercept = _param("fit_intercept", "fit an intercept, which is not penalised", _to_bool)
    standardise = _param("standardise", "centre numbers and scale them to deviation 1", _to_bool)
    impute = _param("impute", "replace missing numbers by the mean; otherwise they are an error", _to_bool)

    _DEFAULTS = {"fit_intercept": True, "standardise": True, "impute": True}
    _model_class: type[Fitted] = SparkRegressionModel

    def _more_settings(self) -> dict[str, Any]:
        return {name: self.getOrDefault(name) for name in ("standardise", "impute")}


class SparkLinearRegression(_Linear):
    """Least squares; of several solutions the one of least norm. The model of `tilewise train --model linear`."""

    _single = single.LinearRegression


class SparkRidge(_Linear):
    """Least squares with the penalty alpha |w|^2, in closed form. The model of `tilewise train --model ridge`."""

    _single = single.Ridge
    alpha = _param("alpha", "weight of the penalty", _to_float)
    _DEFAULTS = {**_Linear._DEFAULTS, "alpha": 1.0}


class SparkLogisticRegression(_Linear):
    """Logistic regression with the penalty |w|^2 / (2 C); multinomial for more than two classes. C = inf is none.

    Labels are text, booleans or whole numbers; predictions have their type. The model of `tilewise train --model logistic`.
    """

    _single = single.LogisticRegression
    _classifies = True
    _model_class = SparkClassificationModel
    C = _param("C", "inverse weight of the penalty", _to_float)
    class_weight = _param("class_weight", "balanced lets all classes count the same", TypeConverters.toString)
    max_iter = _param("max_iter", "rounds after which the fit ends", _to_int)
    tol = _param("tol", "largest entry of the gradient, per unit of weight, at which the fit has converged", _to_float)
    _DEFAULTS = {**_Linear._DEFAULTS, "C": 1.0, "max_iter": 1000, "tol": 1e-8}


class _Generalised(_Linear):
    alpha = _param("alpha", "weight of the penalty |w|^2 / 2, beside half the mean deviance", _to_float)
    max_iter = _param("max_iter", "rounds after which the fit ends", _to_int)
    tol = _param("tol", "largest entry of the gradient, per unit of weight, at which the fit has converged", _to_float)
    _DEFAULTS = {**_Linear._DEFAULTS, "alpha": 1.0, "max_iter": 100, "tol": 1e-8}


class SparkPoissonRegressor(_Generalised):
    """Poisson regression of counts, log link."""

    _single = single.PoissonRegressor


class SparkGammaRegressor(_Generalised):
    """Gamma regression of amounts above 0, log link."""

    _single = single.GammaRegressor


class SparkTweedieRegressor(_Generalised):
    """Tweedie regression of amounts of which many are 0; `power` is 1.5 where nothing is said, as on the command line, and `power` and `link`
    mean what they do in `TweedieRegressor`."""

    _single = single.TweedieRegressor
    power = _param("power", "the variance is proportional to so high a power of the mean", _to_float)
    link = _param("link", "what of the mean is linear: auto, identity (of power 0) or log", TypeConverters.toString)
    _DEFAULTS = {**_Generalised._DEFAULTS, "power": 1.5, "link": "auto"}


class SparkHuberRegressor(_Linear):
    """Robust regression by Huber's loss, with the scale of the residuals: of those beyond `epsilon` scales each pulls as hard as one there.

    `alpha` stands beside the mean of losses, as on the command line; that of `HuberRegressor` of a single machine beside their sum. The model
    of `tilewise train --model huber`.
    """

    _single = single.HuberRegressor
    epsilon = _param("epsilon", "scales of the residuals beyond which a row pulls no harder, above 1", _to_float)
    alpha = _param("alpha", "weight of the penalty, beside the mean loss in scales of the residuals", _to_float)
    max_iter = _param("max_iter", "rounds after which the fit ends", _to_int)
    tol = _param("tol", "largest entry of the gradient, per unit of weight, at which the fit has converged", _to_float)
    _DEFAULTS = {**_Linear._DEFAULTS, "epsilon": 1.35, "alpha": 0.0, "max_iter": 1000, "tol": 1e-8}
