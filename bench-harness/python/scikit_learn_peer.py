"""scikit-learn's linear models. Argument: the solver that logistic regression uses.

Tolerances are tight enough that all solvers reach the same objective: times are compared at equal quality. Default
solvers and tolerances stop far earlier on some problems and later on others.
"""
import sys
import warnings

import numpy as np
import sklearn
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from worker import Worker

# Not converging is seen in the objective, which the harness checks.
warnings.simplefilter("ignore", ConvergenceWarning)


class ScikitLearn(Worker):
    version = sklearn.__version__

    def load_sparse(self, problem):
        """Tolerances at which objectives agree to 1e-8; liblinear takes |b| too."""
        rows, features = problem.shape
        starts, indices = (problem.read(name, -1).astype(np.int32) for name in ("starts", "indices"))
        self.x = csr_matrix((problem.read("values", -1), indices, starts), shape=(rows, features))
        self.y = problem.read("y", rows).astype(np.int32)
        settings = {"solver": sys.argv[1], "fit_intercept": False, "max_iter": 10_000}
        if problem.kind == "sparse_logistic_l1":
            self.model = LogisticRegression(C=0.2, l1_ratio=1.0, tol=1e-4, **settings)
        else:
            self.model = LogisticRegression(tol={"liblinear": 1e-5, "newton-cg": 1e-7}[sys.argv[1]], **settings)

    def load(self, problem):
        if problem.kind.startswith("sparse_"):
            self.load_sparse(problem)
            return
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
