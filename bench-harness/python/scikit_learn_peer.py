"""scikit-learn's linear models. Argument: the solver that logistic regression uses, or `intelex` for Intel's build of them.

Tolerances are tight enough that all solvers reach the same objective: times are compared at equal quality. Default
solvers and tolerances stop far earlier on some problems and later on others.
"""
import sys
import warnings
from importlib.metadata import version as version_of

import numpy as np
import sklearn
from one_hot import LEVELS, codes
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, PoissonRegressor
from worker import Worker

SOLVER = sys.argv[1]
if SOLVER == "intelex":
    from sklearnex.linear_model import LinearRegression, LogisticRegression, Ridge
else:
    from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge

# Not converging is seen in the objective, which the harness checks.
warnings.simplefilter("ignore", ConvergenceWarning)


class ScikitLearn(Worker):
    version = sklearn.__version__
    if SOLVER == "intelex":
        version = f"{version_of('scikit-learn-intelex')} with scikit-learn {version}"

    def load_sparse(self, problem):
        """Tolerances at which objectives agree to 1e-8; liblinear takes |b| too."""
        rows, features = problem.shape
        starts, indices = (problem.read(name, -1).astype(np.int32) for name in ("starts", "indices"))
        self.x = csr_matrix((problem.read("values", -1), indices, starts), shape=(rows, features))
        self.y = problem.read("y", rows).astype(np.int32)
        settings = {"solver": SOLVER, "fit_intercept": False, "max_iter": 10_000}
        if problem.kind == "sparse_logistic_l1":
            self.model = LogisticRegression(C=0.2, l1_ratio=1.0, tol=1e-4, **settings)
        else:
            self.model = LogisticRegression(tol={"liblinear": 1e-5, "newton-cg": 1e-7}[SOLVER], **settings)

    def load_one_hot(self, problem):
        """Sparse rows of ones: dense ones would be 1.5 GB."""
        rows = problem.shape[0]
        indices = (codes(problem) + np.concatenate([[0], np.cumsum(LEVELS)[:-1]])).astype(np.int32).ravel()
        starts = np.arange(rows + 1, dtype=np.int32) * len(LEVELS)
        self.x = csr_matrix((np.ones(len(indices)), indices, starts), shape=problem.shape)
        self.y = problem.read("y", rows)
        self.model = PoissonRegressor(alpha=1e-3, solver="newton-cholesky", tol=1e-6, max_iter=1000)

    def load(self, problem):
        if problem.kind.startswith("sparse_"):
            self.load_sparse(problem)
            return
        if problem.kind == "poisson_one_hot":
            self.load_one_hot(problem)
            return
        rows, features = problem.shape[:2]
        x, y = problem.read("x", rows, features), problem.read("y", rows)
        if problem.kind == "least_squares":
            self.model = LinearRegression()
        elif problem.kind == "ridge":
            self.model = Ridge(alpha=1.0)
        elif problem.kind in ("logistic", "multinomial"):
            # Intel's has L-BFGS alone.
            settings = {"solver": "newton-cholesky", "tol": 1e-6} if SOLVER == "newton-cholesky" else {"tol": 1e-7}
            self.model, y = LogisticRegression(max_iter=1000, **settings), y.astype(np.int32)
        elif problem.kind == "lasso":
            # Its own tolerance stops at a gap of 1e-4; columns one behind the other are what it converts to.
            self.model, x = Lasso(alpha=0.1, tol=1e-8, max_iter=100_000), np.asfortranarray(x)
        else:
            raise ValueError(f"{problem.kind} is not what this peer does")
        self.x, self.y = x, y

    def run(self):
        self.model.fit(self.x, self.y)

    def result(self):
        return np.append(self.model.coef_.ravel(), self.model.intercept_)


ScikitLearn().serve()
