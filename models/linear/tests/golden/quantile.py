"""Writes quantile.json: quantile regression by scikit-learn, whose simplex method ends at a vertex.

    python quantile.py ../../../../cli/data

needs scikit-learn 1.9 and NumPy 2.
"""

import csv
import json
import pathlib
import sys

import numpy as np
import sklearn
from sklearn.linear_model import QuantileRegressor
from sklearn.preprocessing import StandardScaler

FOLDER = pathlib.Path(sys.argv[1])


def load(name):
    with open(FOLDER / f"{name}.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return np.array([[float(v) for v in row[:-1]] for row in rows]), np.array([float(row[-1]) for row in rows])


def quantile(tau, alpha, weighted=False, intercept=True):
    x, y = load("diabetes")
    x = StandardScaler().fit_transform(x)
    weights = 1.0 + np.arange(len(y)) % 3 if weighted else np.ones(len(y))
    model = QuantileRegressor(quantile=tau, alpha=alpha, fit_intercept=intercept, solver="highs-ds")
    model.fit(x, y, sample_weight=weights)
    r = y - model.predict(x)
    loss = np.maximum(tau * r, (tau - 1) * r)
    return {
        "quantile": tau,
        "alpha": alpha,
        "weighted": weighted,
        "intercept": intercept,
        "objective": float(weights @ loss / weights.sum() + alpha * np.abs(model.coef_).sum()),
        "coefficients": model.coef_.tolist(),
        "intercepts": [float(model.intercept_)],
    }


golden = {
    "versions": {"scikit-learn": sklearn.__version__, "numpy": np.__version__},
    "median": quantile(0.5, 0.0),
    "median_penalised": quantile(0.5, 0.1),
    "high": quantile(0.9, 0.0),
    "low_weighted": quantile(0.1, 0.03, weighted=True),
    "without_intercept": quantile(0.7, 0.0, weighted=True, intercept=False),
    "heavy": quantile(0.5, 1.5),
}
pathlib.Path(__file__).with_name("quantile.json").write_text(json.dumps(golden, indent=1) + "\n")
