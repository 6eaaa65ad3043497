"""Linear models. Penalties are those of scikit-learn: coefficients are of the columns as they are, not standardised."""

from __future__ import annotations

import json
import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import d2_tweedie_score

from ._base import Absent, Classifying, Regressing, Scoring, TilewiseEstimator, check_is_fitted, same
from ._native import Model

_FIXED = {"standardise": False, "impute": False}
_SOLVERS = ("auto", "lbfgs", "newton-cg", "newton-cholesky", "saga")


def _solver(name: str) -> str:
    if name not in _SOLVERS:
        raise ValueError(f"solver must be one of {', '.join(map(repr, _SOLVERS))}, got {name!r}; all find the same optimum")
    return name


class _Linear(TilewiseEstimator):
    _fixed = _FIXED

    def _keep(self, model: Model) -> None:
        super()._keep(model)
        coefficients, intercepts, self.coefficient_names_ = model.linear()
        several = hasattr(self, "classes_") or model.task == "outputs"
        self.coef_ = coefficients if several else coefficients[0]
        self.intercept_ = intercepts if several else float(intercepts[0])


    def shap_values(self, X: Any, background: Any = None) -> NDArray[np.float64]:
        """What each input adds to each score: rows x inputs, or rows x inputs x scores where there are several.

        A score is the prediction, of classes the log odds of `decision_function`, with a logarithm as link the logarithm of the prediction.
        An input adds its coefficient times the distance to its mean over the rows of `background`, which are those of training usually: the
        Shapley value where inputs are taken to vary by themselves. What is added sums to the score less the mean score of `background`.

        Raises ValueError without a background: a model keeps coefficients, and no means of its rows.

        >>> from tilewise import Ridge
        >>> X = [[0.0, 1.0], [2.0, 1.0], [4.0, 4.0]]
        >>> model = Ridge(alpha=0.0).fit(X, [1.0, 5.0, 12.0])
        >>> model.shap_values([[4.0, 4.0]], background=X).round(6).tolist()
        [[4.0, 2.0]]
        """
        check_is_fitted(self)
        if background is None:
            raise ValueError(
                "the means of its training rows are not kept with a linear model: shap_values(X, background=rows), such as those of "
                "training, is accepted"
            )
        added, base = (self._model.parts(self._asked(rows)) for rows in (X, background))
        added = (added - base.mean(axis=0)).reshape(len(added), self.n_features_in_, -1)
        return added[:, :, 0] if added.shape[2] == 1 else added


class _Sparse(_Linear):
    """Of those whose penalty makes coefficients zero."""

    def _keep(self, model: Model) -> None:
        super()._keep(model)
        if json.loads(model.metadata("params") or "{}").get("estimator") == "elastic_net":
            #: By how much the objective may be above its minimum at most.
            self.dual_gap_ = float(model.report["optimality"])

    @property
    def sparse_coef_(self) -> csr_array:
        """`coef_` as a sparse matrix of targets x columns."""
        return csr_array(np.atleast_2d(self.coef_))


class LinearRegression(Regressing, RegressorMixin, _Linear):
    """Least squares; of several solutions the one of least norm. With `positive` no coefficient is below 0 (and of several solutions one is
    found).

    `coef_` has a number for each column; categories of a table are a column each, named in `coefficient_names_`.

    >>> from tilewise import LinearRegression
    >>> model = LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    >>> model.predict([[3.0]]).round(6)
    array([7.])
    """

    _several = True
    _family = "linear"
    rank_ = Absent("rows are summed or factored with pivots, not decomposed into singular values; a fit warns where columns depend on others (with categories of very many levels, where rows are too few)")
    singular_ = Absent("rows are summed or factored with pivots, not decomposed into singular values")
    _parameters = {"fit_intercept": ("intercept", same), "positive": ("positive", same)}

    def __init__(self, *, fit_intercept: bool = True, positive: bool = False, n_jobs: int | None = None) -> None:
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.n_jobs = n_jobs


class Ridge(Regressing, RegressorMixin, _Linear):
    """Least squares with the penalty alpha |w|^2, in closed form. With `positive` no coefficient is below 0.

    >>> from tilewise import Ridge
    >>> Ridge(alpha=2.0).fit([[-1.0], [1.0]], [-3.0, 3.0]).coef_
    array([1.5])
    """

    _several = True
    _family = "ridge"
    solver_ = Absent("there is one solver, in closed form; with positive=True by active bounds")
    _parameters = {"alpha": ("alpha", same), "fit_intercept": ("intercept", same), "positive": ("positive", same)}

    def __init__(
        self, alpha: float = 1.0, *, fit_intercept: bool = True, positive: bool = False, n_jobs: int | None = None
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.n_jobs = n_jobs


class Lasso(Regressing, RegressorMixin, _Sparse):
    """Least squares with the penalty alpha |w|, beside half the mean squared error.

    `tol` is the duality gap at which the fit has converged, as a share of half the target's variance. With `positive` no coefficient
    is below 0.

    >>> from tilewise import Lasso
    >>> Lasso(alpha=1.0).fit([[-1.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]], [-3.5, 2.5, -2.5, 3.5]).coef_.tolist()
    [2.0, 0.0]
    """

    _several = True
    _family = "lasso"
    path = Absent("it is a function of scikit-learn's, lasso_path; warm starts are inside of tilewise train --set alpha=cv")
    _parameters = {
        "alpha": ("alpha", same),
        "fit_intercept": ("intercept", same),
        "max_iter": ("max_rounds", same),
        "tol": ("tolerance", same),
        "positive": ("positive", same),
    }

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-8,
        positive: bool = False,
        n_jobs: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.positive = positive
        self.n_jobs = n_jobs


class ElasticNet(Regressing, RegressorMixin, _Sparse):
    """Least squares with the penalties of lasso (the share `l1_ratio`) and ridge; `tol` and `positive` are those of `Lasso`.

    >>> from tilewise import ElasticNet
    >>> ElasticNet(alpha=1.0, l1_ratio=0.5).fit([[-1.0], [1.0]], [-3.5, 3.5]).coef_.round(9).tolist()
    [2.0]
    """

    _several = True
    _family = "elastic-net"
    path = Absent("it is a function of scikit-learn's, enet_path; warm starts are inside of tilewise train --set alpha=cv")
    _parameters = {**Lasso._parameters, "l1_ratio": ("l1_ratio", same)}

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.5,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-8,
        positive: bool = False,
        n_jobs: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.positive = positive
        self.n_jobs = n_jobs


class LogisticRegression(Scoring, Classifying, ClassifierMixin, _Linear):
    """Logistic regression with the penalty |w|^2 / (2 C); multinomial for more than two classes. C = inf is none, whatever
    `l1_ratio`.

    `l1_ratio` is the share of |w| / C in the penalty, which makes coefficients zero; `solver` is "auto", "newton-cholesky", for
    penalties without such a share (`l1_ratio=0`) "lbfgs" or "newton-cg", or of two classes "saga", whose `max_iter` counts as many steps as
    there are rows; only this one draws by `random_state`. Of "newton-cg" twenty passes over the rows count as one of `max_iter`.
    `tol` is the largest entry of the gradient, per unit of weight, at which the fit has converged.

    >>> from tilewise import LogisticRegression
    >>> LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"]).predict([[0.5], [2.5]]).tolist()
    ['a', 'b']
    >>> LogisticRegression(solver="saga").fit([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"]).predict([[0.5], [2.5]]).tolist()
    ['a', 'b']
    """

    _family = "logistic"
    set_callbacks = Absent("it is a way to watch fits that scikit-learn tries out; callbacks are a parameter of forests, boosting and networks")
    _parameters = {
        "C": ("C", same),
        "l1_ratio": ("l1_ratio", same),
        "solver": ("solver", _solver),
        "fit_intercept": ("intercept", same),
        "class_weight": ("class_weight", same),
        "max_iter": ("max_rounds", same),
        "tol": ("tolerance", same),
    }

    def __init__(
        self,
        C: float = 1.0,
        *,
        l1_ratio: float = 0.0,
        solver: str = "auto",
        fit_intercept: bool = True,
        class_weight: dict[Any, float] | str | None = None,
        random_state: Any = None,
        max_iter: int = 1000,
        tol: float = 1e-8,
        n_jobs: int | None = None,
    ) -> None:
        self.C = C
        self.l1_ratio = l1_ratio
        self.solver = solver
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.random_state = random_state
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs

    def _settings(self, rows: int, weight: float) -> dict[str, Any]:
        settings = super()._settings(rows, weight)
        # A share of no penalty is none; what is no share is still refused.
        if self.C == math.inf and self.l1_ratio and 0 < self.l1_ratio <= 1:
            settings["l1_ratio"] = 0.0
        return settings

    def densify(self) -> Self:
        """Makes `coef_` an array, as it is after fits."""
        check_is_fitted(self)
        coefficients: Any = self.coef_
        if issparse(coefficients):
            self.coef_ = coefficients.toarray()
        return self

    def sparsify(self) -> Self:
        """Makes `coef_` a sparse matrix, for whoever keeps it; predictions do not read it.

        >>> from tilewise import LogisticRegression
        >>> LogisticRegression(C=1.0, l1_ratio=1.0).fit([[0.0], [1.0]], [0, 1]).sparsify().coef_.nnz
        0
        """
        self.coef_ = csr_array(self.densify().coef_)
        return self


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

    #: The variance is proportional to this power of the mean.
    power: float

    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """D2, the share of the deviance that is explained, 1 at best: R2 where the power is 0."""
        return float(d2_tweedie_score(y, self.predict(X), sample_weight=sample_weight, power=self.power))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = self.power > 0
        return tags


class PoissonRegressor(_Generalised):
    """Poisson regression of counts, log link; the penalty is alpha |w|^2 / 2 beside half the mean deviance. `score` is D2, the share of the
    deviance that is explained.

    >>> from tilewise import PoissonRegressor
    >>> PoissonRegressor(alpha=0.0).fit([[0.0], [0.0], [1.0], [1.0]], [1, 3, 6, 10]).predict([[0.0], [1.0]]).round(6).tolist()
    [2.0, 8.0]
    """

    _family = "poisson"
    power = 1.0


class GammaRegressor(_Generalised):
    """Gamma regression of amounts above 0, log link; the penalty is that of `PoissonRegressor`.

    >>> from tilewise import GammaRegressor
    >>> GammaRegressor(alpha=0.0).fit([[0.0], [0.0], [1.0], [1.0]], [1, 3, 6, 10]).predict([[0.0], [1.0]]).round(6).tolist()
    [2.0, 8.0]
    """

    _family = "gamma"
    power = 2.0


class TweedieRegressor(_Generalised):
    """Regression of numbers whose variance is proportional to the power `power` of the mean: 0 the normal distribution, 1 Poisson's,
    between 1 and 2 Tweedie's of amounts of which many are 0, 2 the gamma and 3 the inverse Gaussian distribution. Powers below 0 and between 0
    and 1 are not there.

    `link` is what of the mean is linear: "auto" is "identity" where `power` is 0, which no other power takes, and "log" elsewhere. With the
    logarithm the objective has one minimum for powers from 1 to 2; for others the fit ends in one near the mean.

    >>> from tilewise import TweedieRegressor
    >>> TweedieRegressor(power=1.5, alpha=0.0).fit([[0.0], [0.0], [1.0], [1.0]], [0, 4, 6, 10]).predict([[0.0], [1.0]]).round(5).tolist()
    [2.0, 8.0]
    """

    _family = "tweedie"
    _parameters = {**_Generalised._parameters, "power": ("power", same), "link": ("link", same)}

    def __init__(
        self,
        *,
        power: float = 0.0,
        alpha: float = 1.0,
        fit_intercept: bool = True,
        link: str = "auto",
        max_iter: int = 100,
        tol: float = 1e-8,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(alpha=alpha, fit_intercept=fit_intercept, max_iter=max_iter, tol=tol, n_jobs=n_jobs)
        self.power = power
        self.link = link


class HuberRegressor(Regressing, RegressorMixin, _Linear):
    """Robust regression by Huber's loss, with the scale of the residuals: of those beyond `epsilon` scales each pulls as hard as one there.

    `alpha` is scikit-learn's, of the penalty alpha |w|^2 beside the sum of losses; `tol` the largest entry of the gradient, per unit of
    weight, at which the fit has converged. `scale_` is the scale, and `outliers_` tells of each training row whether it is beyond. `epsilon`
    is above 1.

    >>> from tilewise import HuberRegressor
    >>> X = [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0]]
    >>> model = HuberRegressor(epsilon=2.0, alpha=0.0).fit(X, [1.1, 2.9, 5.1, 6.9, 9.1, 10.9, 13.1, 90.0])
    >>> model.coef_.round(1).tolist(), model.outliers_.tolist()
    ([2.1], [False, False, False, False, False, False, False, True])
    """

    _family = "huber"
    _parameters = {
        "epsilon": ("epsilon", same),
        "alpha": ("alpha", same),
        "fit_intercept": ("intercept", same),
        "max_iter": ("max_rounds", same),
        "tol": ("tolerance", same),
    }

    def __init__(
        self,
        *,
        epsilon: float = 1.35,
        max_iter: int = 100,
        alpha: float = 0.0001,
        fit_intercept: bool = True,
        tol: float = 1e-8,
        n_jobs: int | None = None,
    ) -> None:
        self.epsilon = epsilon
        self.max_iter = max_iter
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.n_jobs = n_jobs

    def _settings(self, rows: int, weight: float) -> dict[str, Any]:
        settings = super()._settings(rows, weight)
        # The mean loss is minimised, not the sum.
        settings["alpha"] = self.alpha / (rows * weight)
        return settings

    def _keep(self, model: Model) -> None:
        super()._keep(model)
        self.scale_ = float(json.loads(model.metadata("residuals") or "{}").get("scale", 1.0))

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        super().fit(X, y, sample_weight)
        beyond = np.abs(np.asarray(y, dtype=float).ravel() - self.predict(X))
        self.outliers_ = beyond > self.epsilon * self.scale_
        return self


class QuantileRegressor(Regressing, RegressorMixin, _Linear):
    """The plane with a share `quantile` of the rows below it, with the penalty alpha |w| beside the mean pinball loss.

    `tol` is the duality gap at which the fit has converged, as a share of the loss of the target about its mean. Where one plane is best it
    goes through as many rows as it has coefficients that are not zero; where several are as good, one of them is found, not
    always that of scikit-learn.

    >>> from tilewise import QuantileRegressor
    >>> model = QuantileRegressor(alpha=0.0).fit([[0.0], [1.0], [2.0], [3.0], [4.0]], [1.0, 3.0, 5.0, 7.0, 90.0])
    >>> model.predict([[5.0]]).round(6)
    array([11.])
    """

    _family = "quantile"
    _parameters = {
        "quantile": ("quantile", same),
        "alpha": ("alpha", same),
        "fit_intercept": ("intercept", same),
        "max_iter": ("max_rounds", same),
        "tol": ("tolerance", same),
    }

    def __init__(
        self,
        *,
        quantile: float = 0.5,
        alpha: float = 1.0,
        fit_intercept: bool = True,
        max_iter: int = 200,
        tol: float = 1e-8,
        n_jobs: int | None = None,
    ) -> None:
        self.quantile = quantile
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs
