"""Losses of LightGBM and of scikit-learn's HistGradientBoosting on tables of cli/data, at the settings of peers.rs: writes peers.json
beside this file. Every fourth row, from the first on, is held out.

python -m venv v && v/bin/pip install lightgbm==4.7.0 scikit-learn==1.9.1 numpy==2.4.6 && v/bin/python peers.py
"""
import json
import pathlib
import lightgbm
import numpy as np
import sklearn
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

HERE = pathlib.Path(__file__).parent
DATA = HERE.parents[3] / "cli/data"
STAGES, LEAVES, ROWS_OF_LEAF, RATE, L2 = 100, 15, 20, 0.1, 1.0


def table(name):
    """Cells, answers (numbers, or classes by the order of their names) and whether they are numbers."""
    lines = (DATA / f"{name}.csv").read_text().splitlines()[1:]
    cells = [line.split(",") for line in lines]
    x = np.array([[float(cell) for cell in row[:-1]] for row in cells])
    y = [row[-1] for row in cells]
    if name == "diabetes":
        return x, np.array([float(cell) for cell in y])
    names = sorted(set(y))
    return x, np.array([names.index(cell) for cell in y])


def of_lightgbm(x, y, objective):
    options = {"objective": objective, "num_leaves": LEAVES, "min_data_in_leaf": ROWS_OF_LEAF, "learning_rate": RATE,
               "lambda_l2": L2, "min_sum_hessian_in_leaf": 1e-3, "max_bin": 255, "min_data_in_bin": 1, "num_threads": 1,
               "feature_pre_filter": False, "deterministic": True, "verbose": -1}
    if objective == "multiclass":
        options["num_class"] = int(y.max()) + 1
    model = lightgbm.train(options, lightgbm.Dataset(x, y, params=options), STAGES)
    return model.predict


def of_sklearn(x, y, objective):
    kind, loss = (HistGradientBoostingClassifier, "log_loss")
    if objective in ("regression", "l1"):
        kind, loss = HistGradientBoostingRegressor, {"regression": "squared_error", "l1": "absolute_error"}[objective]
    model = kind(loss=loss, max_iter=STAGES, max_leaf_nodes=LEAVES, min_samples_leaf=ROWS_OF_LEAF, learning_rate=RATE,
                 l2_regularization=L2, max_bins=255, early_stopping=False).fit(x, y)
    if objective == "binary":
        return lambda x: model.predict_proba(x)[:, 1]
    return model.predict if kind is HistGradientBoostingRegressor else model.predict_proba


def loss(y, predicted, objective):
    """The mean loss as models report it."""
    if objective == "regression":
        return float(np.mean((predicted - y) ** 2) / 2)
    if objective == "l1":
        return float(np.mean(np.abs(predicted - y)))
    shares = np.where(y == 1, predicted, 1 - predicted) if objective == "binary" else predicted[np.arange(len(y)), y]
    return float(np.mean(-np.log(shares)))


CASES = [("diabetes", "squared", "regression"), ("diabetes", "absolute", "l1"), ("breast_cancer", "logistic", "binary"),
         ("digits", "softmax", "multiclass")]
golden = []
for name, ours, objective in CASES:
    x, y = table(name)
    out = np.arange(len(y)) % 4 == 0
    case = {"data": name, "loss": ours}
    for peer, fit in (("lightgbm", of_lightgbm), ("sklearn", of_sklearn)):
        predict = fit(x[~out], y[~out], objective)
        case[peer] = {"training": loss(y[~out], predict(x[~out]), objective), "held_out": loss(y[out], predict(x[out]), objective)}
    golden.append(case)
versions = {"lightgbm": lightgbm.__version__, "sklearn": sklearn.__version__, "numpy": np.__version__}
(HERE / "peers.json").write_text(json.dumps({"versions": versions, "cases": golden}, indent=1) + "\n")
