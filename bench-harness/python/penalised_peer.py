"""Linear models of libraries made for them. Argument: glum, skglm, celer or statsmodels.

Tolerances are tight enough that all reach the same objective, which the harness checks. Columns lie one behind the other, as these
libraries want them; what numba compiles is compiled by the harness's first run, which it does not time. glum gets categories as they are,
in its own matrix of them, not expanded.
"""

import sys
import warnings

import numpy as np
from one_hot import LEVELS, codes
from worker import Worker

warnings.simplefilter("ignore")
LIBRARY = sys.argv[1]
LASSO_ALPHA, POISSON_ALPHA = 0.1, 1e-3


def model(kind, rows):
    if LIBRARY == "glum":
        from glum import GeneralizedLinearRegressor

        family, alpha, l1_ratio = {
            "least_squares": ("normal", 0, 0),
            "ridge": ("normal", 1 / rows, 0),
            "logistic": ("binomial", 1 / rows, 0),
            "lasso": ("normal", LASSO_ALPHA, 1),
            "poisson_one_hot": ("poisson", POISSON_ALPHA, 0),
        }[kind]
        settings = {"family": family, "alpha": alpha, "l1_ratio": l1_ratio}
        return GeneralizedLinearRegressor(gradient_tol=GRADIENT[kind], max_iter=1000, **settings)
    if LIBRARY == "skglm":
        from skglm import Lasso

        return Lasso(alpha=LASSO_ALPHA, tol=1e-8, max_iter=1000)
    from celer import Lasso

    return Lasso(alpha=LASSO_ALPHA, tol=1e-8, max_iter=1000)


# At which glum's objectives agree with the others'.
GRADIENT = {"least_squares": 1e-7, "ridge": 1e-7, "logistic": 1e-6, "lasso": 1e-7, "poisson_one_hot": 1e-6}


def categorical(problem):
    from tabmat import CategoricalMatrix, SplitMatrix

    columns = zip(codes(problem).T, LEVELS)
    return SplitMatrix([CategoricalMatrix(code, np.arange(levels)) for code, levels in columns])


class Penalised(Worker):
    version = __import__(LIBRARY).__version__

    def load(self, problem):
        rows, features = problem.shape[:2]
        self.y = problem.read("y", rows)
        if problem.kind == "poisson_one_hot":
            self.x = categorical(problem)
        else:
            self.x = np.asfortranarray(problem.read("x", rows, features))
        self.model = model(problem.kind, rows)

    def run(self):
        self.model.fit(self.x, self.y)

    def result(self):
        return np.append(self.model.coef_.ravel(), self.model.intercept_)


class Statsmodels(Worker):
    """Its fits are answers of their own; standard errors come only when they are asked for."""

    version = __import__(LIBRARY).__version__

    def load(self, problem):
        from statsmodels.api import OLS, add_constant

        rows, features = problem.shape
        self.x, self.y = add_constant(problem.read("x", rows, features), prepend=False), problem.read("y", rows)
        self.model = OLS

    def run(self):
        self.fitted = self.model(self.y, self.x).fit()

    def result(self):
        return self.fitted.params


(Statsmodels if LIBRARY == "statsmodels" else Penalised)().serve()
