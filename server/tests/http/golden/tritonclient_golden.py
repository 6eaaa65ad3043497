"""The requests that tritonclient (HTTP) sends; run by hand, its output is client.txt beside it.

    pip install 'tritonclient[http]==2.73.0'
    python tritonclient_golden.py > client.txt

A line per request: its name, the value of Inference-Header-Content-Length (- for none), the body in hexadecimal.
"""

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput


def tensor(name, array, datatype, binary):
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def row(binary):
    return [
        tensor("age", np.array([1.5, 2.0]), "FP64", binary),
        tensor("colour", np.array(["red", "green, or é"], dtype=object), "BYTES", binary),
        tensor("member", np.array([[True], [False]]), "BOOL", binary),
    ]


wide = np.arange(60, dtype=np.float32).reshape(2, 30) / 8
requests = {
    "columns_json": (row(False), [InferRequestedOutput("prediction", binary_data=False)], "a"),
    "columns_binary": (row(True), None, "b"),
    "columns_binary_to_json": (row(True), [InferRequestedOutput("prediction", binary_data=False)], ""),
    "rows_binary": ([tensor("rows", wide, "FP32", True)], None, ""),
    "rows_binary_probabilities": (
        [tensor("rows", wide, "FP32", True)],
        [InferRequestedOutput("probabilities"), InferRequestedOutput("prediction", binary_data=False)],
        "",
    ),
}
for name, (inputs, outputs, request_id) in requests.items():
    body, length = InferenceServerClient.generate_request_body(inputs, outputs=outputs, request_id=request_id)
    print(name, "-" if length is None else length, bytes(body).hex())
