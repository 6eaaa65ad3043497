"""Writes lightgbm/*.txt, small models of LightGBM, and lightgbm.json: rows and what LightGBM makes of them.

    python lightgbm.py

needs LightGBM 4.7, NumPy 2 and pandas 3. A second call with LightGBM 3.3.5 and `--old` writes lightgbm/v3-*.txt first, whose
answers are then given by the newer one.
"""

import sys

# This file must not stand in for the package.
HERE = sys.path.pop(0)
import lightgbm as lgb

sys.path.insert(0, HERE)
import numpy as np
import pandas as pd

import common

FOLDER = common.HERE / "lightgbm"
BASE = {
    "num_leaves": 6, "min_data_in_leaf": 5, "learning_rate": 0.3, "verbose": -1, "num_threads": 1, "seed": 3,
    "deterministic": True, "min_data_per_group": 5, "cat_smooth": 1.0, "cat_l2": 1.0,
}
ZERO = np.float64(np.float32(1e-35))
ODD = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-36, -1e-36, ZERO, -ZERO, *common.steps64(ZERO), *common.steps64(-ZERO), 1e300,
       -1e300, 5e-324]


def labels(y, objective):
    if objective in ("binary", "cross_entropy_labels"):
        return (y > 0.2).astype(float)
    if objective.startswith("multiclass"):
        return np.digitize(y, [-1.0, 0.8]).astype(float)
    if objective in ("cross_entropy", "cross_entropy_lambda"):
        return 1 / (1 + np.exp(-y))
    if objective in ("poisson", "tweedie"):
        return np.floor(np.exp(0.4 * y) + 0.3)
    if objective == "gamma":
        return np.exp(0.4 * y) + 0.1
    if objective in ("lambdarank", "rank_xendcg"):
        return np.digitize(y, [-1.0, 0.5, 1.5]).astype(float)
    return y


def thresholds(booster):
    found = []

    def walk(node):
        if "threshold" in node:
            if node["decision_type"] == "<=":
                found.append((node["split_feature"], float(node["threshold"])))
            walk(node["left_child"])
            walk(node["right_child"])

    for tree in booster.dump_model()["tree_info"]:
        walk(tree["tree_structure"])
    return sorted(set(found))


def answers(name, booster, x, categories=(), odd=ODD, cells=None):
    found = common.rows(x, thresholds(booster), 17, common.steps64, categories, odd, most=10)
    given = found if cells is None else cells(found)
    frame = given if cells is None else given[1]
    # What the library calls raw scores of random forests are sums; predictions are made of means.
    over = booster.current_iteration() if name.startswith("random-forest") else 1
    case = {
        "name": name,
        "x": common.matrix(found if cells is None else given[0]),
        "raw": common.matrix(two(booster.predict(frame, raw_score=True)) / over),
        "predicted": common.matrix(two(booster.predict(frame))),
    }
    # Contributions of a few rows: they are long.
    some = frame[:6] if cells is None else frame.iloc[:6]
    if not booster.params.get("linear_tree"):
        case["contributions"] = common.matrix(booster.predict(some, pred_contrib=True) / over)
    return case


def two(values):
    return values.reshape(len(values), -1)


def train(params, x, y, rounds=5, init_model=None, **data):
    given = lgb.Dataset(x, y, **data)
    return lgb.train({**BASE, **params}, given, rounds, init_model=init_model)


def cases():
    plain, missing = dict(), dict(missing=0.15)
    cats = [(1, 6), (4, 40)]
    few = [(1, 3)]
    group = {"group": [20] * 12}
    yield "regression", dict(objective="regression"), missing, [], {}
    yield "no-missing", dict(objective="regression"), plain, [], {}
    yield "use-missing-false", dict(objective="regression", use_missing=False), missing, [], {}
    yield "zero-as-missing", dict(objective="regression", zero_as_missing=True), dict(missing=0.1, zeros=0.3), [], {}
    yield "many-zeros", dict(objective="regression"), dict(missing=0.1, zeros=0.5), [], {}
    yield "sqrt", dict(objective="regression", reg_sqrt=True), missing, [], {}
    for objective in ["regression_l1", "huber", "fair", "poisson", "quantile", "mape", "gamma", "tweedie"]:
        yield objective, dict(objective=objective), missing, [], {}
    yield "binary", dict(objective="binary"), missing, [], {}
    yield "binary-sigmoid", dict(objective="binary", sigmoid=0.7, boost_from_average=False), missing, [], {}
    yield "binary-unbalanced", dict(objective="binary", is_unbalance=True), missing, few, {}
    yield "multiclass", dict(objective="multiclass", num_class=3), missing, [], {}
    yield "multiclassova", dict(objective="multiclassova", num_class=3, sigmoid=1.5), missing, [], {}
    yield "cross_entropy", dict(objective="cross_entropy"), missing, [], {}
    yield "cross_entropy_lambda", dict(objective="cross_entropy_lambda"), missing, [], {}
    yield "lambdarank", dict(objective="lambdarank"), missing, [], group
    yield "rank_xendcg", dict(objective="rank_xendcg"), missing, [], group
    yield "categories", dict(objective="regression"), missing, cats, {}
    yield "categories-one-hot", dict(objective="regression", max_cat_to_onehot=50), plain, cats, {}
    yield "categories-multiclass", dict(objective="multiclass", num_class=3), missing, cats, {}
    yield "categories-zero-as-missing", dict(objective="regression", zero_as_missing=True), dict(zeros=0.1), cats, {}
    yield "random-forest", dict(boosting="rf", objective="regression", bagging_freq=1, bagging_fraction=0.6), missing, [], {}
    yield "random-forest-binary", dict(boosting="rf", objective="binary", bagging_freq=1, bagging_fraction=0.6), missing, few, {}
    yield "random-forest-classes", dict(boosting="rf", objective="multiclass", num_class=3, bagging_freq=1,
                                        bagging_fraction=0.6), missing, [], {}
    yield "dart", dict(boosting="dart", objective="regression", drop_rate=0.5), missing, [], {}
    yield "goss", dict(data_sample_strategy="goss", objective="binary"), missing, [], {}
    yield "monotone", dict(objective="regression", monotone_constraints=[1, -1, 0, 0, 1]), missing, [], {}
    yield "extra-trees", dict(objective="regression", extra_trees=True), missing, [], {}
    yield "one-leaf", dict(objective="regression", min_data_in_leaf=200), missing, [], {}
    yield "chain", dict(objective="regression", num_leaves=30, max_depth=-1, min_data_in_leaf=1), missing, [], {}
    yield "no-objective", dict(objective="none"), missing, [], {}


def main(old):
    FOLDER.mkdir(exist_ok=True)
    if old:
        for name, params, categories in [("v3-binary", dict(objective="binary"), [(1, 6)]),
                                         ("v3-regression", dict(objective="regression"), [])]:
            x, y = common.table(5, missing=0.1, categories=categories)
            booster = train(params, x, labels(y, params["objective"]), categorical_feature=[c for c, _ in categories])
            booster.save_model(FOLDER / f"{name}.txt")
        return
    found = []
    for number, (name, params, options, categories, data) in enumerate(cases()):
        x, y = common.table(100 + number, categories=categories, **options)
        columns = [column for column, _ in categories]
        if params["objective"] == "none":
            params = {**params, "objective": lambda score, data: (score - data.get_label(), np.ones(len(score)))}
            target = y
        else:
            target = labels(y, params["objective"])
        booster = train(params, x, target, categorical_feature=columns, **data)
        booster.save_model(FOLDER / f"{name}.txt")
        booster = lgb.Booster(model_file=FOLDER / f"{name}.txt")
        found.append(answers(name, booster, x, columns))
    # Continued with other data: one feature has nodes of two missing types.
    x, y = common.table(1, zeros=0.3)
    first = train(dict(objective="regression"), x, y, 2)
    x, y = common.table(2, missing=0.2)
    booster = train(dict(objective="regression"), x, y, 2, init_model=first)
    booster.save_model(FOLDER / "continued.txt")
    # A row of both kinds is not what either was trained on, but has an answer.
    found.append(answers("continued", lgb.Booster(model_file=FOLDER / "continued.txt"), x))
    # Names with signs that the format uses.
    x, y = common.table(3, missing=0.1)
    names = ["a=b", "x1", "größe", "d.e", "f-g"]
    booster = train(dict(objective="regression"), x, y, feature_name=names)
    booster.save_model(FOLDER / "names.txt")
    found.append(answers("names", lgb.Booster(model_file=FOLDER / "names.txt"), x) | {"inputs": names})
    # Categories of pandas: text, whole numbers, truths.
    x, y = common.table(4, missing=0.05, categories=[(1, 7), (2, 6), (3, 2)])
    texts = np.array(["red", "amber", "blue", "Zoë", "coral", "drab", "a b"])
    wholes = np.array([10, -3, 7, 100, 2000, 5])

    def text(codes, texts):
        return [None if np.isnan(c) else texts[int(c)] if 0 <= c < len(texts) else "never seen" for c in codes]

    def whole(codes):
        return [np.nan if np.isnan(c) else wholes[int(c)] if 0 <= c < 6 else 8 for c in codes]

    def frame(x, categories=None):
        columns = {"size": x[:, 0], "colour": text(x[:, 1], texts), "code": whole(x[:, 2]), "flag": x[:, 3] == 1, "z": x[:, 4]}
        given = [[columns[name][row] for name in columns] for row in range(len(x))]
        data = pd.DataFrame(columns)
        data["colour"] = pd.Categorical(data["colour"], categories=sorted(texts) if categories is None else categories)
        data["code"] = pd.Categorical(data["code"], categories=sorted(wholes))
        data["flag"] = pd.Categorical(data["flag"], categories=[False, True])
        cells = [["nan" if cell is None else str(cell) if isinstance(cell, str) else float(cell) for cell in row] for row in given]
        return cells, data

    for name, params in [("pandas", dict(objective="regression")), ("pandas-binary", dict(objective="binary", max_cat_to_onehot=10))]:
        booster = train(params, frame(x)[1], labels(y, params["objective"]))
        booster.save_model(FOLDER / f"{name}.txt")
        booster = lgb.Booster(model_file=FOLDER / f"{name}.txt")
        found.append(answers(name, booster, x, [1, 2], [np.nan, 0.0, -0.0], frame) | {"inputs": ["size", "colour", "code", "flag", "z"]})
    for name, categories in [("v3-binary", [(1, 6)]), ("v3-regression", [])]:
        x, _ = common.table(5, missing=0.1, categories=categories)
        booster = lgb.Booster(model_file=FOLDER / f"{name}.txt")
        found.append(answers(name, booster, x, [c for c, _ in categories]))
    # Refused by us.
    x, y = common.table(6, missing=0.1)
    train(dict(objective="regression", linear_tree=True), x, y, 2).save_model(FOLDER / "linear.txt")
    versions = {"lightgbm": lgb.__version__, "old": "3.3.5", "numpy": np.__version__, "pandas": pd.__version__}
    common.write("lightgbm", versions, found)


main("--old" in sys.argv)
