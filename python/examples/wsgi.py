"""A model behind Flask, for gunicorn:

    TILEWISE_MODEL=m.safetensors gunicorn --preload -w 4 -b 127.0.0.1:4000 wsgi:app

With `--preload` the model is read once, before the workers fork, and they share its pages for as long as nobody writes to them. The
same file goes to `tilewise serve m.safetensors` instead, whose routes are told by the README of the server.
"""

import os

import numpy as np
import tilewise
from flask import Flask, jsonify, request

app = Flask(__name__)
model = tilewise.load(os.environ.get("TILEWISE_MODEL", "m.safetensors"))
# A request is small: a worker answers it by itself.
model.n_jobs = 1


@app.post("/predict")
def predict():
    """Rows as lists of numbers, `{"rows": [[1.5, 2.0], ...]}`, to `{"predictions": [...]}`."""
    try:
        rows = np.asarray(request.get_json()["rows"], dtype=np.float64)
        return jsonify(predictions=model.predict(rows).tolist())
    except (KeyError, TypeError, ValueError) as error:
        return jsonify(error=str(error)), 400
