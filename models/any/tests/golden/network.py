"""Writes network/: small networks of tables, their files in ONNX, and what ONNX Runtime makes of these.

    python network.py TILEWISE

TILEWISE is the program. Needs ONNX Runtime 1.32, onnx and NumPy.

A model that is there stays as it is: that files of older versions are read is a part of the test, and what a newer one trains has more
in its metadata and, since sums have been cut otherwise, other last bits. Whoever wants one trained anew removes its file first. It is
then trained on the portable set of instructions, so that its bytes are the same on every machine.
"""

import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort

ROWS = 240
JOBS = ["a b", "clerk", "drab", "red", "Zoë", "über"]
MANY = [f"t{number:02}" for number in range(40)]


def table(seed, names):
    """Columns of numbers (two of them far from 0), categories and truths, some of them missing, and a target."""
    random = np.random.default_rng(seed)
    score, columns = np.zeros(ROWS), {}
    for name in names:
        gone = random.random(ROWS) < 0.1
        if name in ("job", "many"):
            texts = JOBS if name == "job" else MANY
            codes = random.integers(0, len(texts), ROWS)
            score += np.where(gone, -0.5, np.cos(5.0 * codes))
            columns[name] = ["" if lost else texts[code] for code, lost in zip(codes, gone)]
        elif name == "flag":
            flag = random.random(ROWS) < 0.5
            score += 0.7 * flag
            columns[name] = ["" if lost else str(truth).lower() for truth, lost in zip(flag, gone)]
        else:
            x = random.normal(0, 2, ROWS).round(2)
            score += np.sin(x)
            columns[name] = ["" if lost else repr(float(x + 4096 * (name > "u"))) for x, lost in zip(x, gone)]
    return columns, score + random.normal(0, 0.2, ROWS)


def targets(kind, y):
    """Target columns by name."""
    if kind == "several":
        return {"y": target("number", y), "z": 0.01 * np.cos(y) - 3.0}
    return {"y": target(kind, y)}


def target(kind, y):
    if kind == "two":
        return np.where(y > 0.4, "yes", "no")
    if kind == "three":
        return np.array(["high", "low", "mid"])[np.digitize(y, [-1.0, 0.8])]
    return 1000 + 50 * y


ALL = ["u", "job", "v", "flag", "many", "w"]
# Name, columns, target, settings.
CASES = [
    ("two", ALL, "two", ["hidden=12,8", "activation=gelu", "dropout=0.2"]),
    ("three", ["u", "v"], "three", ["hidden=9", "activation=tanh"]),
    ("numbers", ALL, "number", ["hidden=16", "activation=silu"]),
    ("embedded", ALL, "three", ["hidden=8", "embedding=6"]),
    ("pixels", list("abcdefghijkl"), "two", ["image=2x3x2", "layers=conv4x3,norm,avgpool2s1p1,conv3x1,pool2s1,dropout0.1,6"]),
    ("categories", ["job", "many"], "number", ["hidden=none"]),
    ("several", ["u", "job", "w"], "several", ["hidden=7", "activation=identity"]),
    ("double", ["u", "v"], "two", ["hidden=6", "precision=double"]),
]


def run(*arguments):
    environment = os.environ | {"TILEWISE_ISA": "portable"}
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stderr


def number(value):
    value = float(value)
    return "nan" if math.isnan(value) else value


def matrix(values):
    values = np.asarray(values)
    return [[number(cell) for cell in row] for row in values.reshape(len(values), -1)]


def train(binary, model, columns, goals, settings):
    with tempfile.TemporaryDirectory() as aside:
        path = pathlib.Path(aside) / "t.csv"
        lines = [",".join([*columns, *goals])]
        lines += [",".join(map(str, row)) for row in zip(*columns.values(), *goals.values())]
        path.write_text("\n".join(lines) + "\n")
        sets = [f"--set={setting}" for setting in ["epochs=6", "batch_size=16", "learning_rate=0.01", *settings]]
        run(binary, "train", "--model", "network", "--data", path, "--target", ",".join(goals), "--out", model, "-q", *sets)


def write(folder, binary, place, case):
    name, names, kind, settings = case
    columns, y = table(7 + place, names)
    model = folder / f"{name}.safetensors"
    if not model.exists():
        train(binary, model, columns, targets(kind, y), settings)
    file = folder / f"{name}.onnx"
    told = run(binary, "export", "--model", model, "--to", "onnx", "--out", file)
    # Where the file was written is nobody's business.
    notes = "".join(line for line in told.splitlines(keepends=True) if not line.startswith("written: "))
    read = onnx.load(file)
    onnx.checker.check_model(read, full_check=True)
    fields = json.loads(read.metadata_props[0].value)
    assert [field["name"] for field in fields] == names
    texts = [field.get("dictionary") or (["false", "true"] if field["kind"] == "boolean" else []) for field in fields]
    coded = [[math.nan if cell == "" else of.index(cell) if of else float(cell) for cell in columns[name]]
             for name, of in zip(names, texts)]
    x = np.array(coded, dtype=np.float32).T[:24]
    random = np.random.default_rng(place)
    for column, of in enumerate(texts):
        # A category that the dictionary lacks, and numbers far from those of training.
        for odd in [len(of)] if fields[column]["kind"] == "categorical" else [] if of else [0.0, -30.0, 5000.0]:
            row = x[random.integers(0, 24)].copy()
            row[column] = odd
            x = np.vstack([x, row])
    x = np.vstack([x, np.full(len(names), math.nan, dtype=np.float32)])
    session = ort.InferenceSession(file)
    *label, predicted = session.run(None, {"cells": x})
    told = {"x": matrix(x), "predicted": matrix(predicted)}
    if label:
        told["label"] = list(label[0])
    return {"name": name, "notes": notes, "onnx": told}


def main(binary):
    folder = pathlib.Path(__file__).parent / "network"
    folder.mkdir(exist_ok=True)
    found = [write(folder, binary, place, case) for place, case in enumerate(CASES)]
    versions = {module.__name__: module.__version__ for module in [ort, onnx, np]}
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in found)
    (folder / "answers.json").write_text(f'{{"versions":{json.dumps(versions)},"cases":[\n{lines}\n]}}\n')
    print(len(found), "models", sum(f.stat().st_size for f in folder.iterdir()), "bytes")


main(*sys.argv[1:])
