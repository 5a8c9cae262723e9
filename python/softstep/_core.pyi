"""
softstep, compiled. Use the package `softstep`, which has all of this under its own names.
"""

from collections.abc import Callable, Sequence
from typing import Any, Any as ArrayLike, Any as Point

import numpy
import numpy.typing

import softstep.evaluation
import softstep.scaled


__version__: str

def active_isa() -> str:
    """
    Name of the instruction set in force: the one forced, else that of the environment variable SOFTSTEP_ISA,
    else the best that runs here.
    """

def force_isa(name: str) -> None:
    """
    Forces an instruction set for problems made from now on; "auto" returns to the default.

    Raises InvalidArgument for an unknown name, NotSupported for one that cannot run here.
    """

def isas() -> list[str]:
    """Names of the instruction sets that run here, slowest first."""

def available_threads() -> int:
    """What n_threads = 0 means: the processors that this process may use."""

class StopSource:
    """
    Cancels runs and solvers that were given it, from any thread.

    >>> import softstep, threading
    >>> source = softstep.StopSource()
    >>> threading.Timer(0.05, source.stop).start()
    >>> softstep.train(softstep.generate(seed=0).problem(), steps=10**9, stop=source).status
    'interrupted'
    """

    def __init__(self) -> None: ...

    def stop(self) -> None:
        """Asks whatever was given this source to stop, now and later."""

    @property
    def stopped(self) -> bool:
        """Whether stop was called."""

class Model:
    """
    What is trained, by its loss: softstep.Problem, LinearModel or NextTokenModel.
    """

    def value_and_grad(self, W: Point, out: Point | None = None, *, samples: ArrayLike | None = None) -> tuple[float, Any]:
        """
        Loss L(W) and gradient dL/dW in plain numbers, which underflow where training has come far: see `scaled`.

        Parameters
        ----------
        W
            [dim, dim], or flat [dim dim], C order, of the model's dtype; for a model of several blocks a tuple, list or
            dict of arrays, see `blocks`. NumPy, PyTorch (CPU) or JAX (CPU).
        out
            Where the gradient is written: as W. It must not overlap W or the tokens. A new array of W's kind if None.
        samples
            Indices (int64) of the samples that the mean is over; None: all.

        Returns
        -------
        tuple
            The loss, and the gradient: `out` where it is given.

        Raises
        ------
        InvalidArgument
            Wrong shape or dtype, not contiguous, read-only, on another device. Names the argument.
        """

    def scaled(self, W: Point, out: Point | None = None, *, samples: ArrayLike | None = None) -> Any:
        """
        Gradient with its exponent apart: dL/dW = mantissa * exp(exponent).

        As `value_and_grad`. Returns a `Scaled` (mantissa, exponent), exponent a natural logarithm, -inf where the gradient is
        exactly zero; of several blocks a tuple or dict of them, each with an exponent of its own. arXiv 2402.05738, in the pivot
        form of docs/mathematics.md, section 2.
        """

    def loss(self, W: Point, *, samples: ArrayLike | None = None) -> float:
        """The loss L(W)."""

    def loss_gap(self, W: Point, *, samples: ArrayLike | None = None) -> softstep.scaled.Scaled:
        """L(W) - L* without cancellation, a `Scaled` (mantissa, exponent)."""

    def evaluate(self, W: Point, out: Point | None = None, *, samples: ArrayLike | None = None) -> softstep.evaluation.Evaluation:
        """
        Everything at once: loss, loss gap, scaled gradient, attention of the optimal tokens, accuracy. As `scaled`.
        """

    def log_gap(self, W: Point, out: Point | None = None, *, samples: ArrayLike | None = None) -> tuple[float, Any]:
        """
        log(L(W) - L*) and its gradient, in plain numbers of a size that any solver can work with.

        It has the minimisers of L and does not stall where L no longer changes in its 16th digit. -inf where L = L*, NaN where
        L < L*; the gradient is not finite then.
        """

    def hvp(self, W: Point, V: Point, out: Point | None = None, *, samples: ArrayLike | None = None) -> Any:
        """
        Product of the Hessian of L at W with V, in plain numbers. V and out are as W.

        Raises NotSupported for a loss without second derivative.
        """

    def scaled_hvp(self, W: Point, V: Point, out: Point | None = None, *, samples: ArrayLike | None = None) -> Any:
        """As `hvp`, with exponents apart as in `scaled`."""

    def check_gradient(self, W: Point, *, tolerance: float = 0.0, max_entries: int = 0, samples: ArrayLike | None = None) -> softstep.evaluation.GradientCheck:
        """
        Compares the gradient at W with central differences of the loss, or of L - L* where there is one.

        tolerance: largest relative error of a block that passes; 0 for 1e-6 in float64, 1e-3 in float32. max_entries: of a block that
        are looked at, evenly spread; 0: all, each of which costs about 20 evaluations. For a loss or data of your own.
        """

    @property
    def blocks(self) -> dict[str, tuple[int, int]]:
        """
        What is trained: name and shape of each block, in order. Of a Problem "weights" [dim, dim]; or "keys" and
        "queries" [dim, rank]; or "prompt" [dim, 1]; then "decoder" [dim, 1] where it is trained.
        """

    @property
    def dtype(self) -> str:
        """"float32" or "float64": what is computed with, and what W must be."""

    @property
    def n_samples(self) -> int:
        """Number of samples n."""

    @property
    def optimal_loss(self) -> float:
        """
        L*, from which loss gaps are measured; NaN where it depends on the point.
        """

    @property
    def isa(self) -> str:
        """Instruction set of the kernels."""

    @property
    def threads_used(self) -> int:
        """
        Threads asked for in an evaluation: 1 where the work does not pay for more.
        """

    @property
    def identity(self) -> str:
        """
        Data, loss and options in a text that is the same for the same in every process.
        """

class Problem(Model):
    """
    An attention model of arrays that stay where they lie. Use softstep.Problem.
    """

    def __init__(self, tokens: ArrayLike, labels: ArrayLike | None = None, decoder: ArrayLike | None = None, *, offsets: ArrayLike | None = None, targets: ArrayLike | None = None, query_index: ArrayLike | None = None, queries: ArrayLike | None = None, all_tokens_are_queries: bool = False, query_offsets: ArrayLike | None = None, query_weights: ArrayLike | None = None, key_query: str = 'combined', rank: int = 0, train_decoder: bool = False, loss: Any = 'logistic', optimal_loss: str = 'optimal', optimal_loss_value: float = 0.0, n_threads: int = 1, token_storage: str = 'working', isa: str = '') -> None: ...

    def metrics(self, W: Point, reference: ArrayLike | None = None, level: float = 0.001) -> dict[str, float]:
        """
        What is said of weights, by name.

        loss, log10_loss, log10_gap, log10_gradient_norm, accuracy, min_optimal_attention, log10_one_minus_optimal_attention,
        weight_norm, spectral_norm, rank (singular values above 1e-6 of the largest), normalized_margin (min of (x_opt - x_t)^T W z over
        |W|), certified_share (what share of the largest such margin W has at least; NaN where normalized_margin is not positive),
        mean_entropy (natural), mean_effective_tokens, fraction_below (of tokens, those with an attention below `level`); with
        `reference` also one_minus_cos and angle (radians). All are right where plain numbers underflow. Of a prompt: without what
        takes a matrix.
        """

    def attention(self, W: Point) -> numpy.typing.NDArray[numpy.float64]:
        """
        Attention softmax(X_i W z_i) of every token, float64: [n_samples, n_tokens], or [sum of tokens] of a ragged batch.

        Of several queries the mean by their weights.
        """

    @property
    def dim(self) -> int:
        """Dimension d of a token."""

    @property
    def optimal_tokens(self) -> numpy.typing.NDArray[numpy.int64]:
        """[n_samples] best-scoring token of each sample, argmax_t y_i u^T x_it."""

    @property
    def token_offsets(self) -> numpy.typing.NDArray[numpy.int64]:
        """[n_samples + 1] where each sample begins among all tokens."""

    @property
    def tokens_address(self) -> int:
        """
        Address of the first token: that of the array which was given, as nothing is copied.
        """

def compare_direction(a: ArrayLike, b: ArrayLike) -> tuple[float, float]:
    """
    1 - cos and the angle (radians) of two arrays of one size, right to rounding where they are nearly parallel.
    """

def matrix_norm(a: ArrayLike, norm: str = 'frobenius', p: float = 2.0) -> float:
    """
    Norm of a matrix: frobenius, spectral, max, nuclear, or lp with p >= 1.
    """

class LinearModel(Model):
    """f = w^T x of points. Use softstep.LinearModel."""

    def __init__(self, points: ArrayLike, labels: ArrayLike | None = None, *, targets: ArrayLike | None = None, loss: Any = 'logistic', optimal_loss: str = 'zero', optimal_loss_value: float = 0.0, isa: str = '') -> None: ...

class NextTokenModel(Model):
    """Next-token prediction. Use softstep.NextTokenModel."""

    def __init__(self, vocabulary: int, contexts: ArrayLike, probabilities: ArrayLike, first: ArrayLike, tokens: ArrayLike, labels: ArrayLike, *, dtype: str = 'float64', isa: str = '') -> None: ...

def next_token_example(n_contexts: int, vocabulary: int, dim: int, support_size: int, seed: int) -> dict[str, Any]:
    """Random contexts with random supports, as a dict of arrays."""

def next_token_blocks(vocabulary: int, contexts: ArrayLike, probabilities: ArrayLike, first: ArrayLike, tokens: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> tuple[Any, ...]:
    """
    The blocks of a NextTokenModel at W [vocabulary, dim], each of one dimension; at W = 0 if None.
    """

def next_token_entropy(vocabulary: int, contexts: ArrayLike, probabilities: ArrayLike, first: ArrayLike, tokens: ArrayLike, labels: ArrayLike) -> float:
    """H, the infimum of the cross entropy."""

class MulticlassModel(Model):
    """
    Linear classification with softmax cross entropy. Use softstep.MulticlassModel.
    """

    def __init__(self, features: ArrayLike, classes: ArrayLike, n_classes: int, *, dtype: str = 'float64', isa: str = '') -> None: ...

def class_clouds(n_classes: int, dim: int, points_per_class: int, noise: float, seed: int) -> tuple[Any, Any, int]:
    """Clouds about random centres: features, classes, number of classes."""

def load_multiclass_data(path: str) -> tuple[Any, Any, int]:
    """
    Tensors features and classes of a safetensors file, and the number of classes.
    """

def multiclass_margin(features: ArrayLike, classes: ArrayLike, n_classes: int, W: ArrayLike, norm: str = 'frobenius', p: float = 2.0) -> float:
    """The smallest margin of W [n_classes, dim] over its norm."""

class ReluNetwork(Model):
    """One hidden layer on points. Use softstep.ReluNetwork."""

    def __init__(self, points: ArrayLike, labels: ArrayLike | None = None, *, targets: ArrayLike | None = None, n_neurons: int, outer: ArrayLike | None = None, loss: Any = 'logistic', optimal_loss: str = 'zero', optimal_loss_value: float = 0.0, isa: str = '') -> None: ...

class ReluPopulation(Model):
    """
    One hidden layer on Gaussian clusters, in expectation. Use softstep.ReluPopulation.
    """

    def __init__(self, means: ArrayLike, probabilities: ArrayLike, labels: ArrayLike, *, sigma: float, n_neurons: int, outer: ArrayLike | None = None, dtype: str = 'float64', isa: str = '') -> None: ...

class InContextRegression(Model):
    """
    Linear attention on in-context regression, in expectation. Use softstep.InContextRegression.
    """

    def __init__(self, spectrum: ArrayLike, n_examples: int, *, form: str = 'separate', n_heads: int = 1, rank: int = 1, dtype: str = 'float64', isa: str = '') -> None: ...

def in_context_optimum(spectrum: ArrayLike, n_examples: int) -> Any:
    """M*, the matrix with the smallest loss, [dim, dim]."""

class DiagonalAttention(Model):
    """Attention with diagonal K and Q. Use softstep.DiagonalAttention."""

    def __init__(self, tokens: ArrayLike, labels: ArrayLike | None = None, decoder: ArrayLike | None = None, *, targets: ArrayLike | None = None, query_index: ArrayLike | None = None, queries: ArrayLike | None = None, form: str = 'factored', loss: str = 'logistic', optimal_loss: str = 'optimal', optimal_loss_value: float = 0.0, n_threads: int = 1, isa: str = '') -> None: ...

class VocabularyAttention(Model):
    """Attention with a vocabulary head. Use softstep.VocabularyAttention."""

    def __init__(self, vocabulary: int, tokens: ArrayLike, first: ArrayLike, probabilities: ArrayLike, first_next: ArrayLike, next: ArrayLike, labels: ArrayLike, *, mixing: str = 'softmax', directions: ArrayLike | None = None, values: ArrayLike | None = None, has_feed_forward: bool = False, feed_forward: ArrayLike | None = None, infimum: str = 'entropy', dtype: str = 'float64', isa: str = '') -> None: ...

def sentence_entropy(vocabulary: int, tokens: ArrayLike, first: ArrayLike, probabilities: ArrayLike, first_next: ArrayLike, next: ArrayLike, labels: ArrayLike) -> float:
    """What SentenceData.entropy calls."""

class GatedRegression(Model):
    """
    Gated linear attention on regression from several tasks. Use softstep.GatedRegression.
    """

    def __init__(self, spectrum: ArrayLike, n_examples: ArrayLike, correlations: ArrayLike, noise: float, *, weights: str = 'gated', gates: ArrayLike | None = None, dtype: str = 'float64', isa: str = '') -> None: ...

def multitask_weights(spectrum: ArrayLike, n_examples: ArrayLike, correlations: ArrayLike, noise: float) -> Any:
    """The best weight of an example of each task, [n_tasks]."""

def multitask_loss(spectrum: ArrayLike, n_examples: ArrayLike, correlations: ArrayLike, noise: float, weights: ArrayLike) -> float:
    """The least loss for given weights of the tasks, [n_tasks]."""

class InductionHead(Model):
    """A 4-gram and an induction head. Use softstep.InductionHead."""

    def __init__(self, sequences: ArrayLike, targets: ArrayLike, *, scores: str = 'product', dtype: str = 'float64', isa: str = '') -> None: ...

def induction_data(n_samples: int, length: int, a: float, w_star: float, seed: int) -> tuple[Any, Any]:
    """Sequences [n_samples, length] and targets [n_samples]."""

def induction_parts(sequences: ArrayLike, targets: ArrayLike, a: float, w_star: float, blocks: ArrayLike, scores: str = 'product') -> tuple[float, float]:
    """What InductionHead.parts calls."""

class VariationalLinearModel(Model):
    """
    A linear model with drawn weights. Use softstep.VariationalLinearModel.
    """

    def __init__(self, points: ArrayLike, labels: ArrayLike | None = None, *, targets: ArrayLike | None = None, rank: int = 0, loss: str = 'squared', isa: str = '') -> None: ...

class MarginCertificate:
    """
    A bound on the margin that any W has, in any norm, without a solver.

    Let A_k be the constraints and margin(W) = min_k <A_k, W> / |W|. For multipliers lambda_k >= 0, not all zero,
    margin(W) sum_k lambda_k <= |sum_k lambda_k A_k| in the dual norm. A gradient of the loss is such a sum. Of several the average is
    taken, that of sum lambda_k A_k / sum lambda_k. Of float64; one thread at a time.

    Source: arXiv 2502.04664, Lemma 1, read as a certificate; softstep/margin_certificate.h.

    >>> import softstep
    >>> problem = softstep.generate(seed=0).problem()
    >>> W = softstep.train(problem, "ngd", steps=10000).weights
    >>> certificate = softstep.MarginCertificate(*W.shape)
    >>> certificate.add_gradient(problem, W)
    True
    >>> 0.99 < certificate.share(problem.margin(W)) <= 1.0000001
    True
    """

    def __init__(self, n_rows: int, n_cols: int) -> None:
        """For W [n_rows, n_cols]. Raises InvalidArgument where one is 0."""

    def add(self, combination: ArrayLike, weight: float) -> None:
        """
        Takes sum_k lambda_k A_k [n_rows, n_cols] and sum_k lambda_k into the average. Raises InvalidArgument for another size,
        an entry that is not finite, or a weight that is not positive and finite.
        """

    def add_gradient(self, problem: Problem, W: ArrayLike, loss: str = 'logistic') -> bool:
        """
        Takes in what the gradient of an attention layer at W [dim, dim] is made of. Of a multiclass model: MulticlassModel.certify.
        Returns False, and adds nothing, where no multiplier is positive. Raises InvalidArgument.
        """

    def add_multiclass(self, features: ArrayLike, classes: ArrayLike, n_classes: int, W: ArrayLike) -> None:
        """What MulticlassModel.certify calls."""

    def __len__(self) -> int:
        """Combinations taken in so far."""

    def bound(self, norm: str = 'frobenius', p: float = 2.0) -> float:
        """
        No W has a larger margin in this norm (as of matrix_norm); infinity while nothing has been added.
        """

    def share(self, margin: float, norm: str = 'frobenius', p: float = 2.0) -> float:
        """
        margin / bound: at least this share of the largest margin that there is; 0 while nothing has been added.
        """

def dual_norm(a: ArrayLike, norm: str = 'frobenius', p: float = 2.0) -> float:
    """
    The dual of a matrix norm (as of matrix_norm): the largest <a, B> over all B of norm 1.
    """

def certified_share(problem: Problem, W: ArrayLike, norm: str = 'frobenius', p: float = 2.0) -> float:
    """What Problem.certified_share calls."""

def margin_in_norm(problem: Problem, W: ArrayLike, norm: str = 'frobenius', p: float = 2.0) -> float:
    """What Problem.margin calls."""

class TrainState:
    """
    Where a run stands. It goes on with the same bits as if it had never stopped.
    """

    @property
    def step(self) -> int:
        """Steps taken."""

    @property
    def seconds(self) -> float:
        """Spent in steps."""

    def copy(self) -> TrainState:
        """Another state that stands at the same place."""

class TrainerOptions:
    """Settings of a run; made by softstep.train."""

    @property
    def rules(self) -> list[Any]:
        """One for all blocks, or one for each."""

def trainer_options(rules: list[Any], *, n_steps: int, master_weights: str = 'working', form: str = 'auto', normalization: str = 'separate', batch_size: int = 0, batch_seed: int = 0, references: Sequence[Any] = [], trace_rows_per_decade: int = 20, max_seconds: float = ..., thresholds: Sequence[float] = [], stop_one_minus_cos: float = 0.0, checkpoint_steps: int = 0, checkpoint_seconds: float = ..., stop: StopSource | None = None) -> TrainerOptions:
    """Checked settings of a run. Raises InvalidArgument naming the field."""

def initial_state(model: Model, blocks: Sequence[Any] = [], master_weights: str = 'working') -> TrainState:
    """A state at step 0 with these blocks; none given: all zero."""

def normal_state(model: Model, std: float, seed: int, master_weights: str = 'working') -> TrainState:
    """A state at step 0 with blocks from N(0, std^2), block k from seed + k."""

def save_state(path: str, model: Model, state: TrainState, options: TrainerOptions) -> None:
    """Writes a state to a safetensors file. Raises IoError."""

def load_state(path: str, model: Model, options: TrainerOptions) -> TrainState:
    """
    Reads a state. Raises BadFile for a file that is damaged or no state, InvalidArgument for one of another run, IoError.
    """

def observe(model: Model, state: TrainState, k: int = 0) -> numpy.typing.NDArray[numpy.float64]:
    """Observable k of a state: W for k = 0, whatever is trained for it."""

def observables(model: Model) -> list[tuple[str, int, int]]:
    """Name and shape of each matrix that is watched."""

def state_blocks(model: Model, state: TrainState) -> dict[str, numpy.typing.NDArray[numpy.float64]]:
    """The blocks of a state, float64."""

def train(model: Model, state: TrainState, options: TrainerOptions, callback: Callable[[dict[str, Any]], object] | None = None, progress: Callable[[int, float], object] | None = None, checkpoints: Checkpoints | None = None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """
    Runs and leaves the state ready to go on. Returns the summary and the rows of the trace.
    """

def step_rules() -> list[dict[str, Any]]:
    """
    Every step rule: name, formula, source, options with their defaults, note.
    """

class Checkpoints:
    """
    The checkpoints of one run in a folder, for `train(.., checkpoints=...)`.

    A checkpoint is a file as TrainResult.save writes it, named by its step. It appears whole or not at all, and an older one is removed
    only when a newer one is safe on the disk. One run at a time may have a folder: it is free again when this object goes, or the
    process does.

    folder: made if it is not there; the one above must be. keep: how many stay. Raises InvalidArgument for a `keep` below 1 and a
    folder that another run has taken, IoError where it cannot be made or read.
    """

    def __init__(self, folder: str, keep: int = 3) -> None: ...

    @property
    def files(self) -> list[str]:
        """The checkpoints that are there, oldest first."""

    def newest(self, model: Model, options: TrainerOptions) -> tuple[TrainState, str, list[str]] | None:
        """
        What train() goes on from: the newest whole checkpoint, its file, and what is wrong with newer ones. None where there are
        no checkpoints. Raises InvalidArgument for one of another run, BadFile where all are damaged.
        """

    def write(self, model: Model, state: TrainState, options: TrainerOptions) -> None:
        """
        Writes a state, and removes what is older than the last `keep`. Raises IoError.
        """

    def remove_older(self, step: int) -> None:
        """Of the checkpoints up to this step, leaves the last `keep`."""

class RunSummaries:
    """What the runs of softstep.train_many did."""

    @property
    def status(self) -> list[str]:
        """How each ended."""

    @property
    def form(self) -> list[str]:
        """How each kept W."""

    @property
    def steps(self) -> numpy.typing.NDArray[numpy.int64]:
        """Steps that each took."""

    @property
    def steps_below_rounding(self) -> numpy.typing.NDArray[numpy.int64]:
        """Of these, how many were shorter than the rounding of adding them."""

    @property
    def seconds(self) -> numpy.typing.NDArray[numpy.float64]:
        """Time in steps, of each its share."""

    @property
    def time_to(self) -> list[list[dict[str, Any]]]:
        """Thresholds that each reached."""

    def report(self, k: int) -> str:
        """All of run k in words."""

def train_many(models: list[Model], states: list[TrainState], options: list[TrainerOptions], n_threads: int = 0, stop: StopSource | None = None, callback: Callable[[int, dict[str, Any]], object] | None = None, progress: Callable[[int, int], object] | None = None) -> tuple[RunSummaries, dict[str, Any], dict[str, Any], numpy.typing.NDArray[numpy.int64], bool]:
    """
    Makes all runs and leaves their states ready to go on. Returns the summaries, the last rows, the rows of all
    traces one after the other, how many rows each run has, and whether Ctrl-C was pressed.
    """

def generate(generator: str, *, n_samples: int, n_tokens: int, dim: int, seed: int, signal: float, noise: float, equal_scores: bool) -> dict[str, Any]:
    """A generated data set as a dict of arrays."""

def load_dataset(path: str, dtype: str = '', memory: int = 0) -> dict[str, Any]:
    """
    A safetensors file as a dict of arrays; with `memory` its tokens stay in the file.
    """

def save_dataset(path: str, problem: Problem, stored: str = 'working') -> None:
    """
    Writes a problem's data to a safetensors file, tokens and queries as "working", "f64", "f32", "f16" or "bf16".
    """

def generators() -> list[tuple[str, str]]:
    """Name and summary of each generator."""

def solve_max_margin(problem: Problem, *, selected: ArrayLike | None = None, tolerance: float = 1e-10, max_sweeps: int = 100000, n_threads: int = 1, stop: StopSource | None = None, progress: Callable[[int, float, float], object] | None = None) -> dict[str, Any]:
    """W_mm and its certificate, as a dict."""

def solve_max_margin_in_norm(problem: Problem, norm: str, *, p: float = 2.0, selected: ArrayLike | None = None, tolerance: float = 1e-08, max_sweeps: int = 100000, n_threads: int = 1, stop: StopSource | None = None, progress: Callable[[int, float, float], object] | None = None) -> dict[str, Any]:
    """The same in the l_p or the nuclear norm."""

def solve_max_margin_with_ties(problem: Problem, tied: Sequence[Sequence[int]], *, tolerance: float = 1e-10, max_sweeps: int = 100000, n_threads: int = 1, stop: StopSource | None = None, progress: Callable[[int, float, float], object] | None = None) -> dict[str, Any]:
    """W_mm where several tokens of a sample share the best score."""

def solve_next_token_max_margin(contexts: ArrayLike, vocabulary: int, supports: Sequence[Sequence[int]], *, tolerance: float = 1e-10, max_sweeps: int = 100000, n_threads: int = 1, stop: StopSource | None = None, progress: Callable[[int, float, float], object] | None = None) -> dict[str, Any]:
    """The NTP-SVM: W [vocabulary, dim] and its certificate."""

def solve_linear_max_margin(points: ArrayLike, labels: ArrayLike, *, tolerance: float = 1e-10, max_sweeps: int = 100000, n_threads: int = 1, stop: StopSource | None = None, progress: Callable[[int, float, float], object] | None = None) -> dict[str, Any]:
    """The hard-margin separator of labelled points, without intercept."""

class HeadOptions:
    """
    What attention over heads is asked for; made once for many calls.

    scale: 1/sqrt(dim) if None (linear attention: 1). soft_cap: c of c tanh(s/c), 0 for none. causal, before, after: which keys a
    query sees; query i of m stands beside key i + n - m of n. key_lengths: int64 [batch]. query_offsets, key_offsets: int64
    [batch + 1] of ragged batches, whose arrays are [rows, heads, dim]. n_threads: 0 for all. Raises InvalidArgument.
    """

    def __init__(self, scale: float | None = None, soft_cap: float = 0.0, causal: bool = False, before: int | None = None, after: int | None = None, key_lengths: ArrayLike | None = None, query_offsets: ArrayLike | None = None, key_offsets: ArrayLike | None = None, n_threads: int = 0, isa: str = '') -> None: ...

    @property
    def ragged(self) -> bool:
        """Whether offsets were given."""

class HeadsState:
    """
    What attention_forward leaves for attention_backward and the others. Serves any number of calls.
    """

    def __init__(self) -> None: ...

def attention_forward(queries: ArrayLike, keys: ArrayLike, values: ArrayLike, options: HeadOptions, *, bias: ArrayLike | None = None, out: ArrayLike | None = None, log_sum_exp: ArrayLike | bool | None = None, state: HeadsState | None = None) -> tuple[Any, Any]:
    """
    O = softmax(scale Q K^T + bias) V, and the log-sum-exp of each row.

    queries [B, H, Tq, d], keys [B, Hkv, Tk, d], values [B, Hkv, Tk, dv], Hkv a divisor of H; ragged: [rows, heads, dim]. float64,
    or float32, float16 and bfloat16, which are computed with in float32. Strides of any sign; the last axis contiguous. bias
    [B or 1, H or 1, Tq, Tk], C order, of the type that is computed with. out: [B, H, Tq, dv], written where given. log_sum_exp: True,
    or an array [B, H, Tq] ([H, rows]) to write. state: filled for attention_backward.

    Returns (out, log_sum_exp or None). Raises InvalidArgument; nothing has been written then.
    """

def attention_backward(queries: ArrayLike, keys: ArrayLike, values: ArrayLike, state: HeadsState, output_gradient: ArrayLike, options: HeadOptions, *, bias: ArrayLike | None = None, wanted: str = 'qkv', scaled: bool = False, query_gradient: ArrayLike | None = None, key_gradient: ArrayLike | None = None, value_gradient: ArrayLike | None = None) -> tuple[Any, Any, Any, Any, Any, Any]:
    """
    Gradients of sum(dO * O), after attention_forward on the same inputs with the same options and `state`.

    wanted: letters of "qkvb" (queries, keys, values, bias). scaled: row i of dQ is to be multiplied by e^query_exponents[i], dK of a
    key head by e^key_exponents; they stay true where the plain numbers underflow. query_gradient, key_gradient, value_gradient: arrays
    to write.

    Returns (dQ, dK, dV, dbias, query_exponents [B, H, Tq], key_exponents [B, Hkv]); None for what is not wanted.
    """

def attention_tangent(queries: ArrayLike, keys: ArrayLike, values: ArrayLike, state: HeadsState, options: HeadOptions, *, bias: ArrayLike | None = None, query_direction: ArrayLike | None = None, key_direction: ArrayLike | None = None, value_direction: ArrayLike | None = None, out: ArrayLike | None = None) -> Any:
    """
    Derivative of the output along a direction (Jacobian-vector product); what is None stands still. As attention_backward.
    """

def attention_hessian_product(queries: ArrayLike, keys: ArrayLike, values: ArrayLike, state: HeadsState, output_gradient: ArrayLike, options: HeadOptions, *, bias: ArrayLike | None = None, query_direction: ArrayLike | None = None, key_direction: ArrayLike | None = None, value_direction: ArrayLike | None = None, output_gradient_direction: ArrayLike | None = None, wanted: str = 'qkv', scaled: bool = False, query_gradient: ArrayLike | None = None, key_gradient: ArrayLike | None = None, value_gradient: ArrayLike | None = None) -> tuple[Any, Any, Any, Any, Any, Any]:
    """
    Derivatives of dQ, dK and dV along a direction of queries, keys, values and output gradient. Returns as attention_backward.
    """

def linear_attention_forward(queries: ArrayLike, keys: ArrayLike, values: ArrayLike, options: HeadOptions, *, log_gates: ArrayLike | None = None, out: ArrayLike | None = None) -> Any:
    """
    o_i = scale sum_j (q_i . k_j) v_j, with gates (causal) S_t = diag(g_t) S_(t-1) + k_t v_t^T, o_i = scale S^T q_i.

    Arrays as in attention_forward. log_gates: log g_t <= 0, [B, Hkv, Tk, 1] or [B, Hkv, Tk, d]; only with a causal mask. Sources:
    Katharopoulos et al. 2020; Sun et al. 2023; Dao, Gu 2024; Yang et al. 2024. Raises InvalidArgument.
    """

def linear_attention_backward(queries: ArrayLike, keys: ArrayLike, values: ArrayLike, output_gradient: ArrayLike, options: HeadOptions, *, log_gates: ArrayLike | None = None, wanted: str = 'qkv', query_gradient: ArrayLike | None = None, key_gradient: ArrayLike | None = None, value_gradient: ArrayLike | None = None, log_gate_gradient: ArrayLike | None = None) -> tuple[Any, Any, Any, Any]:
    """
    Gradients of sum(dO * O) by queries, keys, values and log gates ("qkvg" in `wanted`).

    Returns (dQ, dK, dV, dlog_gates); None for what is not wanted.
    """

def xla_handlers() -> dict[str, Any]:
    """Functions for jax.ffi.register_ffi_target, by name."""
