"""A model behind Flask, for gunicorn:

    chmod a-w m.safetensors
    TILEWISE_MODEL=m.safetensors gunicorn -w 4 -b 127.0.0.1:4000 wsgi:app

Each worker maps the file, whose pages are in memory once. One that can be written to might change under them, so it is read by each
worker for itself. The switch to the server of Tilewise is one line,

    tilewise serve m.safetensors --bind 127.0.0.1:4000

and clients need not notice: `POST /predict` takes and gives the same there, `GET /v2/health/ready` and `/live` too. What is refused is
refused there, in other words.
"""

import json
import os
import warnings

import numpy as np
import pandas as pd
import tilewise
from flask import Flask, jsonify, request

app = Flask(__name__)
path = os.environ.get("TILEWISE_MODEL", "m.safetensors")
about = os.stat(path)
stays = about.st_mode & 0o222 == 0 and about.st_uid in (0, os.geteuid())
model = tilewise.load(path, mmap_mode="r" if stays else None)
# A request is small: a worker answers it by itself.
model.n_jobs = 1
# Where training had no names they are those that the model's file has.
named = hasattr(model, "feature_names_in_")
names = list(model.feature_names_in_) if named else [f"x{i}" for i in range(model.n_features_in_)]
# Rows that are lists come in the order of the columns.
warnings.filterwarnings("ignore", message="X does not have valid feature names")


def cells_of(row):
    """The cells of a row in the order of the model's columns, not of the request's."""
    if isinstance(row, list):
        if len(row) != len(names):
            raise ValueError(f"a row has {len(row)} features, but the model expects {len(names)}: {', '.join(names)}")
        return row
    if not isinstance(row, dict):
        raise ValueError("a row is a list of cells, or an object with a value for each column")
    if unknown := [name for name in row if name not in names]:
        raise ValueError(f"column {json.dumps(unknown[0])} is not one of the model's inputs: {', '.join(map(json.dumps, names))}")
    if absent := [name for name in names if name not in row]:
        raise ValueError(f"column {json.dumps(absent[0])} is not given; a missing value is null")
    return [row[name] for name in names]


def rows_of(body):
    """Rows as a table or an array, and whether it is one alone: `row`, `[row, ...]`, or either as "inputs" or "instances" of an object; a
    row is a list of cells in the order of the columns, or an object with a value for each column."""
    if isinstance(body, dict) and len(body) == 1 and next(iter(body)) in ("inputs", "instances"):
        [body] = body.values()
    if not isinstance(body, (list, dict)):
        raise ValueError("a row or a list of rows is accepted")
    alone = isinstance(body, dict) or (body != [] and not isinstance(body[0], (list, dict)))
    rows = [cells_of(row) for row in ([body] if alone else body)]
    # An array of numbers is made in a tenth of the time that a table takes.
    if named and any(type(cell) not in (int, float) for row in rows for cell in row):
        return pd.DataFrame(rows, columns=names), alone
    return np.array(rows, dtype=np.float64), alone


def refused(constant):
    raise ValueError(f"{constant} is no number of JSON; a missing value is null")


@app.post("/predict")
def predict():
    """`{"prediction": ...}` for a row, `{"predictions": [...]}` for a list; of classes with their probabilities."""
    try:
        rows, alone = rows_of(json.loads(request.get_data(), parse_constant=refused))
        classifies = hasattr(model, "predict_proba")
        if len(rows) == 0:
            return jsonify(predictions=[], probabilities=[]) if classifies else jsonify(predictions=[])
        if not classifies:
            found = model.predict(rows).tolist()
            return jsonify(prediction=found[0]) if alone else jsonify(predictions=found)
        # Labels are text there.
        classes = [str(label).lower() if isinstance(label, bool) else str(label) for label in model.classes_.tolist()]
        shares = model.predict_proba(rows)
        found = [classes[best] for best in shares.argmax(axis=1)]
        probabilities = [dict(zip(classes, row)) for row in shares.tolist()]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        return jsonify(error=str(error)), 400
    if alone:
        return jsonify(prediction=found[0], probabilities=probabilities[0])
    return jsonify(predictions=found, probabilities=probabilities)


@app.get("/v2/health/live")
@app.get("/v2/health/ready")
def ready():
    """That the model is there, without which nothing is."""
    return ""
