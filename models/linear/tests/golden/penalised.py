"""Writes penalised.json: logistic regression with penalties that make coefficients zero, by scikit-learn, converged to KKT residuals
of 1e-8 per row and below; and lasso and elastic net whose coefficients cannot be negative.

    python penalised.py ../../../../cli/data

needs scikit-learn 1.9 and NumPy 2.
"""

import csv
import json
import pathlib
import sys
import warnings

import numpy as np
import sklearn
from sklearn.linear_model import ElasticNet, LogisticRegression
from sklearn.preprocessing import StandardScaler

FOLDER = pathlib.Path(sys.argv[1])


def load(name):
    with open(FOLDER / f"{name}.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return np.array([[float(v) for v in row[:-1]] for row in rows]), [row[-1] for row in rows]


def logistic(x, labels, c, l1_ratio):
    codes = np.array([sorted(set(labels)).index(v) for v in labels])
    classes = codes.max() + 1
    model = LogisticRegression(C=c, l1_ratio=l1_ratio, solver="saga", tol=1e-12, max_iter=1_000_000, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, codes)
    residual = model.predict_proba(x) - np.eye(classes)[codes]
    residual = residual[:, 1:] if classes == 2 else residual
    b, l1, l2 = model.coef_, l1_ratio / c, (1 - l1_ratio) / c
    slope = residual.T @ x + l2 * b
    kkt = np.where(b == 0, np.maximum(np.abs(slope) - l1, 0), np.abs(slope + l1 * np.sign(b))).max() / len(x)
    kkt = max(kkt, np.abs(residual.mean(axis=0)).max())
    assert kkt < 1e-8, kkt
    scores = x @ b.T + model.intercept_
    scores = np.column_stack([np.zeros(len(x)), scores]) if classes == 2 else scores
    loss = np.logaddexp.reduce(scores, axis=1) - scores[np.arange(len(x)), codes]
    objective = loss.mean() + (l1 * np.abs(b).sum() + l2 / 2 * np.square(b).sum()) / len(x)
    return {
        "c": c,
        "l1_ratio": l1_ratio,
        "coefficients": b.ravel().tolist(),
        "intercepts": model.intercept_.tolist(),
        "objective": float(objective),
    }


def positive(x, labels, alpha, l1_ratio):
    y = np.array([float(v) for v in labels])
    model = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, positive=True, tol=1e-14, max_iter=1_000_000).fit(x, y)
    assert model.dual_gap_ < 1e-8, model.dual_gap_
    return {
        "alpha": alpha,
        "l1_ratio": l1_ratio,
        "coefficients": model.coef_.tolist(),
        "intercepts": [float(model.intercept_)],
    }


breast, diagnosis = load("breast_cancer")
iris, species = load("iris")
diabetes, progression = load("diabetes")
breast, iris = StandardScaler().fit_transform(breast), StandardScaler().fit_transform(iris)
golden = {
    "versions": {"scikit-learn": sklearn.__version__, "numpy": np.__version__},
    "l1_breast_cancer": logistic(breast, diagnosis, 0.2, 1.0),
    "elastic_net_breast_cancer": logistic(breast, diagnosis, 0.5, 0.6),
    "l1_iris": logistic(iris, species, 0.5, 1.0),
    "positive_lasso_diabetes": positive(StandardScaler().fit_transform(diabetes), progression, 1.0, 1.0),
    "positive_elastic_net_diabetes": positive(StandardScaler().fit_transform(diabetes), progression, 0.1, 0.5),
    "elastic_net_iris": logistic(iris, species, 0.3, 0.5),
}
pathlib.Path(__file__).with_name("penalised.json").write_text(json.dumps(golden, indent=1) + "\n")
