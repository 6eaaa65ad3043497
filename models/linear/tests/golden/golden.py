"""Writes golden.json: coefficients by scikit-learn and NumPy, converged to gradients of 1e-10 and below.

    python golden.py ../../../../cli/data

needs scikit-learn 1.9, NumPy 2, statsmodels 0.15 and glum 3.4.
"""

import csv
import json
import pathlib
import sys
import warnings

import numpy as np
import sklearn
import statsmodels.api as sm
from glum import GeneralizedLinearRegressor
from sklearn.linear_model import ElasticNet, GammaRegressor, LassoCV, LogisticRegression, PoissonRegressor, Ridge, TweedieRegressor
from sklearn.preprocessing import StandardScaler
from statsmodels.stats.stattools import durbin_watson, jarque_bera, omni_normtest

FOLDER = pathlib.Path(sys.argv[1])


def load(name):
    with open(FOLDER / f"{name}.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    x = np.array([[float(v) for v in row[:-1]] for row in rows])
    labels = [row[-1] for row in rows]
    return x, labels


def numbers(labels):
    return np.array([float(v) for v in labels])


def least_squares(x, y, intercept=True):
    """The minimum-norm solution of the centred problem."""
    mean, target = (x.mean(axis=0), y.mean()) if intercept else (0.0, 0.0)
    cutoff = np.finfo(float).eps * max(x.shape)
    w, _, rank, _ = np.linalg.lstsq(x - mean, y - target, rcond=cutoff)
    return {"coefficients": w.tolist(), "intercepts": [float(target - np.sum(mean * w))], "rank": int(rank)}


def ridge(x, y, alpha):
    model = Ridge(alpha=alpha, solver="svd").fit(x, y)
    return {"coefficients": model.coef_.tolist(), "intercepts": [float(model.intercept_)]}


def logistic(x, labels, weights=None, class_weight=None, standardise=True):
    if standardise:
        x = StandardScaler().fit_transform(x)
    classes = sorted(set(labels))
    codes = np.array([classes.index(v) for v in labels])
    model = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-14, max_iter=500, class_weight=class_weight)
    with warnings.catch_warnings():
        # Steps past the last digit are reported as failures of the line search.
        warnings.simplefilter("ignore")
        model.fit(x, codes, sample_weight=weights)
    w = np.ones(len(codes)) if weights is None else weights.copy()
    if class_weight == "balanced":
        totals = np.bincount(codes, weights=w)
        w *= (w.sum() / (len(classes) * totals))[codes]
    p = model.predict_proba(x)
    residual = (p - np.eye(len(classes))[codes]) * w[:, None]
    if len(classes) == 2:
        residual = residual[:, 1:]
    gradient = np.abs(residual.T @ x + model.coef_).max() / w.sum()
    assert gradient < 1e-10, gradient
    return {
        "coefficients": model.coef_.ravel().tolist(),
        "intercepts": model.intercept_.tolist(),
        "gradient": float(gradient),
    }


def elastic_net(x, y, alpha, l1_ratio):
    model = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, tol=1e-14, max_iter=1_000_000).fit(x, y)
    residual = y - model.predict(x)
    penalty = l1_ratio * np.abs(model.coef_).sum() + 0.5 * (1 - l1_ratio) * np.square(model.coef_).sum()
    objective = 0.5 * np.mean(residual**2) + alpha * penalty
    assert model.dual_gap_ < 1e-9 * objective, model.dual_gap_
    return {
        "coefficients": model.coef_.tolist(),
        "intercepts": [float(model.intercept_)],
        "objective": float(objective),
    }


def lasso_cv(x, y):
    model = LassoCV(alphas=30, eps=1e-3, cv=5, tol=1e-12, max_iter=1_000_000).fit(x, y)
    return {
        "alphas": model.alphas_.tolist(),
        "errors": model.mse_path_.mean(axis=1).tolist(),
        "alpha": float(model.alpha_),
    }


FAMILIES = {"poisson": (sm.families.Poisson, PoissonRegressor), "gamma": (sm.families.Gamma, GammaRegressor)}


def log_linear(name, x, y):
    """By statsmodels, with weights and offset, and no penalty."""
    link = sm.families.links.Log()
    family = sm.families.Tweedie(link, var_power=1.5) if name == "tweedie" else FAMILIES[name][0](link)
    weights, offset = 1.0 + np.arange(len(y)) % 3, 0.1 * (np.arange(len(y)) % 5)
    model = sm.GLM(y, sm.add_constant(x), family=family, offset=offset, var_weights=weights)
    fit = model.fit(tol=1e-14, maxiter=200)
    return {
        "coefficients": fit.params[1:].tolist(),
        "intercepts": [float(fit.params[0])],
        "deviance": float(fit.deviance),
    }


def judged(fit):
    """What statsmodels says of coefficients, the intercept first."""
    interval = fit.conf_int()
    return {
        "coefficients": fit.params.tolist(),
        "standard_errors": fit.bse.tolist(),
        "statistics": fit.tvalues.tolist(),
        "p_values": fit.pvalues.tolist(),
        "lower": interval[:, 0].tolist(),
        "upper": interval[:, 1].tolist(),
        "log_likelihood": float(fit.llf),
        "aic": float(fit.aic),
        "residual_df": float(fit.df_resid),
    }


def residuals(fit):
    omnibus, omnibus_p = omni_normtest(fit.wresid)
    bera, bera_p, skewness, kurtosis = jarque_bera(fit.wresid)
    told = [skewness, kurtosis, omnibus, omnibus_p, bera, bera_p, durbin_watson(fit.wresid)]
    return {"residuals": [float(x) for x in told]}


def inference(x, y, errors="nonrobust"):
    fit = sm.OLS(y, sm.add_constant(x)).fit(cov_type=errors)
    return judged(fit) | residuals(fit) | {
        "bic": float(fit.bic),
        "r_squared": float(fit.rsquared),
        "adjusted_r_squared": float(fit.rsquared_adj),
        "f_statistic": float(fit.fvalue),
        "f_p_value": float(fit.f_pvalue),
        "scale": float(fit.scale),
    }


def inference_through_origin(x, y):
    fit = sm.OLS(y, x).fit()
    return judged(fit) | residuals(fit) | {"r_squared": float(fit.rsquared), "adjusted_r_squared": float(fit.rsquared_adj)}


def inference_logistic(x, labels):
    codes = np.array([sorted(set(labels)).index(v) for v in labels])
    fit = sm.Logit(codes, sm.add_constant(x)).fit(method="newton", tol=1e-14, disp=0)
    return judged(fit) | {"bic": float(fit.bic)}


def inference_log_linear(name, x, y):
    family = FAMILIES[name][0](sm.families.links.Log())
    counts, offset = 1.0 + np.arange(len(y)) % 3, 0.1 * (np.arange(len(y)) % 5)
    fit = sm.GLM(y, sm.add_constant(x), family=family, offset=offset, freq_weights=counts).fit(tol=1e-14, maxiter=200)
    return judged(fit) | {"deviance": float(fit.deviance), "pearson": float(fit.pearson_chi2), "scale": float(fit.scale)}


def log_linear_ridge(name, x, y, alpha):
    """By scikit-learn, with weights."""
    settings = {"alpha": alpha, "solver": "newton-cholesky", "tol": 1e-13, "max_iter": 1000}
    model = TweedieRegressor(power=1.5, link="log", **settings) if name == "tweedie" else FAMILIES[name][1](**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, y, sample_weight=1.0 + np.arange(len(y)) % 3)
    return {"coefficients": model.coef_.tolist(), "intercepts": [float(model.intercept_)]}


def log_linear_net(name, x, y, alpha, l1_ratio):
    """By glum."""
    model = GeneralizedLinearRegressor(
        family=name, link="log", alpha=alpha, l1_ratio=l1_ratio, gradient_tol=1e-11, max_iter=1000, scale_predictors=False
    ).fit(x, y)
    return {"coefficients": model.coef_.tolist(), "intercepts": [float(model.intercept_)]}


diabetes, progression = load("diabetes")
progression = numbers(progression)
scaled = StandardScaler().fit_transform(diabetes)
digits, digit = load("digits")
breast, diagnosis = load("breast_cancer")
iris, species = load("iris")
collinear = np.column_stack([diabetes, diabetes[:, 0] + diabetes[:, 1], 2 * diabetes[:, 2]])
repeated = 1.0 + np.arange(len(breast)) % 3

golden = {
    "versions": {"scikit-learn": sklearn.__version__, "numpy": np.__version__},
    "least_squares_diabetes": least_squares(diabetes, progression),
    "least_squares_digits": least_squares(digits, numbers(digit)),
    "least_squares_digits_through_origin": least_squares(digits, numbers(digit), intercept=False),
    "least_squares_collinear": least_squares(collinear, progression),
    "least_squares_wide": least_squares(digits[:40], numbers(digit)[:40]),
    "ridge_diabetes": ridge(diabetes, progression, 1.0),
    "ridge_digits": ridge(digits, numbers(digit), 10.0),
    "ridge_wide": ridge(digits[:40], numbers(digit)[:40], 1.0),
    "lasso_diabetes": elastic_net(diabetes, progression, 0.5, 1.0),
    "elastic_net_diabetes": elastic_net(diabetes, progression, 0.1, 0.5),
    "lasso_digits": elastic_net(digits, numbers(digit), 0.01, 1.0),
    "lasso_wide": elastic_net(digits[:40], numbers(digit)[:40], 0.02, 1.0),
    "elastic_net_wide": elastic_net(digits[:40], numbers(digit)[:40], 0.05, 0.3),
    "lasso_cv_diabetes": lasso_cv(diabetes, progression),
    **{f"{name}_diabetes": log_linear(name, scaled, progression) for name in ("poisson", "gamma", "tweedie")},
    "poisson_ridge_diabetes": log_linear_ridge("poisson", scaled, progression, 2.0),
    "gamma_ridge_diabetes": log_linear_ridge("gamma", scaled, progression, 0.3),
    "tweedie_ridge_diabetes": log_linear_ridge("tweedie", scaled, progression, 0.5),
    "poisson_lasso_diabetes": log_linear_net("poisson", scaled, progression, 3.0, 1.0),
    "gamma_elastic_net_diabetes": log_linear_net("gamma", scaled, progression, 0.05, 0.5),
    **{f"inference_{e}": inference(diabetes, progression, e) for e in ("nonrobust", "HC0", "HC1", "HC2", "HC3")},
    "inference_through_origin": inference_through_origin(diabetes + 1.0, progression),
    "inference_logistic": inference_logistic(StandardScaler().fit_transform(breast)[:, 4:10], diagnosis),
    "inference_poisson": inference_log_linear("poisson", scaled, progression),
    "inference_gamma": inference_log_linear("gamma", scaled, progression),
    "logistic_breast_cancer": logistic(breast, diagnosis),
    "logistic_breast_cancer_weighted": logistic(breast, diagnosis, repeated, "balanced"),
    "multinomial_iris": logistic(iris, species),
    "multinomial_digits": logistic(digits, digit),
}
pathlib.Path(__file__).with_name("golden.json").write_text(json.dumps(golden, indent=1) + "\n")
