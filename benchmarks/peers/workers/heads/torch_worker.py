"""scaled_dot_product_attention of PyTorch: `default` as it chooses (on a CPU the flash path), `math` as it is composed."""
import contextlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from worker import CASES, Data, has_backward, is_causal, serve

torch.set_num_threads(int(sys.argv[2]))
torch.set_num_interop_threads(1)
TYPES = {"f32": torch.float32, "f64": torch.float64, "f16": torch.float16, "bf16": torch.bfloat16}
PATHS = {"default": contextlib.nullcontext, "math": lambda: sdpa_kernel(SDPBackend.MATH)}


class Attention:
    def __init__(self, name: str, case: str, data: Data):
        self.path, self.causal, self.backward, self.scale = PATHS[name], is_causal(case), has_backward(case), data.scale
        self.grouped = data.groups > 1
        # from_numpy shares the memory, and to() copies only where the type is another.
        self.q, self.k, self.v, self.do = (torch.from_numpy(a).to(TYPES[sys.argv[1]])
                                           for a in (data.q, data.k, data.v, data.do))
        if self.backward:
            for tensor in (self.q, self.k, self.v):
                tensor.requires_grad_()
        self.results: tuple[torch.Tensor, ...] = ()

    def attend(self) -> torch.Tensor:
        return F.scaled_dot_product_attention(self.q, self.k, self.v, is_causal=self.causal, scale=self.scale,
                                              enable_gqa=self.grouped)

    def call(self, times: int) -> None:
        with self.path(), contextlib.nullcontext() if self.backward else torch.inference_mode():
            for _ in range(times):
                self.results = ()
                out = self.attend()
                if self.backward:
                    self.results = (out.detach(), *torch.autograd.grad(out, (self.q, self.k, self.v), self.do))
                else:
                    self.results = (out,)

    def outputs(self) -> list[np.ndarray]:
        wide = torch.float64 if sys.argv[1] == "f64" else torch.float32
        return [tensor.to(wide).numpy() for tensor in self.results]


if __name__ == "__main__":
    serve(torch.__version__, lambda data: {name: list(CASES) for name in PATHS}, Attention)
