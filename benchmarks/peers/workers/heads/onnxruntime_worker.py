"""ONNX Runtime, forward only: `attention`, the operator of opset 23, and `contrib`, its own MultiHeadAttention, which takes no
grouped heads."""
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from worker import FORWARD, Data, is_causal, serve

THREADS = int(sys.argv[2])


def model(name: str, causal: bool, data: Data, shapes: list[tuple[int, ...]]) -> bytes:
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in zip("qkv", shapes)]
    output = helper.make_tensor_value_info("o", TensorProto.FLOAT, shapes[0])
    if name == "contrib":
        node = helper.make_node("MultiHeadAttention", list("qkv"), ["o"], domain="com.microsoft", num_heads=data.q.shape[1],
                                scale=data.scale, unidirectional=int(causal))
    else:
        node = helper.make_node("Attention", list("qkv"), ["o"], scale=data.scale, is_causal=int(causal))
    graph = helper.make_graph([node], "attention", inputs, [output])
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


class Attention:
    def __init__(self, name: str, case: str, data: Data):
        arrays = [data.q, data.k, data.v]
        self.heads = data.q.shape[1] if name == "contrib" else 0  # it has them as [B, T, H d]
        if self.heads:
            arrays = [np.ascontiguousarray(a.transpose(0, 2, 1, 3)).reshape(a.shape[0], a.shape[2], -1) for a in arrays]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
        self.session = onnxruntime.InferenceSession(model(name, is_causal(case), data, [a.shape for a in arrays]), options,
                                                    providers=["CPUExecutionProvider"])
        self.inputs, self.result = arrays, np.empty_like(arrays[0])
        self.binding = self.session.io_binding()
        for letter, array in zip("qkv", arrays):
            self.binding.bind_cpu_input(letter, array)
        self.binding.bind_output("o", "cpu", 0, np.float32, self.result.shape, self.result.ctypes.data)

    def call(self, times: int) -> None:
        for _ in range(times):
            self.session.run_with_iobinding(self.binding)

    def outputs(self) -> list[np.ndarray]:
        if not self.heads:
            return [self.result]
        b, t, _ = self.result.shape
        return [self.result.reshape(b, t, self.heads, -1).transpose(0, 2, 1, 3)]


def ways(data: Data) -> dict[str, list[str]]:
    if sys.argv[1] != "f32":
        return {}
    return {name: list(FORWARD) for name in ("attention", "contrib") if name == "attention" or data.groups == 1}


if __name__ == "__main__":
    serve(f"{onnxruntime.__version__}, onnx {onnx.__version__}", ways, Attention)
