"""softstep in JAX: attention, the layer of the theory, losses of a Problem, and step rules in the manner of optax.

All of it runs on the CPU, under jit, grad, grad of grad, and vmap (one call for each entry, one after the other). XLA calls
attention by itself, through its interface for foreign functions, where JAX has one (`jax.ffi`) and computes on the CPU; else, and
for the losses of a Problem, which is an object of Python's, it goes through jax.pure_callback. Neither keeps anything for the
backward pass, which so computes the forward pass once more. `import softstep` does not import JAX; this module does. optax is not
needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from . import _core, _layer
from ._core import Model
from .errors import InvalidArgument
from .scaled import Scaled

__all__ = ["GradientTransformation", "attention", "attention_layer", "log_gap", "loss", "ngd", "polyak"]


_struct: Any = jax.ShapeDtypeStruct  # its constructor has no types in some versions


class _Options(NamedTuple):
    scale: float | None
    soft_cap: float
    causal: bool
    before: int | None
    after: int | None
    n_threads: int


@lru_cache(maxsize=256)
def _plain(options: _Options) -> _core.HeadOptions:
    scale, soft_cap, causal, before, after, n_threads = options
    return _core.HeadOptions(scale, soft_cap, causal, before, after, n_threads=n_threads)


def _made(options: _Options, lengths: Any, query_offsets: Any, key_offsets: Any) -> _core.HeadOptions:
    if lengths is None and query_offsets is None:
        return _plain(options)
    lengths, query_offsets, key_offsets = (
        None if x is None else np.asarray(x, dtype=np.int64) for x in (lengths, query_offsets, key_offsets)
    )
    scale, soft_cap, causal, before, after, n_threads = options
    return _core.HeadOptions(scale, soft_cap, causal, before, after, lengths, query_offsets, key_offsets, n_threads)


def _host(x: Any) -> Any:
    """What a callback is given, as a NumPy array in C order; on the CPU that is the memory of JAX itself."""
    return None if x is None else np.asarray(x, order="C")


def _shape(x: Any) -> Any:
    return _struct(x.shape, x.dtype)


def _output(q: Any, v: Any) -> Any:
    return _struct((*q.shape[:-1], v.shape[-1]), q.dtype)


def _register() -> Any:
    """jax.ffi once it knows the library's functions; None where there is none, or it does not take them."""
    try:
        from jax import ffi

        for name, handler in _core.xla_handlers().items():
            ffi.register_ffi_target(name, handler, platform="cpu")
    except Exception:
        return None
    return ffi


_ffi: Any = _register()


def _direct() -> bool:
    return _ffi is not None and jax.default_backend() == "cpu"


def _foreign(name: str, shapes: Any, options: _Options, q: Any, k: Any, v: Any, bias: Any, masks: Any, *more: Any) -> Any:
    """A call that XLA makes without Python (python/src/xla_attention.cpp)."""
    given = sum(bit for bit, x in zip((1, 2, 4, 8), (bias, *masks[:2], options.scale)) if x is not None)
    numbers = np.array([options.scale or 0.0, options.soft_cap], dtype=np.float64)
    width = [-1 if x is None else x for x in (options.before, options.after)]
    integers = np.array([options.causal, *width, options.n_threads, given], dtype=np.int64)
    arrays = [x for x in (q, k, v, bias, *masks, *more) if x is not None]
    return _ffi.ffi_call(name, shapes, vmap_method="sequential")(*arrays, numbers=numbers, integers=integers)


def _call(function: Callable[..., Any], shapes: Any, *arrays: Any) -> Any:
    return jax.pure_callback(function, shapes, *arrays, vmap_method="sequential")


# Each host function computes forward first: the state of a pass cannot travel through a callback.


def _forward_host(options: _Options, q: Any, k: Any, v: Any, bias: Any, masks: Any) -> Any:
    q, k, v, bias = (_host(x) for x in (q, k, v, bias))
    return _core.attention_forward(q, k, v, _made(options, *masks), bias=bias)[0]


def _backward_host(options: _Options, q: Any, k: Any, v: Any, bias: Any, masks: Any, gradient: Any) -> Any:
    q, k, v, bias = (_host(x) for x in (q, k, v, bias))
    made, state = _made(options, *masks), _core.HeadsState()
    _core.attention_forward(q, k, v, made, bias=bias, state=state)
    wanted = "qkv" if bias is None else "qkvb"
    found = _core.attention_backward(q, k, v, state, _host(gradient), made, bias=bias, wanted=wanted)
    return found[: len(wanted)]


def _second_host(
    options: _Options, q: Any, k: Any, v: Any, bias: Any, masks: Any, gradient: Any, aq: Any, ak: Any, av: Any
) -> Any:
    q, k, v, bias = (_host(x) for x in (q, k, v, bias))
    made, state = _made(options, *masks), _core.HeadsState()
    _core.attention_forward(q, k, v, made, bias=bias, state=state)
    along = {"query_direction": _host(aq), "key_direction": _host(ak), "value_direction": _host(av)}
    found = _core.attention_hessian_product(q, k, v, state, _host(gradient), made, bias=bias, **along)
    return (*found[:3], _core.attention_tangent(q, k, v, state, made, bias=bias, **along))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attention(options: _Options, q: Any, k: Any, v: Any, bias: Any, masks: Any) -> Any:
    if _direct():
        return _foreign("softstep_attention", _output(q, v), options, q, k, v, bias, masks)
    return _call(partial(_forward_host, options), _output(q, v), q, k, v, bias, masks)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _gradients(options: _Options, q: Any, k: Any, v: Any, bias: Any, masks: Any, gradient: Any) -> Any:
    shapes = tuple(_shape(x) for x in (q, k, v) + (() if bias is None else (bias,)))
    if _direct():
        return tuple(_foreign("softstep_attention_backward", shapes, options, q, k, v, bias, masks, gradient))
    return _call(partial(_backward_host, options), shapes, q, k, v, bias, masks, gradient)


def _nothing(masks: Any) -> Any:
    """The cotangent of integers."""
    return jax.tree.map(lambda x: np.zeros(x.shape, dtype=jax.dtypes.float0), masks)


def _attention_forward(options: _Options, q: Any, k: Any, v: Any, bias: Any, masks: Any) -> Any:
    return _attention(options, q, k, v, bias, masks), (q, k, v, bias, masks)


def _attention_backward(options: _Options, kept: Any, gradient: Any) -> Any:
    found = _gradients(options, *kept, gradient)
    return (*found[:3], found[3] if kept[3] is not None else None, _nothing(kept[4]))


def _gradients_forward(options: _Options, *arrays: Any) -> Any:
    return _gradients(options, *arrays), arrays


def _gradients_backward(options: _Options, kept: Any, along: Any) -> Any:
    q, k, v, bias, masks, gradient = kept
    shapes = (_shape(q), _shape(k), _shape(v), _shape(gradient))
    if _direct():
        found = _foreign("softstep_attention_second", shapes, options, *kept, *along[:3])
    else:
        found = _call(partial(_second_host, options), shapes, *kept, *along[:3])
    hq, hk, hv, moved = found
    # The library has no second derivative by the bias: NaN says so where it is used, also where the gradient by the bias is
    # what is differentiated, by whatever.
    if bias is not None:
        lost = jnp.any(along[3] != 0)
        hq, hk, hv, moved = (jnp.where(lost, jnp.nan, x) for x in (hq, hk, hv, moved))
    return hq, hk, hv, None if bias is None else jnp.full_like(bias, jnp.nan), _nothing(masks), moved


_attention.defvjp(_attention_forward, _attention_backward)
_gradients.defvjp(_gradients_forward, _gradients_backward)


def attention(
    queries: Any,
    keys: Any,
    values: Any,
    bias: Any = None,
    *,
    scale: float | None = None,
    soft_cap: float = 0.0,
    causal: bool = False,
    before: int | None = None,
    after: int | None = None,
    key_lengths: Any = None,
    query_offsets: Any = None,
    key_offsets: Any = None,
    n_threads: int = 0,
) -> Any:
    """O = softmax(c tanh(scale Q K^T / c) + bias) V, differentiable twice (by the bias once; NaN the second time).

    queries [B, H, Tq, d], keys [B, Hkv, Tk, d], values [B, Hkv, Tk, dv], Hkv a divisor of H; with offsets [rows, heads, dim].
    bias [B or 1, H or 1, Tq, Tk]. All other arguments are those of `softstep.torch.attention`. Returns [B, H, Tq, dv].

    Raises InvalidArgument (a ValueError) that names the argument. Source: docs/mathematics.md, section 11.
    """
    ragged = query_offsets is not None
    if ragged != (key_offsets is not None):
        raise InvalidArgument("key_offsets: given without query_offsets, or these without them (need both or none)", "key_offsets")
    queries, keys, values = (jnp.asarray(x) for x in (queries, keys, values))
    if bias is not None:
        bias = jnp.asarray(bias).astype(jnp.float64 if queries.dtype == jnp.float64 else jnp.float32)
    for name, x in (("queries", queries), ("keys", keys), ("values", values)):
        if x.dtype not in (jnp.float64, jnp.float32, jnp.float16, jnp.bfloat16):
            raise InvalidArgument(f"{name}: dtype {x.dtype} (need float16, bfloat16, float32 or float64)", name)
        if x.dtype != queries.dtype:
            raise InvalidArgument(f"{name}: dtype {x.dtype} beside queries of {queries.dtype}", name)
        if x.ndim != (3 if ragged else 4):
            raise InvalidArgument(f"{name}: shape {x.shape} (need {'3' if ragged else '4'} axes)", name)
    # In a callback, or in XLA, an error would lose its kind, so the sizes are looked at here.
    batch, rows = queries.shape[0], keys.shape[-3 if ragged else -2]
    wanted_keys = (rows, keys.shape[1], queries.shape[-1]) if ragged else (batch, keys.shape[1], rows, queries.shape[-1])
    for name, x, wanted in (("keys", keys, wanted_keys), ("values", values, (*wanted_keys[:-1], values.shape[-1]))):
        if x.shape != wanted:
            raise InvalidArgument(f"{name}: shape {x.shape} (need {wanted})", name)
    if keys.shape[1] == 0 or queries.shape[1] % keys.shape[1] != 0:
        raise InvalidArgument(f"keys: {keys.shape[1]} heads (need a divisor of {queries.shape[1]})", "keys")
    if bias is not None:
        fits = not ragged and bias.ndim == 4 and bias.shape[2:] == (queries.shape[2], rows)
        if not fits or bias.shape[0] not in (1, batch) or bias.shape[1] not in (1, queries.shape[1]):
            raise InvalidArgument(f"bias: shape {bias.shape} (need (batch or 1, heads or 1, queries, keys))", "bias")
    masks = tuple(None if x is None else jnp.asarray(x) for x in (key_lengths, query_offsets, key_offsets))
    if masks[1] is not None:  # ragged
        batch = max(masks[1].size - 1, 0)
    for name, x, size in zip(("key_lengths", "query_offsets", "key_offsets"), masks, (batch, batch + 1, batch + 1)):
        if x is not None and x.dtype not in (jnp.int32, jnp.int64):
            raise InvalidArgument(f"{name}: dtype {x.dtype} (need int32 or int64)", name)
        if x is not None and x.shape != (size,):
            raise InvalidArgument(f"{name}: shape {x.shape} (need {(size,)})", name)
    if batch == 0 or 0 in (queries.shape[1], queries.shape[-1]):
        raise InvalidArgument(f"queries: shape {queries.shape}, batch {batch} (batch, heads and dim must be 1 or more)", "queries")
    if values.shape[-1] == 0:
        raise InvalidArgument(f"values: shape {values.shape} (dim must be 1 or more)", "values")
    if scale is not None and not np.isfinite(scale):
        raise InvalidArgument(f"scale: {scale} (need a finite number)", "scale")
    if not (np.isfinite(soft_cap) and soft_cap >= 0):
        raise InvalidArgument(f"soft_cap: {soft_cap} (need a finite number, 0 or more)", "soft_cap")
    options = _Options(scale, soft_cap, causal, before, after, n_threads)
    _plain(options)
    return _attention(options, queries, keys, values, bias, masks)


def attention_layer(
    tokens: Any, weights: Any, decoder: Any, queries: Any = None, *, lengths: Any = None, n_threads: int = 0
) -> Any:
    """f_i = u^T X_i^T softmax(X_i W z_i), [n], differentiable by all of X, W, u and z, twice.

    tokens X [n, T, d], weights W [d, d], decoder u [d], queries z [n, d] or None for the first token of each sample, lengths
    [n] or None. Raises InvalidArgument. Source: arXiv 2402.05738, equation 1.
    """
    for _ in _layer.parts(tokens, weights, decoder, queries):
        pass
    return _layer.mixed(attention, tokens, weights, decoder, queries, lengths, n_threads)


# ---- losses of a Problem


def _point(problem: Model, weights: Any) -> Any:
    if isinstance(weights, dict):
        return {name: _host(w) for name, w in weights.items()}
    return tuple(_host(w) for w in weights) if isinstance(weights, (tuple, list)) else _host(weights)


def _scalar(problem: Model) -> Any:
    return _struct((), problem.dtype)


def _loss_host(problem: Model, weights: Any) -> Any:
    return np.asarray(problem.loss(_point(problem, weights)), dtype=problem.dtype)


def _gradient_host(problem: Model, weights: Any) -> Any:
    return problem.value_and_grad(_point(problem, weights))[1]


def _hvp_host(problem: Model, weights: Any, along: Any) -> Any:
    return problem.hvp(_point(problem, weights), _point(problem, along))


def _log_gap_host(problem: Model, weights: Any) -> Any:
    value, gradient = problem.log_gap(_point(problem, weights))
    return np.asarray(value, dtype=problem.dtype), gradient


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def loss(problem: Model, weights: Any) -> Any:
    """L(W), a scalar, differentiable twice.

    weights: [dim, dim] of the problem's dtype, or a tuple or dict of its blocks (`Problem.blocks`). Plain numbers: gradients
    underflow where training has come far; use `log_gap`, or `Problem.evaluate` with `ngd` and `polyak`, there.
    """
    return _call(partial(_loss_host, problem), _scalar(problem), weights)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _loss_gradient(problem: Model, weights: Any) -> Any:
    return _call(partial(_gradient_host, problem), jax.tree.map(_shape, weights), weights)


def _times(factor: Any, tree: Any) -> Any:
    return jax.tree.map(lambda x: factor * x, tree)


loss.defvjp(
    lambda problem, weights: (loss(problem, weights), weights),
    lambda problem, weights, along: (_times(along, _loss_gradient(problem, weights)),),
)
_loss_gradient.defvjp(
    lambda problem, weights: (_loss_gradient(problem, weights), weights),
    lambda problem, weights, along: (
        _call(partial(_hvp_host, problem), jax.tree.map(_shape, weights), weights, along),
    ),
)


def _log_gap_both(problem: Model, weights: Any) -> Any:
    return _call(partial(_log_gap_host, problem), (_scalar(problem), jax.tree.map(_shape, weights)), weights)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def log_gap(problem: Model, weights: Any) -> Any:
    """log(L(W) - L*), a scalar, differentiable once: it falls for ever, and its gradient does not underflow.

    weights as in `loss`. Source: softstep/log_gap.h.
    """
    return _log_gap_both(problem, weights)[0]


log_gap.defvjp(_log_gap_both, lambda problem, gradient, along: (_times(along, gradient),))


# ---- step rules


class GradientTransformation(NamedTuple):
    """init(params) -> state; update(gradients, state, params=None, **more) -> (updates, state). As optax's, which takes it."""

    #: of parameters, returns the state
    init: Callable[..., Any]
    #: of gradients and state, returns updates and state
    update: Callable[..., Any]


class _Count(NamedTuple):
    count: Any


def _is_scaled(x: Any) -> bool:
    return isinstance(x, Scaled)


def _logs(gradients: Any) -> tuple[list[tuple[Any, Any]], Any, Any, Any]:
    """Mantissas with exponents over the largest of these; how they lie in the tree; the logarithm of the norm of all over the
    same, -inf for zero; and that exponent.

    Over the largest, as an exponent of -1e6 has hardly a digit behind the point in float32.
    """
    leaves, tree = jax.tree.flatten(gradients, is_leaf=_is_scaled)
    pairs = [tuple(x) if _is_scaled(x) else (x, 0.0) for x in leaves]
    exponents = [exponent for _, exponent in pairs]
    # Numbers of Python are subtracted in float64.
    known = all(isinstance(exponent, (int, float)) for exponent in exponents)
    top = max(exponents) if known else jnp.max(jnp.stack([jnp.asarray(exponent) for exponent in exponents]))
    top = (top if math.isfinite(top) else 0.0) if known else jnp.where(jnp.isfinite(top), top, 0.0)
    pairs = [(mantissa, exponent - top) for mantissa, exponent in pairs]
    logs = []
    for mantissa, exponent in pairs:
        m = jnp.abs(jnp.asarray(mantissa))
        m = m.astype(jnp.promote_types(m.dtype, jnp.float32))  # a sum of squares leaves 16 bits soon
        largest = jnp.max(m, initial=0)
        unit = jnp.where(largest > 0, largest, 1)
        size = jnp.log(unit) + 0.5 * jnp.log(jnp.sum(jnp.square(m / unit)))
        logs.append(jnp.where(largest == 0, -jnp.inf, size + exponent))
    return pairs, tree, jax.nn.logsumexp(2.0 * jnp.stack(logs)) / 2.0, top


def _unit(pairs: list[tuple[Any, Any]], tree: Any, log_norm: Any, length: Any) -> Any:
    """-length G / |G|; nothing where the gradient is zero."""
    made = []
    for mantissa, exponent in pairs:
        half = jnp.exp(0.5 * jnp.where(log_norm == -jnp.inf, -jnp.inf, exponent - log_norm))
        made.append(jnp.asarray(-(mantissa * half * half) * length, dtype=jnp.asarray(mantissa).dtype))
    return jax.tree.unflatten(tree, made)


def ngd(learning_rate: float = 1.0, decay: float = 0.0) -> GradientTransformation:
    """Normalised gradient descent: updates -learning_rate (t+1)^-decay G / |G|, |G| over all leaves.

    A leaf of the gradients may be a `Scaled`, as `Problem.scaled` gives it: only the direction counts, however small it is.
    Source: arXiv 2402.05738. Raises InvalidArgument.
    """
    if not learning_rate > 0:
        raise InvalidArgument(f"learning_rate: {learning_rate} (need a number > 0)", "learning_rate")
    if not decay >= 0:
        raise InvalidArgument(f"decay: {decay} (need a number >= 0)", "decay")

    def init(params: Any) -> _Count:
        return _Count(jnp.zeros((), jnp.int32))

    def update(gradients: Any, state: _Count, params: Any = None, **more: Any) -> tuple[Any, _Count]:
        length = learning_rate * (state.count + 1.0) ** -decay
        pairs, tree, log_norm, _ = _logs(gradients)
        return _unit(pairs, tree, log_norm, length), _Count(state.count + 1)

    return GradientTransformation(init, update)


def polyak(factor: float = 2.0, optimal_loss: float = 0.0) -> GradientTransformation:
    """Polyak's step: updates -(L - L*) / (factor |G|^2) G, |G| over all leaves.

    update needs value=: the loss, or L - L* as a `Scaled` (`Problem.loss_gap`). Leaves of the gradients may be `Scaled`. A gap
    that is not positive moves nothing. Sources: Polyak 1987; arXiv 2402.05738. Raises InvalidArgument.
    """
    if not factor > 0:
        raise InvalidArgument(f"factor: {factor} (need a number > 0)", "factor")

    def init(params: Any) -> _Count:
        return _Count(jnp.zeros((), jnp.int32))

    def update(
        gradients: Any, state: _Count, params: Any = None, *, value: Any = None, **more: Any
    ) -> tuple[Any, _Count]:
        if value is None:
            raise InvalidArgument("value: None (Polyak's step needs the loss)", "value")
        gap, exponent = value if _is_scaled(value) else (value - optimal_loss, 0.0)
        pairs, tree, log_norm, top = _logs(gradients)
        gap = jnp.asarray(gap)
        log_length = jnp.log(jnp.where(gap > 0, gap, 1)) + (exponent - top) - log_norm
        length = jnp.where((gap > 0) & (log_norm > -jnp.inf), jnp.exp(log_length) / factor, 0.0)
        return _unit(pairs, tree, log_norm, length), _Count(state.count + 1)

    return GradientTransformation(init, update)
