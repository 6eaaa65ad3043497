"""Writes imported/*.onnx, networks that are put together by hand in the ways that exporters write them, and imported/answers.csv: what ONNX
Runtime 1.32 makes of rows of normal numbers with them. A line is the name of a network, its inputs, and its outputs, all f32.
Needs onnxruntime, onnx and NumPy.
"""

import pathlib

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

folder = pathlib.Path(__file__).parent / "imported"
folder.mkdir(exist_ok=True)
random = np.random.default_rng(7)


def numbers(name, *shape, spread=0.5):
    return numpy_helper.from_array(random.normal(0, spread, shape).astype(np.float32), name)


def listed(name, *shape):
    """Numbers that are not raw bytes, as helper.make_tensor writes them."""
    data = random.normal(0, 0.5, shape).astype(np.float32)
    return helper.make_tensor(name, TensorProto.FLOAT, shape, data.ravel().tolist())


def norm(name, width):
    mean = [numbers(f"{name}.{what}", width) for what in ("gain", "bias", "mean")]
    return [*mean, numpy_helper.from_array(random.uniform(0.5, 2, width).astype(np.float32), f"{name}.var")]


def scalar(name, value):
    return numpy_helper.from_array(np.array(value, np.float32), name)


def save(name, shape, nodes, held, outputs):
    nodes = [helper.make_node(op, inputs, [output], name=output, **more) for op, inputs, output, more in nodes]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", outputs])],
        held,
    )
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / f"{name}.onnx")


# Products with and without numbers added on either side, GELU as an operator, a sum around layers, a softmax.
save(
    "rows",
    [6],
    [
        ("MatMul", ["x", "w0"], "p0", {}),
        ("Add", ["p0", "b0"], "h0", {}),
        ("Gelu", ["h0"], "h1", {}),
        ("LayerNormalization", ["h1", "gain", "bias"], "h2", {"axis": -1, "epsilon": 1e-4}),
        ("Gemm", ["h2", "w1", "b1"], "h3", {}),
        ("LeakyRelu", ["h3"], "h4", {"alpha": 0.2}),
        ("MatMul", ["h4", "w2"], "h5", {}),
        ("Add", ["h5", "h2"], "h6", {}),
        ("Dropout", ["h6"], "h7", {}),
        ("Gemm", ["h7", "w3", "b3"], "h8", {"transB": 1}),
        ("Softmax", ["h8"], "y", {"axis": 1}),
    ],
    [
        *(numbers("w0", 6, 8), listed("b0", 8), numbers("gain", 8), numbers("bias", 8), listed("w1", 8, 5)),
        *(numbers("b1", 5), numbers("w2", 5, 8), numbers("w3", 3, 8), numbers("b3", 3)),
    ],
    3,
)

# Functions as PyTorch's exporter writes them out where it has no operator.
save(
    "functions",
    [5],
    [
        ("Gemm", ["x", "w0", "b0"], "h0", {"transB": 1}),
        ("Div", ["h0", "root"], "g0", {}),
        ("Erf", ["g0"], "g1", {}),
        ("Add", ["g1", "one"], "g2", {}),
        ("Mul", ["h0", "g2"], "g3", {}),
        ("Mul", ["g3", "half"], "h1", {}),
        ("MatMul", ["h1", "w1"], "p1", {}),
        ("Add", ["b1", "p1"], "h2", {}),
        ("Sigmoid", ["h2"], "s", {}),
        ("Mul", ["h2", "s"], "h3", {}),
        ("BatchNormalization", ["h3", "n.gain", "n.bias", "n.mean", "n.var"], "h4", {"epsilon": 1e-3}),
        ("Tanh", ["h4"], "h5", {}),
        ("Gemm", ["h5", "w2"], "y0", {}),
        ("Sigmoid", ["y0"], "y", {}),
    ],
    [
        *(numbers("w0", 7, 5), numbers("b0", 7), numbers("w1", 7, 4), numbers("b1", 4), numbers("w2", 4, 1)),
        *(scalar("root", np.sqrt(2)), scalar("one", 1), scalar("half", 0.5), *norm("n", 4)),
    ],
    1,
)

# Images as images, a block of a residual network, numbers in a node, and Reshape for Flatten.
save(
    "images",
    [2, 8, 7],
    [
        ("Conv", ["x", "w0", "b0"], "h0", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
        ("BatchNormalization", ["h0", "n0.gain", "n0.bias", "n0.mean", "n0.var"], "h1", {}),
        ("Relu", ["h1"], "h2", {}),
        ("MaxPool", ["h2"], "h3", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Conv", ["h3", "w1"], "h4", {"pads": [1, 1, 1, 1]}),
        ("BatchNormalization", ["h4", "n1.gain", "n1.bias", "n1.mean", "n1.var"], "h5", {}),
        ("Relu", ["h5"], "h6", {}),
        ("Conv", ["h6", "w2", "b2"], "h7", {"pads": [2, 0, 2, 0], "dilations": [2, 1]}),
        ("Add", ["h7", "h3"], "h8", {}),
        ("Relu", ["h8"], "h9", {}),
        (
            "AveragePool",
            ["h9"],
            "h10",
            {"kernel_shape": [2, 3], "strides": [1, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1},
        ),
        ("Constant", [], "shape", {"value": numpy_helper.from_array(np.array([-1, 40], np.int64))}),
        ("Reshape", ["h10", "shape"], "h11", {}),
        ("Gemm", ["h11", "w3", "b3"], "h12", {"transB": 1}),
        ("Identity", ["h12"], "y", {}),
    ],
    [
        *(numbers("w0", 4, 2, 3, 3), numbers("b0", 4), numbers("w1", 4, 4, 3, 3), listed("w2", 4, 4, 3, 1)),
        *(numbers("b2", 4), numbers("w3", 3, 40), numbers("b3", 3), *norm("n0", 4), *norm("n1", 4)),
    ],
    3,
)

lines = []
for path in sorted(folder.glob("*.onnx")):
    session = ort.InferenceSession(path)
    shape = session.get_inputs()[0].shape[1:]
    x = random.normal(0, 1.5, (6, *shape)).round(2).astype(np.float32)
    [y] = session.run(["y"], {"x": x})
    for row, answer in zip(x, y):
        lines.append(",".join([path.stem, *(f"{float(number):.9g}" for number in [*row.ravel(), *answer])]) + "\n")
(folder / "answers.csv").write_text("".join(lines))
print(len(lines), "rows")
