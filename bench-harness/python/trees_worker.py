"""What the peers of trees, forests and boosting have in common: the settings, the operations, the model that is kept."""
import os
import sys

import numpy as np
from worker import Worker

THREADS = int(os.environ["TILEWISE_THREADS"])


class Settings:
    """What `settings.txt` says, see report/src/worker/trees.rs; None for no limit."""

    def __init__(self, text):
        told = dict(line.split(" ", 1) for line in text.splitlines())
        self.operation = told.pop("operation")
        self.model = tuple(sorted(told.items()))
        self.seed, self.categories, self.trees = int(told["seed"]), int(told["categories"]), int(told["trees"])
        self.depth, self.leaves = int(told["depth"]) or None, int(told["leaves"]) or None
        self.features = int(told["features"])
        if "learning_rate" in told:
            self.learning_rate, self.l2 = float(told["learning_rate"]), float(told["l2"])
            self.min_rows, self.min_hessian = int(told["min_rows"]), float(told["min_hessian"])

    def categorical(self, features):
        """The numbers of the features that are codes."""
        return list(range(features - self.categories, features))


class Library:
    """One library. `grow(data, classes, settings)` answers a model, `predict(model, x, classes)` an array of rows x classes."""

    version, configuration = "", ""

    def prepare(self, x, settings):
        """The container of numbers in which its users hold them; nothing that it computes from them."""
        return x

    def bin(self, x, y, classes, settings):
        """Its own container, binned."""
        raise ValueError("it does not bin apart from training")

    def train(self, x, y, classes, settings):
        return self.grow(self.bin(x, y, classes, settings), classes, settings)

    def row(self, x, i):
        return x[i : i + 1]

    def predict_row(self, model, x, i, classes):
        return self.predict(model, self.row(x, i), classes)


class Trees(Worker):
    def __init__(self, library):
        self.library, self.version = library, library.version
        self.configuration = ", ".join(filter(None, [library.configuration, f"Python {sys.version.split()[0]}"]))
        self.kept, self.key, self.model = None, None, None

    def load(self, problem):
        rows, tests, features, self.classes = problem.shape
        self.settings = Settings((problem.folder / "settings.txt").read_text())
        self.x = self.library.prepare(problem.read("x", rows, features), self.settings)
        self.tests, self.count = self.library.prepare(problem.read("t", tests, features), self.settings), tests
        y = problem.read("y", rows)
        self.y = y.astype(np.int32) if self.classes else y
        self.row, self.binned = 0, None
        self.key = (problem.shape, self.settings.model)
        if self.settings.operation == "grow":
            self.binned = self.library.bin(self.x, self.y, self.classes, self.settings)
        if self.kept != self.key:
            self.kept, self.model = None, None
            if self.settings.operation not in ("train", "grow"):
                self.train()

    def train(self):
        self.kept, self.model = None, None
        if self.binned is None:
            self.model = self.library.train(self.x, self.y, self.classes, self.settings)
        else:
            self.model = self.library.grow(self.binned, self.classes, self.settings)
        self.kept = self.key

    def run(self):
        if self.settings.operation in ("train", "grow"):
            self.train()
        elif self.settings.operation == "predict":
            self.found = self.library.predict(self.model, self.tests, self.classes)
        else:
            self.row = (self.row + 1) % self.count
            self.found = self.library.predict_row(self.model, self.tests, self.row, self.classes)

    def result(self):
        return self.library.predict(self.model, self.tests, self.classes)
