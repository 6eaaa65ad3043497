"""Writes penalised.json: logistic regression with penalties that make coefficients zero, by scikit-learn, converged to KKT residuals
of 1e-8 per row and below; and lasso, elastic net, least squares and ridge whose coefficients cannot be negative, and regression by Huber's loss.

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
from sklearn.linear_model import ElasticNet, HuberRegressor, LinearRegression, LogisticRegression, Ridge
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


def positive_squares(x, labels, alpha):
    y = np.array([float(v) for v in labels])
    model = Ridge(alpha=alpha, positive=True, tol=1e-14, max_iter=1_000_000) if alpha else LinearRegression(positive=True)
    model.fit(x, y)
    pull = (x - x.mean(axis=0)).T @ (y - model.predict(x)) - alpha * model.coef_
    far = np.where(model.coef_ == 0, np.maximum(pull, 0), np.abs(pull)).max() / len(x)
    assert (model.coef_ >= 0).all() and far < 1e-5, far
    return {"alpha": alpha, "coefficients": model.coef_.tolist(), "intercepts": [float(model.intercept_)]}


def huber(x, labels, epsilon, alpha):
    y = np.array([float(v) for v in labels])
    model = HuberRegressor(epsilon=epsilon, alpha=alpha, tol=1e-12, max_iter=1_000_000).fit(x, y)
    # L-BFGS leaves a gradient of 1e-5: Newton's steps at its scale take the rest.
    threshold, full = epsilon * model.scale_, np.column_stack([x, np.ones(len(x))])
    penalty = np.append(np.full(x.shape[1], alpha * model.scale_), 0.0)
    b = np.append(model.coef_, model.intercept_)
    for _ in range(50):
        r = full @ b - y
        inside = full[np.abs(r) <= threshold]
        gradient = np.clip(r, -threshold, threshold) @ full + penalty * b
        b = b - np.linalg.solve(inside.T @ inside + np.diag(penalty), gradient)
    assert np.abs(gradient).max() < 1e-9 and np.abs(b[:-1] - model.coef_).max() < 1e-2, gradient
    return {
        "epsilon": epsilon,
        "alpha": alpha,
        "scale": float(model.scale_),
        "coefficients": b[:-1].tolist(),
        "intercepts": [float(b[-1])],
    }


def huber_joint(x, labels, epsilon, alpha, weights=None):
    """The scale too, by Newton's steps on both from where L-BFGS ends."""
    y = np.array([float(v) for v in labels])
    w = np.ones(len(y)) if weights is None else np.array(weights)
    model = HuberRegressor(epsilon=epsilon, alpha=alpha, tol=1e-12, max_iter=1_000_000).fit(x, y, sample_weight=weights)
    full = np.column_stack([x, np.ones(len(x))])
    penalty = np.append(np.full(x.shape[1], 2 * alpha), 0.0)
    b, s = np.append(model.coef_, model.intercept_), model.scale_
    for _ in range(50):
        u = (full @ b - y) / s
        inside = np.abs(u) < epsilon
        of_scale = w.sum() - w @ np.minimum(u**2, epsilon**2)
        gradient = np.append(2 * (w * np.clip(u, -epsilon, epsilon)) @ full + penalty * b, of_scale)
        rows = np.column_stack([full, -u])[inside]
        hessian = 2 / s * (w[inside, None] * rows).T @ rows + np.diag(np.append(penalty, 0.0))
        step = np.linalg.solve(hessian, gradient)
        b, s = b - step[:-1], s - step[-1]
    assert np.abs(gradient).max() < 1e-9 and abs(s / model.scale_ - 1) < 1e-3, (gradient, s, model.scale_)
    assert np.abs(b[:-1] - model.coef_).max() < 0.05, b[:-1] - model.coef_
    return {
        "epsilon": epsilon,
        "alpha": alpha,
        "scale": float(s),
        "coefficients": b[:-1].tolist(),
        "intercepts": [float(b[-1])],
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
    "positive_least_squares_diabetes": positive_squares(StandardScaler().fit_transform(diabetes), progression, 0.0),
    "positive_ridge_diabetes": positive_squares(StandardScaler().fit_transform(diabetes), progression, 30.0),
    "huber_diabetes": huber(StandardScaler().fit_transform(diabetes), progression, 1.35, 1.0),
    "huber_joint_diabetes": huber_joint(StandardScaler().fit_transform(diabetes), progression, 1.35, 1.0),
    "huber_joint_weighted": huber_joint(
        StandardScaler().fit_transform(diabetes), progression, 1.1, 1e-4, [1.0 + i % 3 for i in range(len(diabetes))]
    ),
    "elastic_net_iris": logistic(iris, species, 0.3, 0.5),
}
pathlib.Path(__file__).with_name("penalised.json").write_text(json.dumps(golden, indent=1) + "\n")
