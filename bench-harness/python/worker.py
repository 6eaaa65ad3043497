"""A system under comparison, in a process of its own: the Python side of the protocol that report/src/worker.rs describes."""
import sys
import time
from pathlib import Path

import numpy as np


class Worker:
    """What a peer implements: `version` (text), `load(problem)`, `run()` (this alone is timed), `result()` (an array)."""

    def serve(self):
        for line in sys.stdin:
            command, _, rest = line.rstrip("\n").partition(" ")
            try:
                answer = "ok " + str(self._answer(command, rest))
            except Exception as error:  # Whatever a peer raises is its answer; the comparison goes on without it.
                answer = f"no {type(error).__name__}: {error}"
            print(answer.replace("\n", " "), flush=True)

    def _answer(self, command, rest):
        if command == "version":
            return self.version
        if command == "load":
            kind, element, shape, folder = rest.split(" ", 3)
            self.load(Problem(kind, element, [int(n) for n in shape.split("x")], Path(folder)))
            return ""
        if command == "run":
            count = int(rest)
            start = time.perf_counter()
            for _ in range(count):
                self.run()
            return time.perf_counter() - start
        if command == "result":
            np.ascontiguousarray(self.result(), dtype="<f8").tofile(rest)
            return ""
        raise ValueError(f"expected version, load, run or result, not {command}")


class Problem:
    def __init__(self, kind, element, shape, folder):
        self.kind, self.element, self.shape, self.folder = kind, element, shape, folder

    def read(self, name, *shape):
        values = np.fromfile(self.folder / f"{name}.bin", dtype="<" + self.element.replace("f32", "f4").replace("f64", "f8"))
        return values.reshape(shape)
