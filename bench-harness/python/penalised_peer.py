"""Lasso and Poisson regression of libraries made for them. Argument: glum, skglm or celer.

Tolerances are tight enough that all reach the same objective, which the harness checks. Columns lie one behind the other, as these
libraries want them; what numba compiles is compiled by the harness's first run, which it does not time.
"""

import sys
import warnings

import numpy as np
from worker import Worker

warnings.simplefilter("ignore")
LIBRARY = sys.argv[1]
LASSO_ALPHA, POISSON_ALPHA = 0.1, 1e-3


def model(kind):
    if LIBRARY == "glum":
        from glum import GeneralizedLinearRegressor

        if kind == "poisson":
            settings = {"family": "poisson", "alpha": POISSON_ALPHA, "l1_ratio": 0}
        else:
            settings = {"family": "normal", "alpha": LASSO_ALPHA, "l1_ratio": 1}
        return GeneralizedLinearRegressor(gradient_tol=1e-7, max_iter=1000, **settings)
    if LIBRARY == "skglm":
        from skglm import Lasso

        return Lasso(alpha=LASSO_ALPHA, tol=1e-8, max_iter=1000)
    from celer import Lasso

    return Lasso(alpha=LASSO_ALPHA, tol=1e-8, max_iter=1000)


class Penalised(Worker):
    version = __import__(LIBRARY).__version__

    def load(self, problem):
        rows, features = problem.shape
        self.x, self.y = np.asfortranarray(problem.read("x", rows, features)), problem.read("y", rows)
        self.model = model(problem.kind)

    def run(self):
        self.model.fit(self.x, self.y)

    def result(self):
        return np.append(self.model.coef_.ravel(), self.model.intercept_)


Penalised().serve()
