"""Networks in other libraries. Argument: the library.

Kind `epoch`: one pass over all rows in the order and the batches given, from the weights given, with Adam (rate 0.001) and softmax
cross-entropy; the result is the loss of each of the first steps. Kind `answer`: outputs of some rows. Weights of a layer are outputs x
inputs, one layer after the other, each followed by its bias; ReLU between layers.

Kinds `epoch_images`, `answer_images`: the same of images, channels x height x width. Two convolutions come first, whose weights are outputs x inputs x 3
x 3; each keeps the size, and after its ReLU the largest of 2 x 2 is taken.
"""
import os
import sys

import numpy as np
from worker import Worker

THREADS = int(os.environ["TILEWISE_THREADS"])
RATE, STEPS = 1e-3, 50


class Network(Worker):
    def load(self, problem):
        shape = problem.shape
        rows, batch, widths = shape[0], shape[1], shape[2:]
        weights, self.layers, at, shapes = problem.read("w", -1), [], 0, []
        self.side, inputs = 0, widths[0]
        if problem.kind.endswith("_images"):
            self.side, channels, inputs = widths[0], 1, widths[0] ** 2
            side = self.side
            for outputs in widths[1:3]:
                shapes.append((outputs, channels, 3, 3))
                side, channels = side // 2, outputs
            widths = [side * side * channels, *widths[3:]]
        shapes += [(n, k) for k, n in zip(widths, widths[1:])]
        for shape in shapes:
            until = at + int(np.prod(shape))
            self.layers.append((weights[at:until].reshape(shape).copy(), weights[until : until + shape[0]].copy()))
            at = until + shape[0]
        self.rows, self.batch, self.losses = rows, batch, []
        x = problem.read("x", rows, inputs)
        self.trains = problem.kind.startswith("epoch")
        if self.trains:
            self.begin(x, problem.read("y", rows).astype(np.int64), problem.read("order", rows).astype(np.int64))
        else:
            self.ready(x)

    def run(self):
        if self.trains:
            self.epoch()
        else:
            self.answer()

    def result(self):
        return self.losses_of_steps() if self.trains else self.answers()


class Torch(Network):
    def __init__(self):
        import torch

        self.torch, self.version = torch, torch.__version__
        torch.set_num_threads(THREADS)
        # Numbers below the normal ones, which some processors are slow with, are 0 in ours; here on this thread at least.
        torch.set_flush_denormal(True)
        self.configuration = f"{torch.get_num_threads()} threads, Adam fused"

    def network(self):
        nn, parts, images = self.torch.nn, [], self.side > 0
        if images:
            parts.append(nn.Unflatten(1, (1, self.side, self.side)))
        for w, b in self.layers:
            if images and w.ndim == 2:
                parts.append(nn.Flatten())
                images = False
            layer = nn.Conv2d(w.shape[1], w.shape[0], 3, padding=1) if images else nn.Linear(w.shape[1], w.shape[0])
            with self.torch.no_grad():
                layer.weight.copy_(self.torch.from_numpy(w))
                layer.bias.copy_(self.torch.from_numpy(b))
            parts += [layer, nn.ReLU(), nn.MaxPool2d(2)] if images else [layer, nn.ReLU()]
        return nn.Sequential(*parts[:-1])

    def begin(self, x, y, order):
        self.net = self.network()
        self.optimiser = self.torch.optim.Adam(self.net.parameters(), lr=RATE, fused=True)
        self.x, self.y, self.order = (self.torch.from_numpy(a) for a in (x, y, order))

    def epoch(self):
        loss_of, few = self.torch.nn.functional.cross_entropy, len(self.losses) == 0
        for rows in self.order.split(self.batch):
            self.optimiser.zero_grad()
            loss = loss_of(self.net(self.x[rows]), self.y[rows])
            loss.backward()
            self.optimiser.step()
            if few and len(self.losses) < STEPS:
                self.losses.append(loss.item())

    def losses_of_steps(self):
        return self.losses

    def ready(self, x):
        self.net, self.x = self.network().eval(), self.torch.from_numpy(x)

    def answer(self):
        with self.torch.inference_mode():
            self.found = self.net(self.x)

    def answers(self):
        return self.found.numpy().ravel()


class Jax(Network):
    def __init__(self):
        if THREADS == 1:
            # Its pool is as large as the set of processors that it may use.
            os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        os.environ["JAX_PLATFORMS"] = "cpu"
        import jax

        self.jax, self.version = jax, jax.__version__
        self.configuration = "one jit for a step, gathering included; weights donated"

    def outputs(self, layers, x):
        jax, images = self.jax, self.side > 0
        if images:
            x = x.reshape(-1, self.side, self.side, 1)
        for i, (w, b) in enumerate(layers):
            if w.ndim == 4:
                x = jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
                x = jax.nn.relu(x + b)
                x = jax.lax.reduce_window(x, -np.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
                continue
            if images:
                # Channel by channel, as weights have it.
                x, images = x.transpose(0, 3, 1, 2).reshape(len(x), -1), False
            x = x @ w + b
            x = jax.nn.relu(x) if i + 1 < len(layers) else x
        return x

    def weights(self):
        """Inputs before outputs, channels last: what its products and convolutions are fastest with."""
        turned = lambda w: w.T if w.ndim == 2 else w.transpose(2, 3, 1, 0)
        return [(self.jax.numpy.array(turned(w)), self.jax.numpy.array(b)) for w, b in self.layers]

    def begin(self, x, y, order):
        jax, np_ = self.jax, self.jax.numpy

        def loss_of(layers, x, y):
            logs = jax.nn.log_softmax(self.outputs(layers, x))
            return -np_.mean(np_.take_along_axis(logs, y[:, None], 1))

        def step(state, x, y, rows):
            layers, first, second, t = state
            loss, slopes = jax.value_and_grad(loss_of)(layers, x[rows], y[rows])
            t = t + 1
            # 1 - 0.9^t: by a power in f32 the first steps would be wrong by 3e-5.
            c1, c2 = -np_.expm1(t * np.log(0.9)), -np_.expm1(t * np.log(0.999))
            tree = jax.tree.map
            first = tree(lambda m, g: 0.9 * m + 0.1 * g, first, slopes)
            second = tree(lambda v, g: 0.999 * v + 0.001 * g * g, second, slopes)
            move = lambda w, m, v: w - RATE * (m / c1) / (np_.sqrt(v / c2) + 1e-8)
            return (tree(move, layers, first, second), first, second, t), loss

        layers = self.weights()
        zeros = lambda: [(np_.zeros(w.shape), np_.zeros(b.shape)) for w, b in layers]
        self.state, self.step = (layers, zeros(), zeros(), np_.float32(0)), jax.jit(step, donate_argnums=0)
        self.x, self.y = np_.array(x), np_.array(y.astype(np.int32))
        self.batches = [np_.array(order[i : i + self.batch].astype(np.int32)) for i in range(0, self.rows, self.batch)]

    def epoch(self):
        few = len(self.losses) == 0
        for rows in self.batches:
            self.state, loss = self.step(self.state, self.x, self.y, rows)
            if few and len(self.losses) < STEPS:
                self.losses.append(loss)
        self.jax.block_until_ready(self.state)

    def losses_of_steps(self):
        return [float(loss) for loss in self.losses]

    def ready(self, x):
        layers = self.weights()
        self.x, self.call = self.jax.numpy.array(x), self.jax.jit(lambda x: self.outputs(layers, x))

    def answer(self):
        self.found = self.call(self.x).block_until_ready()

    def answers(self):
        return np.asarray(self.found).ravel()


class ScikitLearn(Network):
    def __init__(self):
        import sklearn

        self.version = sklearn.__version__
        self.configuration = "MLPClassifier.partial_fit, rows in the order given"

    def begin(self, x, y, order):
        from sklearn.neural_network import MLPClassifier

        hidden = tuple(len(b) for _, b in self.layers[:-1])
        self.model = MLPClassifier(
            hidden,
            solver="adam",
            alpha=0.0,
            batch_size=self.batch,
            learning_rate_init=RATE,
            shuffle=False,
            epsilon=self.epsilon(1),
        )
        self.x, self.y = np.ascontiguousarray(x[order]), y[order]
        self.classes = np.arange(len(self.layers[-1][1]))
        # Makes all arrays; what this step did to them is then undone.
        self.model.set_params(batch_size=8)
        self.model.partial_fit(self.x[:8], self.y[:8], classes=self.classes)
        del self.model._optimizer
        for i, (w, b) in enumerate(self.layers):
            self.model.coefs_[i][...], self.model.intercepts_[i][...] = w.T, b

    @staticmethod
    def epsilon(step):
        """What it has to add to a root that it does not correct for the first steps, as others do before they add 1e-8."""
        return 1e-8 * (1 - 0.999**step) ** 0.5

    def epoch(self):
        done = 0
        while not self.rows <= done and len(self.losses) < STEPS:
            until = min(done + self.batch, self.rows)
            self.model.set_params(batch_size=until - done)
            self.model.partial_fit(self.x[done:until], self.y[done:until])
            self.losses.append(self.model.loss_)
            self.model._optimizer.epsilon = self.epsilon(len(self.losses) + 1)
            done = until
        if done < self.rows:
            self.model.set_params(batch_size=min(self.batch, self.rows - done))
            self.model.partial_fit(self.x[done:], self.y[done:])

    def losses_of_steps(self):
        return self.losses


class OnnxRuntime(Network):
    def __init__(self):
        import onnxruntime

        self.onnxruntime, self.version = onnxruntime, onnxruntime.__version__
        self.configuration = f"{THREADS} threads inside an operator, all optimisations"

    def ready(self, x):
        from onnx import TensorProto, helper, numpy_helper

        nodes, held, name = [], [], "x"
        add = lambda kind, inputs, output, **options: nodes.append(helper.make_node(kind, inputs, [output], **options))
        images = self.side > 0
        if images:
            held.append(numpy_helper.from_array(np.array([-1, 1, self.side, self.side]), "image"))
            add("Reshape", [name, "image"], "images")
            name = "images"
        for i, (w, b) in enumerate(self.layers):
            held += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
            last = i + 1 == len(self.layers)
            if images and w.ndim == 2:
                add("Flatten", [name], "flat")
                name, images = "flat", False
            if images:
                add("Conv", [name, f"w{i}", f"b{i}"], f"z{i}", pads=[1, 1, 1, 1])
            else:
                add("Gemm", [name, f"w{i}", f"b{i}"], "y" if last else f"z{i}", transB=1)
            if not last:
                add("Relu", [f"z{i}"], f"a{i}")
                name = f"a{i}"
            if images:
                add("MaxPool", [name], f"p{i}", kernel_shape=[2, 2], strides=[2, 2])
                name = f"p{i}"
        value = lambda name, n: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", n])
        outputs = len(self.layers[-1][1])
        graph = helper.make_graph(nodes, "network", [value("x", x.shape[1])], [value("y", outputs)], held)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
        self.session = self.onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.feed = {"x": x}

    def answer(self):
        self.found = self.session.run(None, self.feed)[0]

    def answers(self):
        return self.found.ravel()


{"torch": Torch, "jax": Jax, "scikit-learn": ScikitLearn, "onnxruntime": OnnxRuntime}[sys.argv[1]]().serve()
