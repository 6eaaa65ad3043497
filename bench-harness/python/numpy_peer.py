"""NumPy: matrix product and addition, into an array that is there already."""
import numpy as np
from worker import Worker


class NumPy(Worker):
    version = np.__version__

    def load(self, problem):
        if problem.kind == "gemm":
            m, n, k = problem.shape
            a, b = problem.read("a", m, k), problem.read("b", k, n)
            function = np.matmul
        elif problem.kind == "add":
            m, n = problem.shape
            a, b = problem.read("a", m, n), problem.read("b", m, n)
            function = np.add
        else:
            raise ValueError(f"{problem.kind} is not what this peer does")
        self.out = out = np.empty((m, n), a.dtype)
        self.run = lambda: function(a, b, out=out)

    def result(self):
        return self.out


NumPy().serve()
