"""The model of `compare serve` behind BentoML; see serve_peer.py."""

import bentoml

from serve_peer import Predictor


# No access log, as with the others: here it is on unless told otherwise.
@bentoml.service(workers=2, logging={"access": {"enabled": False}})
class Peer:
    def __init__(self):
        self.predictor = Predictor()

    @bentoml.api
    def predict(self, row: dict[str, float]) -> dict[str, float]:
        return {"prediction": self.predictor(row)}
