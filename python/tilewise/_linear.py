"""Linear models. Penalties are those of scikit-learn: coefficients are of the columns as they are, not standardised."""

from __future__ import annotations

from typing import Any

from sklearn.base import ClassifierMixin, RegressorMixin

from ._base import Classifying, Regressing, Scoring, TilewiseEstimator, same
from ._native import Model

_FIXED = {"standardise": False, "impute": False}


class _Linear(TilewiseEstimator):
    _fixed = _FIXED

    def _keep(self, model: Model) -> None:
        super()._keep(model)
        coefficients, intercepts, self.coefficient_names_ = model.linear()
        several = hasattr(self, "classes_") or model.task == "outputs"
        self.coef_ = coefficients if several else coefficients[0]
        self.intercept_ = intercepts if several else float(intercepts[0])


class LinearRegression(Regressing, RegressorMixin, _Linear):
    """Least squares; of several solutions the one of least norm.

    `coef_` has a number for each column; categories of a table are a column each, named in `coefficient_names_`.

    >>> from tilewise import LinearRegression
    >>> model = LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    >>> model.predict([[3.0]]).round(6)
    array([7.])
    """

    _several = True
    _family = "linear"
    _parameters = {"fit_intercept": ("intercept", same)}

    def __init__(self, *, fit_intercept: bool = True, n_jobs: int | None = None) -> None:
        self.fit_intercept = fit_intercept
        self.n_jobs = n_jobs


class Ridge(Regressing, RegressorMixin, _Linear):
    """Least squares with the penalty alpha |w|^2, in closed form."""

    _several = True
    _family = "ridge"
    _parameters = {"alpha": ("alpha", same), "fit_intercept": ("intercept", same)}

    def __init__(self, alpha: float = 1.0, *, fit_intercept: bool = True, n_jobs: int | None = None) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.n_jobs = n_jobs


class Lasso(Regressing, RegressorMixin, _Linear):
    """Least squares with the penalty alpha |w|, beside half the mean squared error.

    `tol` is the duality gap at which the fit has converged, as a share of half the target's variance.
    """

    _several = True
    _family = "lasso"
    _parameters = {
        "alpha": ("alpha", same),
        "fit_intercept": ("intercept", same),
        "max_iter": ("max_rounds", same),
        "tol": ("tolerance", same),
    }

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-8,
        n_jobs: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs


class ElasticNet(Regressing, RegressorMixin, _Linear):
    """Least squares with the penalties of lasso (the share `l1_ratio`) and ridge."""

    _several = True
    _family = "elastic-net"
    _parameters = {**Lasso._parameters, "l1_ratio": ("l1_ratio", same)}

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.5,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-8,
        n_jobs: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs


class LogisticRegression(Scoring, Classifying, ClassifierMixin, _Linear):
    """Logistic regression with the penalty |w|^2 / (2 C); multinomial for more than two classes. C = inf is none.

    `tol` is the largest entry of the gradient, per unit of weight, at which the fit has converged.

    >>> from tilewise import LogisticRegression
    >>> LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"]).predict([[0.5], [2.5]]).tolist()
    ['a', 'b']
    """

    _family = "logistic"
    _parameters = {
        "C": ("C", same),
        "fit_intercept": ("intercept", same),
        "class_weight": ("class_weight", same),
        "max_iter": ("max_rounds", same),
        "tol": ("tolerance", same),
    }

    def __init__(
        self,
        C: float = 1.0,
        *,
        fit_intercept: bool = True,
        class_weight: dict[Any, float] | str | None = None,
        max_iter: int = 1000,
        tol: float = 1e-8,
        n_jobs: int | None = None,
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs


class _Generalised(Regressing, RegressorMixin, _Linear):
    _parameters = {
        "alpha": ("alpha", same),
        "fit_intercept": ("intercept", same),
        "max_iter": ("max_rounds", same),
        "tol": ("tolerance", same),
    }

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        fit_intercept: bool = True,
        max_iter: int = 100,
        tol: float = 1e-8,
        n_jobs: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags


class PoissonRegressor(_Generalised):
    """Poisson regression of counts, log link; the penalty is alpha |w|^2 / 2 beside half the mean deviance."""

    _family = "poisson"


class GammaRegressor(_Generalised):
    """Gamma regression of amounts above 0, log link; the penalty is that of `PoissonRegressor`."""

    _family = "gamma"


class TweedieRegressor(_Generalised):
    """Tweedie regression of amounts of which many are 0, log link; `power` is between 1 and 2, without these."""

    _family = "tweedie"
    _parameters = {**_Generalised._parameters, "power": ("power", same)}

    def __init__(
        self,
        *,
        power: float = 1.5,
        alpha: float = 1.0,
        fit_intercept: bool = True,
        max_iter: int = 100,
        tol: float = 1e-8,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(alpha=alpha, fit_intercept=fit_intercept, max_iter=max_iter, tol=tol, n_jobs=n_jobs)
        self.power = power
