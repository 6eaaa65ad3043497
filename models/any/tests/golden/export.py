"""Writes export/: small models, their files in formats of others, and what LightGBM, XGBoost and ONNX Runtime make of these.

    python export.py TILEWISE [FOLDER]

TILEWISE is the program; with a FOLDER all cases are written there, without one the first of each kind beside this file. Needs
LightGBM 4.7, XGBoost 3.4 (2.1 gives the same but for pandas), ONNX Runtime 1.32, onnx, NumPy and pandas. `TILEWISE_EXPORTED=FOLDER
cargo test -p tilewise-models --test export` checks a folder.
"""

import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pandas as pd

import lightgbm as lgb
import onnx
import onnxruntime as ort
import xgboost as xgb

ROWS = 240
JOBS = ["a b", "clerk", "drab", "red", "Zoë", "über"]
MANY = [f"t{number:02}" for number in range(40)]


def table(seed, missing=0.0, jobs=False, many=False, flags=False, scale=1.0):
    random = np.random.default_rng(seed)
    columns = {name: (random.normal(0, 2, ROWS)).round(2) * scale for name in ["u", "v", "w"]}
    score = np.sin(columns["u"] / scale) + 0.5 * columns["v"] / scale + np.where(columns["w"] > 0, 1.0, -0.4)
    for name in columns:
        gone = random.random(ROWS) < missing
        score = score + np.where(gone, 0.8, 0)
        columns[name] = np.where(gone, np.nan, columns[name])
    for name, texts in [("job", JOBS if jobs else []), ("many", MANY if many else [])]:
        if texts:
            codes = random.integers(0, len(texts), ROWS)
            gone = random.random(ROWS) < missing / 2
            score = score + np.where(gone, -0.5, np.cos(5.0 * codes))
            columns[name] = [None if lost else texts[code] for code, lost in zip(codes, gone)]
    if flags:
        flag = random.random(ROWS) < 0.5
        score = score + 0.7 * flag
        columns["flag"] = np.where(flag, "true", "false")
    return pd.DataFrame(columns), score + random.normal(0, 0.3, ROWS)


def target(kind, y):
    if kind == "two":
        return np.where(y > 0.4, "yes", "no")
    if kind == "rare":
        return np.where(y > np.sort(y)[-6], "yes", "no")
    if kind == "three":
        return np.array(["high", "low", "mid"])[np.digitize(y, [-1.0, 0.8])]
    if kind == "counts":
        return np.floor(np.exp(0.5 * y) + 0.3).astype(int)
    if kind == "positive":
        return np.exp(0.4 * y) + 0.1
    if kind == "relevance":
        return np.digitize(y, [-1.0, 0.5, 1.5])
    return y


# Name, family, settings, target, table, more arguments.
GBDT = {"stages": "4", "max_leaves": "6", "min_samples_leaf": "5", "learning_rate": "0.3", "category_smoothing": "1"}
FOREST = {"trees": "4", "max_leaves": "6", "min_samples_leaf": "3"}
MISSING = dict(missing=0.15)
CATS = dict(missing=0.15, jobs=True, many=True, flags=True)
CASES = [
    ("numbers", "gbdt", {}, "", MISSING, []),
    ("logistic", "gbdt", {}, "two", CATS, []),
    ("softmax", "gbdt", {"stages": "3"}, "three", CATS, ["--unseen", "majority"]),
    ("poisson", "gbdt", {"loss": "poisson"}, "counts", MISSING, []),
    ("categories", "gbdt", {}, "", CATS, ["--unseen", "majority"]),
    ("forest", "forest", {}, "", CATS, []),
    ("forest-classes", "forest", {"trees": "3"}, "three", MISSING, []),
    ("tree-two-targets", "tree", {"max_leaves": "8"}, "both", CATS, ["--unseen", "majority"]),
    ("half-missing", "gbdt", {"stages": "6"}, "", dict(missing=0.6), []),
    ("one-leaf", "gbdt", {"min_samples_leaf": "200"}, "", MISSING, []),
    # The others are for folders.
    ("no-missing", "gbdt", {}, "", {}, []),
    ("absolute", "gbdt", {"loss": "absolute"}, "", CATS, []),
    ("huber", "gbdt", {"loss": "huber:0.7"}, "", MISSING, []),
    ("quantile", "gbdt", {"loss": "quantile:0.3"}, "", MISSING, []),
    ("gamma", "gbdt", {"loss": "gamma"}, "positive", CATS, []),
    ("tweedie", "gbdt", {"loss": "tweedie:1.3"}, "positive", MISSING, []),
    ("lambda-rank", "gbdt", {"loss": "lambda_rank:20"}, "relevance", MISSING, ["--group", "query"]),
    ("logistic-rare", "gbdt", {"stages": "40"}, "rare", MISSING, []),
    ("softmax-of-two", "gbdt", {"loss": "softmax"}, "two", MISSING, []),
    ("softmax-categories", "gbdt", {"stages": "30"}, "three", CATS, []),
    ("categories-error", "gbdt", {}, "", CATS, ["--unseen", "error"]),
    ("categories-held-out", "gbdt", {}, "", CATS, ["--unseen", "majority", "--test-fraction", "0.6"]),
    ("categories-no-missing", "gbdt", {}, "", dict(jobs=True, many=True), []),
    ("dart", "gbdt", {"stages": "20", "drop_rate": "0.4", "skip_drop": "0"}, "", MISSING, []),
    ("goss", "gbdt", {"stages": "20", "goss": "0.2:0.2"}, "two", CATS, []),
    ("oblivious", "gbdt", {"growth": "oblivious", "max_depth": "4", "max_leaves": "none"}, "", CATS, []),
    ("depth-wise", "gbdt", {"growth": "depth-wise", "max_leaves": "30", "min_samples_leaf": "1"}, "", MISSING, []),
    ("early-stopping", "gbdt", {"stages": "60", "early_stopping": "5"}, "", CATS, []),
    ("monotone", "gbdt", {"monotone": "u:up,v:up"}, "", MISSING, []),
    ("many-stages", "gbdt", {"stages": "300", "learning_rate": "0.1"}, "", CATS, []),
    ("large", "gbdt", {"stages": "20"}, "", dict(missing=0.1, scale=1e30), []),
    ("tiny", "gbdt", {"stages": "20"}, "", dict(missing=0.1, scale=1e-30), []),
    ("offset", "gbdt", {"loss": "poisson"}, "counts", MISSING, ["--offset", "exposure"]),
    ("odd-names", "gbdt", {}, "", MISSING, []),
    ("forest-large", "forest", {"trees": "100", "max_leaves": "none"}, "", CATS, []),
    ("forest-two", "forest", {"trees": "30", "max_leaves": "none"}, "two", CATS, []),
    ("forest-two-targets", "forest", {"trees": "10"}, "both", CATS, []),
    ("extra-trees", "extra-trees", {"trees": "30"}, "three", CATS, []),
    ("tree-numbers", "tree", {"max_leaves": "none"}, "", CATS, []),
    ("tree-two", "tree", {"max_leaves": "20"}, "two", CATS, []),
]
KEPT = 10


def run(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stderr


def write(folder, binary, number, case):
    name, family, settings, kind, options, more = case
    frame, y = table(100 + number, **options)
    inputs = list(frame.columns)
    if name == "odd-names":
        frame.columns = inputs = ["a b", "x<1>[2]", 'say "größe":{}']
    data = frame.copy()
    data["y"] = target(kind, y)
    targets = ["y"]
    if kind == "both":
        data["z"] = 3.0 - y * y
        targets = ["y", "z"]
    if "query" in more:
        data["query"] = np.arange(ROWS) // 20
    if "exposure" in more:
        data["exposure"] = np.linspace(-1, 1, ROWS)
    base = GBDT if family == "gbdt" else FOREST if family != "tree" else {}
    sets = [f"--set={key}={value}" for key, value in {**base, **settings}.items()]
    model = folder / f"{name}.safetensors"
    with tempfile.TemporaryDirectory() as aside:
        path = pathlib.Path(aside) / "t.csv"
        data.to_csv(path, index=False)
        run(binary, "train", "--model", family, "--data", path, "--target", ",".join(targets), "--out", model, "-q", *sets, *more)
    notes = {}
    for to, ending in [("lightgbm", "txt"), ("xgboost", "json"), ("onnx", "onnx")]:
        told = run(binary, "export", "--model", model, "--to", to, "--out", folder / f"{name}.{ending}")
        # Where the file was written is nobody's business.
        notes[to] = "".join(line for line in told.splitlines(keepends=True) if not line.startswith("written: "))
    told = json.loads(onnx.load(folder / f"{name}.onnx").metadata_props[0].value)
    assert [field["name"] for field in told] == inputs
    texts = [field.get("dictionary") or (["false", "true"] if field["kind"] == "boolean" else []) for field in told]
    cells = [[math.nan if not isinstance(cell, str) else of.index(cell) for cell in frame[column]] if of else frame[column]
             for column, of in zip(inputs, texts)]
    return [len(field.get("dictionary", [])) for field in told], np.array(cells, dtype=np.float64).T, notes


def rows(cells, kinds, thresholds, step, infinities, seed):
    """Training rows; rows with a cell on a threshold and one step beside it; odd numbers; categories that training did not see."""
    random = np.random.default_rng(seed)
    found = [cells[row].copy() for row in random.integers(0, len(cells), 24)]
    for place in sorted(random.permutation(len(thresholds))[:8]):
        feature, threshold = thresholds[place]
        for value in step(threshold):
            row = cells[random.integers(0, len(cells))].copy()
            row[feature] = value
            found.append(row)
    odd = [math.nan, 0.0, -0.0, 1e30, -1e30] + ([math.inf, -math.inf] if infinities else [])
    for value in odd:
        for _ in range(2):
            row = cells[random.integers(0, len(cells))].copy()
            for column, count in enumerate(kinds):
                if count == 0 and random.random() < 0.6:
                    row[column] = value
            found.append(row)
    for column, count in enumerate(kinds):
        for code in [0, count - 1, count, math.nan] if count else []:
            for _ in range(2):
                row = cells[random.integers(0, len(cells))].copy()
                row[column] = code
                found.append(row)
    return np.array(found)


def steps64(t):
    return [np.nextafter(t, -np.inf), t, np.nextafter(t, np.inf)]


def steps32(t):
    """The f32 around a number, of which one may be it."""
    near = np.float32(t)
    return [float(x) for x in [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]]


def number(value):
    value = float(value)
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf") if math.isinf(value) else value


def matrix(values):
    values = np.asarray(values)
    return [[number(cell) for cell in row] for row in values.reshape(len(values), -1)]


def thresholds_of(booster):
    found = set()

    def walk(node):
        if "threshold" in node:
            if node["decision_type"] == "<=" and abs(float(node["threshold"])) < 3e38:
                found.add((node["split_feature"], float(node["threshold"])))
            walk(node["left_child"])
            walk(node["right_child"])

    try:
        dumped = booster.dump_model()
    except json.JSONDecodeError:
        # A name has signs of JSON in it.
        return []
    for tree in dumped["tree_info"]:
        walk(tree["tree_structure"])
    return sorted(found)


def answers(folder, number, case, kinds, cells):
    name = case[0]
    booster = lgb.Booster(model_file=folder / f"{name}.txt")
    thresholds = thresholds_of(booster)
    x = rows(cells, kinds, thresholds, steps64, True, number)
    case = {"name": name, "lightgbm": {"x": matrix(x), "raw": matrix(booster.predict(x, raw_score=True)),
                                       "predicted": matrix(booster.predict(x))}}
    # What the library calls raw scores of means are sums.
    x = rows(cells.astype(np.float32).astype(np.float64), kinds, thresholds, steps32, False, number).astype(np.float32)
    booster = xgb.Booster(model_file=folder / f"{name}.json")
    types = ["c" if count else "float" for count in kinds]
    told = xgb.DMatrix(x, feature_names=booster.feature_names, feature_types=types, enable_categorical=True)
    case["xgboost"] = {"x": matrix(x), "raw": matrix(booster.predict(told, output_margin=True)), "predicted": matrix(booster.predict(told))}
    x = rows(cells.astype(np.float32).astype(np.float64), kinds, thresholds, steps32, True, number + 1).astype(np.float32)
    onnx.checker.check_model(onnx.load(folder / f"{name}.onnx"), full_check=True)
    session = ort.InferenceSession(folder / f"{name}.onnx")
    *label, predicted = session.run(None, {"cells": x})
    alone = np.concatenate([session.run(None, {"cells": row[None, :]})[-1] for row in x])
    case["onnx"] = {"x": matrix(x), "predicted": matrix(predicted), "alone": matrix(alone)}
    if label:
        case["onnx"]["label"] = list(label[0])
    return case


def main(binary, folder=None):
    cases = CASES[:KEPT] if folder is None else CASES
    folder = pathlib.Path(folder) if folder else pathlib.Path(__file__).parent / "export"
    folder.mkdir(exist_ok=True)
    found = []
    for place, case in enumerate(cases):
        kinds, cells, notes = write(folder, binary, place, case)
        found.append({**answers(folder, place, case, kinds, cells), "notes": notes})
    versions = {module.__name__: module.__version__ for module in [lgb, xgb, ort, onnx, np, pd]}
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in found)
    (folder / "answers.json").write_text(f'{{"versions":{json.dumps(versions)},"cases":[\n{lines}\n]}}\n')
    print(len(found), "models", sum(f.stat().st_size for f in folder.iterdir()), "bytes")


main(*sys.argv[1:])
