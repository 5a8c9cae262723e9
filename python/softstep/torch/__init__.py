"""softstep in PyTorch: attention, the layer of the theory, losses of a Problem, and step rules as optimizers.

All of it is on the CPU, and nothing is copied: tensors are looked at where they lie. `import softstep` does not import PyTorch;
this module does.
"""

from .attention import attention
from .layer import AttentionLayer, attention_layer
from .losses import log_gap, loss, scaled_backward
from .optimizers import NGD, Polyak

__all__ = ["NGD", "AttentionLayer", "Polyak", "attention", "attention_layer", "log_gap", "loss", "scaled_backward"]
