"""Writes xgboost/*.json and *.ubj, small models of XGBoost, and xgboost.json: rows and what XGBoost makes of them.

    python xgboost.py --old && python xgboost.py

The first call needs XGBoost 2.1, the second 3.4, with NumPy and pandas. Either keeps the other's cases.
"""

import sys

# This file must not stand in for the package.
HERE = sys.path.pop(0)
import xgboost as xgb

sys.path.insert(0, HERE)
import json

import numpy as np
import pandas as pd

import common

FOLDER = common.HERE / "xgboost"
OLD = "--old" in sys.argv
BASE = {"max_depth": 3, "eta": 0.3, "nthread": 1, "seed": 3, "min_child_weight": 2}
ODD = [np.nan, -0.0, 0.0, 1e-36, -1e-36, 1e-45, -1e-45, 1e-46, 5e-324, 3.4e38, -3.4e38]


def labels(y, objective):
    if objective.startswith(("binary", "reg:logistic")):
        return (y > 0.2).astype(float)
    if objective.startswith("multi"):
        return np.digitize(y, [-1.0, 0.8]).astype(float)
    if objective in ("count:poisson", "reg:tweedie"):
        return np.floor(np.exp(0.4 * y) + 0.3)
    if objective in ("reg:gamma", "survival:cox", "survival:aft", "reg:squaredlogerror"):
        return np.exp(0.4 * y) + 0.1
    if objective.startswith("rank"):
        return np.digitize(y, [0.5] if objective == "rank:map" else [-1.0, 0.5]).astype(float)
    return y


def thresholds(file):
    model = json.loads(file.read_text())["learner"]["gradient_booster"]
    found = set()
    for tree in model.get("gbtree", model)["model"]["trees"]:
        kinds = tree["split_type"]
        for node, left in enumerate(tree["left_children"]):
            if left != -1 and kinds[node] == 0:
                found.add((int(tree["split_indices"][node]), float(np.float32(tree["split_conditions"][node]))))
    return sorted(found)


def two(values):
    return np.asarray(values, dtype=np.float64).reshape(len(values), -1)


def answers(name, booster, x, categories=(), odd=ODD, frame=None):
    as_json = FOLDER / f"{name}.json"
    booster.save_model(as_json)
    file = as_json
    found = common.rows(x, thresholds(as_json), 17, common.steps32, categories, odd, most=4)
    # Text goes along in its own form.
    cells, data = (found, found) if frame is None else frame(found)
    types = booster.feature_types
    names = booster.feature_names
    matrix = lambda rows: xgb.DMatrix(rows, feature_types=types, feature_names=names, enable_categorical=True, nthread=1)
    case = {
        "name": name,
        "file": file.name,
        "x": common.matrix(cells),
        "raw": common.matrix(two(booster.predict(matrix(data), output_margin=True))),
        "predicted": common.matrix(two(booster.predict(matrix(data)))),
    }
    some = data[:6] if frame is None else data.iloc[:6]
    if not name.endswith("vector-leaves"):
        contributions = booster.predict(matrix(some), pred_contribs=True)
        case["contributions"] = common.matrix(contributions.reshape(-1, contributions.shape[-1]).astype(np.float64))
    # Half of the models are kept as UBJSON.
    if len(name) % 2 == 1:
        file = as_json.with_suffix(".ubj")
        booster.save_model(file)
        as_json.unlink()
        case["file"] = file.name
    return case


def cases():
    plain, missing = dict(), dict(missing=0.15)
    cats = [(1, 6), (4, 40)]
    for objective in ["reg:squarederror", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror", "reg:logistic",
                      "reg:gamma", "reg:tweedie", "count:poisson", "survival:cox", "binary:logistic", "binary:logitraw",
                      "binary:hinge", "rank:ndcg", "rank:pairwise", "rank:map"]:
        yield objective.replace(":", "-"), dict(objective=objective), missing, [], 4
    yield "quantiles", dict(objective="reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9]), missing, [], 3
    yield "quantile", dict(objective="reg:quantileerror", quantile_alpha=0.3), missing, [], 3
    yield "expectiles", dict(objective="reg:expectileerror", expectile_alpha=[0.2, 0.8]), missing, [], 3
    yield "multi-softprob", dict(objective="multi:softprob", num_class=3), missing, [], 3
    yield "multi-softmax", dict(objective="multi:softmax", num_class=3), plain, [], 2
    yield "base-score", dict(objective="binary:logistic", base_score=0.2), missing, [], 2
    yield "base-score-squared", dict(objective="reg:squarederror", base_score=-2.5), missing, [], 2
    yield "exact", dict(objective="reg:squarederror", tree_method="exact"), missing, [], 4
    yield "lossguide", dict(objective="reg:squarederror", grow_policy="lossguide", max_leaves=9, max_depth=0), missing, [], 4
    yield "pruned", dict(objective="reg:squarederror", tree_method="exact", gamma=60.0, max_depth=5), missing, [], 3
    yield "categories", dict(objective="reg:squarederror", max_cat_to_onehot=1), missing, cats, 5
    yield "categories-one-hot", dict(objective="binary:logistic", max_cat_to_onehot=100, max_depth=4), missing, cats, 4
    yield "categories-multi", dict(objective="multi:softprob", num_class=3), plain, cats, 2
    yield "dart", dict(objective="reg:squarederror", booster="dart", rate_drop=0.5), missing, [], 5
    yield "dart-multi", dict(objective="multi:softprob", num_class=3, booster="dart", rate_drop=0.5, one_drop=1), missing, [], 3
    yield "forest", dict(objective="reg:squarederror", num_parallel_tree=4, subsample=0.6, eta=1.0), missing, [], 1
    yield "forest-boosted", dict(objective="multi:softprob", num_class=3, num_parallel_tree=2, subsample=0.6), missing, [], 2
    yield "monotone", dict(objective="reg:squarederror", monotone_constraints="(1,-1,0,0,1)"), missing, [], 4
    yield "one-leaf", dict(objective="reg:squarederror", max_depth=0, min_child_weight=1e9), missing, [], 1
    yield "targets", dict(objective="reg:squarederror"), missing, [], 3
    yield "labels", dict(objective="binary:logistic"), missing, [], 3
    yield "vector-leaves", dict(objective="reg:squarederror", multi_strategy="multi_output_tree"), missing, [], 3
    yield "aft", dict(objective="survival:aft"), missing, [], 3
    yield "custom", dict(disable_default_eval_metric=1), missing, [], 3


def main():
    FOLDER.mkdir(exist_ok=True)
    prefix = "old-" if OLD else ""
    kept = []
    path = common.HERE / "xgboost.json"
    versions = {}
    if path.exists():
        stored = json.loads(path.read_text())
        kept = [case for case in stored["cases"] if case["name"].startswith("old-") != OLD]
        versions = stored["versions"]
    for case in FOLDER.iterdir():
        if case.name.startswith("old-") == OLD:
            case.unlink()
    found = []
    some_old = ("reg-squarederror", "binary-logistic", "multi-softprob", "categories", "dart", "forest-boosted", "count-poisson",
                "base-score", "targets", "pruned", "vector-leaves")
    for number, (name, params, options, categories, rounds) in enumerate(cases()):
        if OLD and name not in some_old:
            continue
        x, y = common.table(200 + number, categories=categories, **options)
        objective = params.get("objective", "reg:squarederror")
        target = labels(y, objective)
        if name in ("targets", "vector-leaves"):
            target = np.column_stack([y, np.nan_to_num(x[:, 0]) - y])
        if name == "labels":
            target = np.column_stack([y > 0, np.nan_to_num(x[:, 0]) > y]).astype(float)
        kinds = ["c" if any(column == j for column, _ in categories) else "q" for j in range(x.shape[1])]
        data = xgb.DMatrix(x, target, feature_types=kinds, enable_categorical=True, nthread=1)
        if objective.startswith("rank"):
            data.set_group([20] * 12)
        if name == "aft":
            data.set_float_info("label_lower_bound", target)
            data.set_float_info("label_upper_bound", target)
        custom = (lambda score, data: (score - data.get_label(), np.ones(len(score)))) if name == "custom" else None
        booster = xgb.train({**BASE, **params}, data, rounds, obj=custom)
        # How the file has it.
        fresh = xgb.Booster()
        fresh.load_model(booster.save_raw("json"))
        found.append(answers(prefix + name, fresh, x, [c for c, _ in categories]))
    if not OLD:
        found += frames()
    versions["old" if OLD else "xgboost"] = xgb.__version__
    versions["numpy"], versions["pandas"] = np.__version__, pd.__version__
    common.write("xgboost", versions, sorted(kept + found, key=lambda case: case["name"]))


def frames():
    """Categories that the file names: text and whole numbers."""
    x, y = common.table(4, missing=0.05, categories=[(1, 7), (2, 6)])
    texts = np.array(["red", "amber", "blue", "Zoë", "coral", "drab", "a b"])
    wholes = np.array([10, -3, 7, 100, 2000, 5])

    def frame(x):
        # Categories that the model does not know are refused by it.
        code = lambda c, count: None if np.isnan(c) or not 0 <= c < count else int(c)
        colours = [None if code(c, 7) is None else str(texts[code(c, 7)]) for c in x[:, 1]]
        codes = [np.nan if code(c, 6) is None else float(wholes[code(c, 6)]) for c in x[:, 2]]
        columns = {"size": x[:, 0], "colour": colours, "code": codes, "x": x[:, 3], "z": x[:, 4]}
        given = [[columns[name][row] for name in columns] for row in range(len(x))]
        data = pd.DataFrame(columns)
        data["colour"] = pd.Categorical(data["colour"], categories=list(texts))
        data["code"] = pd.Categorical(pd.array([None if np.isnan(c) else int(c) for c in codes], dtype="Int64"),
                                      categories=list(sorted(wholes)))
        return [["nan" if cell is None else cell for cell in row] for row in given], data

    for name, params in [("pandas", dict(objective="reg:squarederror", max_cat_to_onehot=1)),
                         ("pandas-binary", dict(objective="binary:logistic", max_cat_to_onehot=10))]:
        data = xgb.DMatrix(frame(x)[1], labels(y, params["objective"]), enable_categorical=True, nthread=1)
        booster = xgb.train({**BASE, **params}, data, 4)
        fresh = xgb.Booster()
        fresh.load_model(booster.save_raw("json"))
        yield answers(name, fresh, x, [1, 2], [np.nan, 0.0, -0.0], frame) | {"inputs": ["size", "colour", "code", "x", "z"]}


main()
