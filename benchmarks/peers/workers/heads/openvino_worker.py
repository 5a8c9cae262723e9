"""OpenVINO's ScaledDotProductAttention on its CPU plugin, forward only, without grouped heads."""
import sys

import numpy as np
import openvino
from openvino import opset13

from worker import FORWARD, Data, is_causal, serve

SETTINGS = {"INFERENCE_NUM_THREADS": sys.argv[2], "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": "NO"}


class Attention:
    def __init__(self, name: str, case: str, data: Data):
        self.inputs = [data.q, data.k, data.v]
        nodes = [opset13.parameter(a.shape, np.float32) for a in self.inputs]
        # Its own scale is 1 / sqrt(d), as ours here; another is given as an input.
        scale = opset13.constant(np.float32(data.scale))
        mask = opset13.constant(np.float32(0))
        causal = is_causal(case)
        out = opset13.scaled_dot_product_attention(*nodes, mask, scale, causal=causal)
        compiled = openvino.Core().compile_model(openvino.Model([out], nodes), "CPU", SETTINGS)
        self.request = compiled.create_infer_request()
        for k, array in enumerate(self.inputs):
            self.request.set_input_tensor(k, openvino.Tensor(array, shared_memory=True))

    def call(self, times: int) -> None:
        for _ in range(times):
            self.request.infer()

    def outputs(self) -> list[np.ndarray]:
        return [self.request.get_output_tensor(0).data]


def ways(data: Data) -> dict[str, list[str]]:
    return {"sdpa": list(FORWARD)} if sys.argv[1] == "f32" and data.groups == 1 else {}


if __name__ == "__main__":
    serve(openvino.__version__.split("-")[0], ways, Attention)
