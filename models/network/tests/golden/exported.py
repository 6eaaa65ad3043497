"""Writes exported/answers.csv: what ONNX Runtime 1.32 makes of rows of normal numbers with the networks in exported/, which

    cargo run -p tilewise-network --example onnx models/network/tests/golden/exported

writes. A line is the name of a network, its inputs, and its outputs, all f32. Needs onnxruntime, onnx and NumPy.
"""

import pathlib

import numpy as np
import onnx
import onnxruntime as ort

folder = pathlib.Path(__file__).parent / "exported"
lines = []
for path in sorted(folder.glob("*.onnx")):
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = ort.InferenceSession(path)
    width = session.get_inputs()[0].shape[1]
    x = np.random.default_rng(1).normal(0, 2, (6, width)).round(2).astype(np.float32)
    x[0] = 0
    [y] = session.run(["output"], {"input": x})
    for row, answer in zip(x, y):
        numbers = [f"{float(number):.9g}" for number in [*row, *answer]]
        lines.append(",".join([path.stem, *numbers]) + "\n")
(folder / "answers.csv").write_text("".join(lines))
print(len(lines), "rows of", sum(f.stat().st_size for f in folder.iterdir()), "bytes")
