"""The model of `compare serve` behind BentoML; see serve_peer.py."""

import bentoml

from serve_peer import Predictor


@bentoml.service(workers=2)
class Peer:
    def __init__(self):
        self.predictor = Predictor()

    @bentoml.api
    def predict(self, row: dict[str, float]) -> dict[str, float]:
        return {"prediction": self.predictor(row)}
