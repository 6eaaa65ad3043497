"""Writes catboost/*.json, small models of CatBoost, and catboost.json: rows and what CatBoost makes of them.

    python catboost.py

needs CatBoost 1.2.10, NumPy 2 and pandas.
"""

import sys

# This file must not stand in for the package.
HERE = sys.path.pop(0)
import catboost

sys.path.insert(0, HERE)
import json

import numpy as np
import pandas as pd

import common

FOLDER = common.HERE / "catboost"
BASE = {"depth": 3, "iterations": 4, "learning_rate": 0.4, "verbose": 0, "allow_writing_files": False, "thread_count": 1, "random_seed": 3,
        "one_hot_max_size": 200}
ODD = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-36, -1e-36, 1e-45, -1e-45, 1e-46, 5e-324, 1e300, -1e300, 3.4028235e38, -3.4028235e38]
COLOURS = np.array(["red", "amber", "blue", "Zoë", "coral", "drab", "a b"])


def labels(y, loss):
    if loss == "Logloss":
        return (y > 0.2).astype(int)
    if loss.startswith("MultiClass"):
        return np.digitize(y, [-1.0, 0.8])
    if loss == "CrossEntropy":
        return 1 / (1 + np.exp(-y))
    if loss.startswith(("Poisson", "Tweedie")):
        return np.floor(np.exp(0.4 * y) + 0.3)
    if loss in ("LogLinQuantile", "MAPE"):
        return np.exp(0.4 * y) + 0.1
    return y


EXPONENTS = ("Poisson", "Tweedie", "LogLinQuantile")


def two(values):
    return np.asarray(values, dtype=np.float64).reshape(len(values), -1)


def answers(name, model, x, loss, categories=(), odd=ODD, frame=None):
    path = FOLDER / f"{name}.json"
    told = json.loads(path.read_text())
    floats = told["features_info"]["float_features"]
    thresholds = [(f["flat_feature_index"], b) for f in floats for b in f["borders"] or []]
    found = common.rows(x, thresholds, 17, common.steps32, categories, odd, most=4)
    # Where training saw none, NaN is an error.
    for feature in floats:
        if feature["nan_value_treatment"] == "AsIs":
            column = feature["flat_feature_index"]
            found[np.isnan(found[:, column]), column] = 0.25
    cells, data = (found, found) if frame is None else frame(found)
    kind = "Probability" if loss in ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll", "MultiLogloss") else \
        "Exponent" if loss.startswith(EXPONENTS) else "RawFormulaVal"
    predicted = two(model.predict(data, prediction_type=kind))
    if loss in ("Logloss", "CrossEntropy"):
        predicted = predicted[:, 1:]
    case = {
        "name": name,
        "x": common.matrix(cells),
        "raw": common.matrix(two(model.predict(data, prediction_type="RawFormulaVal"))),
        "predicted": common.matrix(predicted),
    }
    # CatBoost 1.2.10's contributions of lossguide trees do not sum to its own predictions; those of monotone trees are not the Shapley
    # values of the leaf weights in the file, in whatever order the splits are taken (by brute force).
    if "lossguide" in name or name == "monotone":
        return case
    some = data[:6] if frame is None else data.iloc[:6]
    pool = catboost.Pool(some, cat_features=[] if frame is None else ["colour", "code"])
    contributions = np.asarray(model.get_feature_importance(pool, type="ShapValues"))
    case["contributions"] = common.matrix(contributions.reshape(-1, contributions.shape[-1]))
    return case


def cases():
    missing = dict(missing=0.15)
    for loss in ["RMSE", "MAE", "MAPE", "Quantile:alpha=0.3", "Expectile:alpha=0.3", "LogLinQuantile", "Poisson", "Tweedie:variance_power=1.5",
                 "Huber:delta=1", "Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll", "Lq:q=2", "LogCosh"]:
        yield loss.split(":")[0].lower(), dict(loss_function=loss), missing
    yield "no-missing", dict(loss_function="RMSE"), dict()
    yield "nan-max", dict(loss_function="RMSE", nan_mode="Max"), missing
    yield "nan-min", dict(loss_function="Logloss", nan_mode="Min"), missing
    yield "depthwise", dict(loss_function="RMSE", grow_policy="Depthwise"), missing
    yield "lossguide", dict(loss_function="RMSE", grow_policy="Lossguide", max_leaves=7), missing
    yield "lossguide-classes", dict(loss_function="MultiClass", grow_policy="Lossguide", max_leaves=5, iterations=2), missing
    yield "multi-rmse", dict(loss_function="MultiRMSE"), missing
    yield "multi-quantile", dict(loss_function="MultiQuantile:alpha=0.1,0.5,0.9"), missing
    yield "multi-logloss", dict(loss_function="MultiLogloss"), missing
    yield "rank", dict(loss_function="YetiRank"), missing
    yield "pairwise", dict(loss_function="QueryRMSE"), missing
    yield "monotone", dict(loss_function="RMSE", monotone_constraints=[1, -1, 0, 0, 1]), missing
    yield "no-start", dict(loss_function="RMSE", boost_from_average=False), missing
    yield "depth-1", dict(loss_function="RMSE", depth=1, iterations=6), missing
    yield "depth-6", dict(loss_function="RMSE", depth=6, iterations=2), missing
    yield "texts", dict(loss_function="Logloss"), missing


def frame(x):
    code = lambda c, count: -1 if np.isnan(c) or not 0 <= c < count else int(c)
    colours = ["never seen" if code(c, 7) < 0 else str(COLOURS[code(c, 7)]) for c in x[:, 1]]
    codes = [8 if code(c, 6) < 0 else [10, -3, 7, 100, 2000, 5][code(c, 6)] for c in x[:, 2]]
    columns = {"size": x[:, 0], "colour": colours, "code": codes, "x": x[:, 3], "z": x[:, 4]}
    given = [[columns[name][row] for name in columns] for row in range(len(x))]
    return given, pd.DataFrame(columns)


def main():
    FOLDER.mkdir(exist_ok=True)
    found = []
    for number, (name, params, options) in enumerate(cases()):
        x, y = common.table(300 + number, **options)
        loss = params["loss_function"]
        target = labels(y, loss)
        if name in ("multi-rmse", "multi-logloss"):
            target = np.column_stack([y, np.nan_to_num(x[:, 0]) - y])
            target = target if name == "multi-rmse" else (target > 0).astype(int)
        if name == "texts":
            target = np.where(target > 0, "yes", "no")
        group = np.repeat(np.arange(12), 20) if name in ("rank", "pairwise") else None
        model = catboost.CatBoost({**BASE, **params}).fit(catboost.Pool(x, target, group_id=group))
        save(model, name)
        found.append(answers(name, model, x, loss))
    x, y = common.table(4, missing=0.05, categories=[(1, 7), (2, 6)])
    for name, params in [("categories", dict(loss_function="RMSE", depth=4)), ("categories-logloss", dict(loss_function="Logloss")),
                         ("categories-multiclass", dict(loss_function="MultiClass")),
                         ("categories-lossguide", dict(loss_function="RMSE", grow_policy="Lossguide", max_leaves=7))]:
        pool = catboost.Pool(frame(x)[1], labels(y, params["loss_function"]), cat_features=["colour", "code"])
        model = catboost.CatBoost({**BASE, **params}).fit(pool)
        save(model, name, pool=pool)
        found.append(answers(name, model, x, params["loss_function"], [1, 2], [np.nan, 0.0, -0.0], frame))
    # Refused by us: statistics of the target, and texts that the file does not tell.
    pool = catboost.Pool(frame(x)[1], y, cat_features=["colour", "code"])
    save(catboost.CatBoost({**BASE, "one_hot_max_size": 2}).fit(pool), "ctr", pool=pool)
    save(catboost.CatBoost(BASE).fit(pool), "no-texts")
    save(catboost.CatBoost({**BASE, "loss_function": "RMSEWithUncertainty"}).fit(x, y), "uncertainty")
    versions = {"catboost": catboost.__version__, "numpy": np.__version__, "pandas": pd.__version__}
    common.write("catboost", versions, found)


def save(model, name, pool=None):
    """Without what is not about the model: it is long, and some of it is never the same."""
    path = FOLDER / f"{name}.json"
    model.save_model(path, format="json", pool=pool)
    told = json.loads(path.read_text())
    info = told["model_info"]
    told["model_info"] = {"params": {"loss_function": info["params"]["loss_function"]},
                          **({"class_params": info["class_params"]} if "class_params" in info else {})}
    path.write_text(json.dumps(told, separators=(",", ":")) + "\n")


main()
