"""The model of `compare serve`, and the services of Python that answer with it.

    python serve_peer.py train FILE                       trains a LightGBM model of 28 features
    gunicorn -w 4 serve_peer:flask_app                    the usual way to put a model behind an address
    uvicorn --workers N serve_peer:fastapi_app            its successor

The services read the file that TILEWISE_MODEL names; TILEWISE_SERVICE is flask, fastapi or onnx, which takes the same model
from the file of that ending beside it. A request is one row, an object of 28 numbers by name; the reply
is {"prediction": number}.
"""

import os
import sys

import lightgbm
import numpy as np

FEATURES = 28


def train(path):
    random = np.random.default_rng(1)
    x = random.standard_normal((20_000, FEATURES))
    y = x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]) + x[:, 3:9].sum(axis=1) + random.standard_normal(len(x))
    names = [f"feature_{i}" for i in range(FEATURES)]
    data = lightgbm.Dataset(x, label=y, feature_name=names)
    parameters = {"objective": "regression", "num_leaves": 31, "num_threads": 1, "verbose": -1, "deterministic": True}
    lightgbm.train(parameters, data, num_boost_round=100).save_model(path)


class Predictor:
    """One row at a time on one thread: whoever has four processes has no use for threads in each."""

    def __init__(self):
        self.booster = lightgbm.Booster(model_file=os.environ["TILEWISE_MODEL"])
        self.names = self.booster.feature_name()

    def __call__(self, row):
        cells = np.array([[row[name] for name in self.names]])
        return float(self.booster.predict(cells, num_threads=1)[0])


class OnnxPredictor:
    """The same by ONNX Runtime, one thread too."""

    def __init__(self):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = os.path.splitext(os.environ["TILEWISE_MODEL"])[0] + ".onnx"
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.names = [f"feature_{i}" for i in range(FEATURES)]

    def __call__(self, row):
        cells = np.array([[row[name] for name in self.names]], dtype=np.float32)
        return float(self.session.run(None, {self.input: cells})[0].ravel()[0])


if os.environ.get("TILEWISE_SERVICE") == "flask":
    import flask

    flask_app = flask.Flask("peer")
    flask_predictor = Predictor()

    @flask_app.post("/predict")
    def flask_predict():
        return {"prediction": flask_predictor(flask.request.get_json())}


if os.environ.get("TILEWISE_SERVICE") in ("fastapi", "onnx"):
    import fastapi

    fastapi_app = fastapi.FastAPI()
    fastapi_predictor = Predictor() if os.environ["TILEWISE_SERVICE"] == "fastapi" else OnnxPredictor()

    @fastapi_app.post("/predict")
    async def fastapi_predict(row: dict[str, float]):
        return {"prediction": fastapi_predictor(row)}


if __name__ == "__main__" and sys.argv[1:2] == ["train"]:
    train(sys.argv[2])
