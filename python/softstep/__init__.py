"""Softmax-attention kernels and a trainer that stay true to the end.

Trains a softmax self-attention layer f(X) = u^T X^T softmax(X W z), after "Implicit Bias and Fast Convergence Rates for
Self-attention" (arXiv 2402.05738). Loss gap and gradient keep mantissa and exponent apart, so that they keep their digits
however large the norm of W becomes.

>>> import softstep
>>> problem = softstep.generate(seed=0).problem()
>>> result = softstep.train(problem, "polyak", steps=10000, reference=softstep.solve_max_margin(problem))
>>> result.last["one_minus_cos"] < 1e-6
True
"""

from . import _interpreter as _interpreter  # before the extension is loaded
from ._core import (
    Checkpoints,
    HeadOptions,
    HeadsState,
    MarginCertificate,
    Model,
    StopSource,
    TrainState,
    __version__,
    active_isa,
    attention_backward,
    attention_forward,
    attention_hessian_product,
    attention_tangent,
    available_threads,
    compare_direction,
    dual_norm,
    force_isa,
    isas,
    linear_attention_backward,
    linear_attention_forward,
    matrix_norm,
)
from .datasets import Dataset, generate, generators, load_dataset, save_dataset
from .errors import BadFile, Error, InvalidArgument, IoError, NotSupported
from .evaluation import BlockCheck, Evaluation, GradientCheck
from .experiments import Comparison, compare, reproduce, sweep
from .heads import attention, linear_attention
from .losses import Loss
from .many import ManyTrainResult, train_many
from .max_margin import (
    MaxMarginResult,
    TiedMaxMarginResult,
    solve_linear_max_margin,
    solve_max_margin,
    solve_max_margin_with_ties,
    solve_next_token_max_margin,
)
from .models import (
    LinearModel,
    MulticlassData,
    MulticlassModel,
    NextTokenData,
    NextTokenModel,
    class_clouds,
    load_multiclass_data,
    next_token_example,
)
from .populations import InContextRegression, ReluNetwork, ReluPopulation
from .problem import Problem
from .rules import Rule, StepContext, StepRule, step_rules
from .scaled import Scaled
from .training import TrainResult, load_state, train

__all__ = [
    "BadFile",
    "BlockCheck",
    "Checkpoints",
    "Comparison",
    "Dataset",
    "Error",
    "Evaluation",
    "GradientCheck",
    "HeadOptions",
    "HeadsState",
    "InContextRegression",
    "InvalidArgument",
    "IoError",
    "LinearModel",
    "Loss",
    "ManyTrainResult",
    "MarginCertificate",
    "MaxMarginResult",
    "Model",
    "MulticlassData",
    "MulticlassModel",
    "NextTokenData",
    "NextTokenModel",
    "NotSupported",
    "Problem",
    "ReluNetwork",
    "ReluPopulation",
    "Rule",
    "Scaled",
    "StepContext",
    "StepRule",
    "StopSource",
    "TiedMaxMarginResult",
    "TrainResult",
    "TrainState",
    "__version__",
    "active_isa",
    "attention",
    "attention_backward",
    "attention_forward",
    "attention_hessian_product",
    "attention_tangent",
    "available_threads",
    "class_clouds",
    "compare",
    "compare_direction",
    "dual_norm",
    "force_isa",
    "generate",
    "generators",
    "isas",
    "linear_attention",
    "linear_attention_backward",
    "linear_attention_forward",
    "load_dataset",
    "load_multiclass_data",
    "load_state",
    "matrix_norm",
    "next_token_example",
    "reproduce",
    "save_dataset",
    "solve_linear_max_margin",
    "solve_max_margin",
    "solve_max_margin_with_ties",
    "solve_next_token_max_margin",
    "step_rules",
    "sweep",
    "train",
    "train_many",
]
