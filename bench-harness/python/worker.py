"""A system under comparison, in a process of its own: the Python side of the protocol that report/src/worker.rs describes."""
import mmap
import sys
import time
from pathlib import Path

import numpy as np


# Seconds, as in the worker in Rust: of untimed work before timed work, and of work that needs none.
WARMING, LONG = 5e-3, 0.25


class Worker:
    """What a peer implements: `version` (text), `load(problem)`, `run()` (this alone is timed), `result()` (an array)."""

    configuration = ""
    _pace = None  # Seconds that one run of the loaded problem took.

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
        if command == "configuration":
            return self.configuration
        if command == "load":
            kind, element, shape, layout, folder = rest.split(" ", 4)
            self._pace = None
            self.load(Problem(kind, element, [int(n) for n in shape.split("x")], layout, Path(folder)))
            return ""
        if command == "run":
            count = int(rest)
            if self._pace is not None and self._pace < LONG:
                start = time.perf_counter()
                while time.perf_counter() - start < WARMING:
                    self.run()
            start = time.perf_counter()
            for _ in range(count):
                self.run()
            seconds = time.perf_counter() - start
            self._pace = seconds / max(count, 1)
            return seconds
        if command == "result":
            np.ascontiguousarray(self.result(), dtype="<f8").tofile(rest)
            return ""
        raise ValueError(f"expected version, configuration, load, run or result, not {command}")


class Problem:
    def __init__(self, kind, element, shape, layout, folder):
        self.kind, self.element, self.shape, self.folder = kind, element, shape, folder
        self.transposed = [letter == "t" for letter in layout[:2]]
        self.leading = int(layout[2:] or 0)
        self.dtype = np.dtype(element.replace("f32", "<f4").replace("f64", "<f8"))

    def read(self, name, *shape):
        return np.fromfile(self.folder / f"{name}.bin", dtype=self.dtype).reshape(shape)

    def arrays(self, *lengths):
        """Arrays of NaN as the workers in Rust have them: one after another, each from a cache line on; from 2 MiB on the
        first begins on a huge page, and huge pages are asked for."""
        starts, end, huge_page = [], 0, 2 << 20
        for length in lengths:
            starts.append(end)
            end += (length * self.dtype.itemsize + 63) // 64 * 64
        huge = end >= huge_page
        memory = mmap.mmap(-1, max(end, 64) + huge_page * huge)
        if huge and hasattr(mmap, "MADV_HUGEPAGE"):
            memory.madvise(mmap.MADV_HUGEPAGE)
        values = np.frombuffer(memory, dtype=self.dtype)
        skipped = -values.ctypes.data % huge_page // self.dtype.itemsize if huge else 0
        values.fill(np.nan)
        at = [skipped + start // self.dtype.itemsize for start in starts]
        return [values[a : a + length] for a, length in zip(at, lengths)]

    def product(self):
        """A, B and C of the problem `gemm`, stored as its layout says."""
        m, n, k = self.shape
        lines = [(k, m) if self.transposed[0] else (m, k), (n, k) if self.transposed[1] else (k, n), (m, n)]
        leading = [self.leading or line for _, line in lines]
        arrays = self.arrays(*(count * ld for (count, _), ld in zip(lines, leading)))
        a, b, c = (x.reshape(-1, ld)[:, :line] for x, (_, line), ld in zip(arrays, lines, leading))
        a[:], b[:] = self.read("a", *lines[0]), self.read("b", *lines[1])
        return a.T if self.transposed[0] else a, b.T if self.transposed[1] else b, c
