"""Loss, gradients and attention against the oracle; arrays of every kind; bad input."""

import concurrent.futures

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import softstep


def batch(seed=0, n=4, t=3, d=5, dtype="float64"):
    rng = np.random.default_rng(seed)
    tokens = rng.normal(size=(n, t, d)).astype(dtype)
    return tokens, rng.choice([-1, 1], size=n), rng.normal(size=d).astype("float64" if dtype == "float64" else "float32")


def bound(tokens, weights, unit):
    """K u (1 + S) of softstep/attention_model.h: K = 8 (dim + n_tokens), S the largest |x|^T |W| |z|."""
    x = np.abs(np.asarray(tokens, np.float64))
    scores = np.einsum("ntd,de,ne->nt", x, np.abs(np.asarray(weights, np.float64)), x[:, 0])
    return 8 * (x.shape[1] + x.shape[2]) * unit * (1 + scores.max())


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 6),
    t=st.integers(1, 7),
    d=st.integers(1, 9),
    dtype=st.sampled_from(["float64", "float32", "float16"]),
    token_step=st.integers(1, 2),
    sample_step=st.integers(1, 3),
)
def test_agrees_with_the_oracle(seed, n, t, d, dtype, token_step, sample_step):
    whole, labels, decoder = batch(seed, n * sample_step, t * token_step, d, dtype)
    tokens, labels = whole[::sample_step, ::token_step], labels[::sample_step]
    problem = softstep.Problem(tokens, labels, decoder)
    assert problem.tokens_address == whole.ctypes.data
    weights = np.random.default_rng(seed + 1).normal(size=(d, d)).astype(problem.dtype)
    loss, gradient, attention = oracle.layer(list(tokens), labels, decoder, weights)
    got, got_gradient = problem.value_and_grad(weights)
    unit = np.finfo(problem.dtype).eps
    size = bound(tokens, weights, unit) * (1 + np.abs(np.einsum("ntd,d->nt", np.abs(tokens.astype("f8")), np.abs(decoder))).max())
    assert abs(got - loss) <= size
    assert np.abs(got_gradient - gradient).max() <= size * max(1.0, float(np.abs(tokens).max()) ** 2)
    assert np.abs(problem.attention(weights) - np.array(attention, float)).max() <= size


def test_scaled_gradient_is_true_where_the_plain_one_underflows():
    problem = softstep.generate(seed=0).problem()
    limit = softstep.solve_max_margin(problem).weights
    weights = limit / np.linalg.norm(limit) * 1e6
    assert not problem.value_and_grad(weights)[1].any()
    mantissa, exponent = problem.scaled(weights)
    assert exponent < -1e5 and np.isfinite(mantissa).all() and mantissa.any()
    assert problem.loss_gap(weights).log10() < -1e5


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_plain_is_infinity_where_the_type_cannot_hold_it(dtype):
    array = np.array([1.0, -2.0, 0.0], dtype=dtype)
    for exponent in (750.0, 1500.0, 1e6, np.inf):
        assert softstep.Scaled(2.0, exponent).plain() == np.inf and softstep.Scaled(0.0, exponent).plain() == 0
        found = softstep.Scaled(array, exponent).plain()
        assert found.dtype == dtype and (found == np.array([np.inf, -np.inf, 0.0])).all()
    for exponent in (-1500.0, -1e6, -np.inf):
        assert softstep.Scaled(2.0, exponent).plain() == 0 and not softstep.Scaled(array, exponent).plain().any()


def test_plain_and_log_of_mantissas_far_from_1():
    for size, exponent in ((1e300, -1300.0), (1e-300, 1300.0), (1e300, -750.0)):
        wanted = np.log(size) + exponent
        # The rounding of an exponent is the relative error of what it stands for.
        close = 8 * 2.0**-53 * (abs(exponent) + abs(np.log(size)))
        for mantissa in (size, np.full(2, size)):
            made = softstep.Scaled(mantissa, exponent)
            assert np.abs(np.log(made.plain()) - wanted).max() <= close
            assert abs(made.log() - wanted - 0.5 * np.log(np.size(mantissa))) <= close


def test_out_is_written_in_place_and_returned():
    tokens, labels, decoder = batch()
    problem = softstep.Problem(tokens, labels, decoder)
    out = np.full((5, 5), np.nan)
    loss, gradient = problem.value_and_grad(np.eye(5), out)
    assert gradient is out and np.isfinite(out).all()


def test_ragged_lists_and_offsets_agree():
    tokens, labels, decoder = batch()
    samples = [tokens[0], tokens[1, :2], tokens[2, :1], tokens[3]]
    listed = softstep.Problem(samples, labels, decoder)
    rows = softstep.Problem(np.concatenate(samples), labels, decoder, offsets=[0, 3, 5, 6, 9])
    w = np.eye(5)
    assert listed.loss(w) == rows.loss(w)
    assert abs(listed.loss(w) - float(oracle.layer(samples, labels, decoder, w)[0])) <= 1e-14


def test_hvp_is_the_derivative_of_the_gradient():
    tokens, labels, decoder = batch()
    problem = softstep.Problem(tokens, labels, decoder)
    rng = np.random.default_rng(1)
    w, v = rng.normal(size=(2, 5, 5))
    h = 1e-6  # central differences: h^2 and rounding 1e-16 / h, both below 1e-9
    difference = (problem.value_and_grad(w + h * v)[1] - problem.value_and_grad(w - h * v)[1]) / (2 * h)
    assert np.abs(problem.hvp(w, v) - difference).max() <= 1e-8


def bad_points():
    w = np.eye(5)
    frozen = np.eye(5)
    frozen.flags.writeable = False
    yield "W", "float32", dict(W=w.astype("f4"))
    yield "W", "shape", dict(W=np.eye(4))
    yield "W", "contiguous", dict(W=np.asfortranarray(np.arange(25.0).reshape(5, 5)))
    yield "W", "contiguous", dict(W=w[::-1])
    yield "W", "swapped", dict(W=w.astype(">f8"))
    yield "W", "not an array", dict(W="text")
    yield "W", "format", dict(W=w.astype(complex))
    yield "out", "read-only", dict(W=w, out=frozen)
    yield "out", "shape", dict(W=w, out=np.zeros((4, 5)))
    yield "out", "overlaps", dict(W=w, out=w)
    yield "samples", "int64", dict(W=w, samples=np.array([0.0]))
    yield "samples", "-1", dict(W=w, samples=np.array([-1]))


@pytest.mark.parametrize("argument, word, arguments", list(bad_points()))
def test_bad_points_are_named(argument, word, arguments):
    problem = softstep.Problem(*batch())
    with pytest.raises(softstep.InvalidArgument, match=word) as raised:
        problem.value_and_grad(**arguments)
    assert raised.value.argument == argument and isinstance(raised.value, ValueError)


@pytest.mark.parametrize(
    "argument, change",
    [
        ("tokens", dict(tokens=np.zeros((4, 3, 5), int))),
        ("tokens", dict(tokens=np.zeros((4, 3, 5))[:, ::-1])),
        ("tokens", dict(tokens=np.broadcast_to(np.zeros(5), (4, 3, 5)))),
        ("tokens", dict(tokens=np.zeros((4, 3, 10))[:, :, ::2])),
        ("tokens", dict(tokens=[])),
        ("tokens", dict(tokens=[np.zeros((2, 5)), np.zeros((2, 4))])),
        ("labels", dict(labels=[1, -1, 1])),
        ("labels", dict(labels=[1, -1, 257, 1])),
        ("labels", dict(labels=[1, -1, 0.5, 1])),
        ("decoder", dict(decoder=np.zeros(4))),
        ("queries", dict(queries="some")),
        ("rank", dict(rank=2)),
        ("rank", dict(rank=2, key_query="prompt")),
        ("loss", dict(loss="hinge")),
        ("key_query", dict(key_query="other")),
    ],
)
def test_bad_batches_are_named(argument, change):
    tokens, labels, decoder = batch()
    with pytest.raises(softstep.InvalidArgument) as raised:
        softstep.Problem(**{**dict(tokens=tokens, labels=labels, decoder=decoder), **change})
    assert raised.value.argument == argument


@pytest.mark.parametrize(
    "shape, change",
    [((0, 3, 5), dict(labels=[])), ((4, 0, 5), {}), ((4, 3, 0), dict(decoder=[])), ((0, 5), dict(labels=[], offsets=[0]))],
)
def test_tokens_of_no_size_are_told_by_their_shape(shape, change):
    tokens, labels, decoder = np.zeros(shape), *batch()[1:]
    with pytest.raises(softstep.InvalidArgument, match="^tokens: shape [(]" + ", ".join(map(str, shape)) + "[)] [(]need a sample"):
        softstep.Problem(**{**dict(tokens=tokens, labels=labels, decoder=decoder), **change})


def test_heads_agree_with_the_oracle():
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 2, 3, 6, 4))
    for causal in (False, True):
        # (4 n + 40 + 2 log n + 2 (d + 6) max s) u max |v|, softstep/attention.h
        limit = (4 * 6 + 44 + 20 * 10) * 2**-53 * np.abs(v).max()
        assert np.abs(softstep.attention(q, k, v, causal=causal) - oracle.heads(q, k, v, causal)).max() <= limit


def test_heads_take_any_stride_of_a_size_of_one_or_none():
    q, k, v = np.random.default_rng(0).normal(size=(3, 1, 1, 1, 4))
    odd = [np.lib.stride_tricks.as_strided(x, x.shape, (2**62, -(2**63), 56, 8)) for x in (q, k, v)]
    assert odd[0].strides == (2**62, -(2**63), 56, 8)
    assert (softstep.attention(*odd) == softstep.attention(q, k, v)).all()
    none = np.lib.stride_tricks.as_strided(q, (2, 3, 0, 4), (2**62, 2**62, -(2**63), 8))
    keys = np.ones((2, 3, 5, 4))
    assert softstep.attention(none, keys, keys).shape == (2, 3, 0, 4)


def test_threads_share_tokens_that_are_widened():
    rng = np.random.default_rng(0)
    tokens = rng.standard_normal((300, 40, 100)).astype(np.float16)
    labels, decoder = np.ones(300, np.int8), np.ones(100, np.float32)

    def solved(problem):
        return softstep.solve_max_margin(problem, max_sweeps=1).weights

    alone = solved(softstep.Problem(tokens, labels, decoder))
    shared = softstep.Problem(tokens, labels, decoder)
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        for weights in threads.map(lambda _: solved(shared), range(4)):
            assert (weights == alone).all()


def test_blocks_of_a_state_of_another_model_are_refused():
    small, large = (softstep.generate(seed=0, n_samples=2, n_tokens=3, dim=dim).problem() for dim in (2, 3))
    for model, other in ((small, large), (large, small)):
        with pytest.raises(softstep.InvalidArgument, match="state: its block weights has"):
            softstep._core.state_blocks(model, softstep._core.initial_state(other))


@pytest.mark.parametrize(
    "name, call",
    {
        "a": lambda problem, w: softstep.matrix_norm(w),
        "b": lambda problem, w: softstep.compare_direction(w.real, w),
        "reference": lambda problem, w: problem.metrics(w.real.copy(), reference=w),
        "start": lambda problem, w: softstep.train(problem, "gd", steps=1, start=w),
        "rule": lambda problem, w: softstep.train(problem, lambda at: w, steps=1),
        "contexts": lambda problem, w: softstep.NextTokenData.of_supports(3, w, [{0: 1.0}] * len(w)),
    }.items(),
)
def test_no_imaginary_part_is_dropped(name, call):
    problem = softstep.Problem(*batch())
    with pytest.raises(softstep.InvalidArgument, match=f"^{name}: dtype complex128 ") as raised:
        call(problem, np.eye(5) * (1 + 2j))
    assert raised.value.argument == name
