"""scikit-learn's linear models. Argument: the solver that logistic regression uses.

Tolerances are tight enough that all solvers reach the same objective: times are compared at equal quality. Default
solvers and tolerances stop far earlier on some problems and later on others.
"""
import sys
import warnings

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from worker import Worker

# Not converging is seen in the objective, which the harness checks.
warnings.simplefilter("ignore", ConvergenceWarning)


class ScikitLearn(Worker):
    version = sklearn.__version__

    def load(self, problem):
        rows, features = problem.shape
        x, y = problem.read("x", rows, features), problem.read("y", rows)
        if problem.kind == "least_squares":
            self.model = LinearRegression()
        elif problem.kind == "ridge":
            self.model = Ridge(alpha=1.0)
        elif problem.kind == "logistic":
            solver = sys.argv[1]
            tolerance = {"lbfgs": 1e-7, "newton-cholesky": 1e-6}[solver]
            self.model, y = LogisticRegression(solver=solver, tol=tolerance, max_iter=1000), y.astype(np.int32)
        elif problem.kind == "lasso":
            # Its own tolerance stops at a gap of 1e-4; columns one behind the other are what it converts to.
            self.model, x = Lasso(alpha=0.1, tol=1e-8, max_iter=100_000), np.asfortranarray(x)
        elif problem.kind == "poisson":
            self.model = PoissonRegressor(alpha=1e-3, solver="newton-cholesky", tol=1e-6, max_iter=1000)
        else:
            raise ValueError(f"{problem.kind} is not what this peer does")
        self.x, self.y = x, y

    def run(self):
        self.model.fit(self.x, self.y)

    def result(self):
        return np.append(self.model.coef_.ravel(), self.model.intercept_)


ScikitLearn().serve()
