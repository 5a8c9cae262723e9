"""Whatever arrays come, a call gives the right answer or an InvalidArgument, and writes nothing but its outputs.

SOFTSTEP_FUZZ_MINUTES says for how long; by default each check tries some hundred cases.
"""

import os
import time

import arrays
import numpy as np
import oracle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import softstep

MINUTES = float(os.environ.get("SOFTSTEP_FUZZ_MINUTES", "0"))
CHECKS = []


def fuzz(check):
    """A test that runs `check(draw)` for its share of the time."""

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.data())
    def some(data):
        check(data.draw)

    def test():
        end = time.monotonic() + 60 * MINUTES / len(CHECKS)
        some()
        while time.monotonic() < end:
            some()

    CHECKS.append(check)
    test.__name__ = check.__name__
    return test


def numbers(draw, size=1.0):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return lambda shape: size * rng.normal(size=shape)


def dtype(draw):
    return draw(st.sampled_from(arrays.FLOATS if draw(st.integers(0, 9)) else arrays.OTHERS))


def an_array(draw, shape, kind=None, size=1.0):
    if draw(st.integers(0, 9)) == 0:
        shape = draw(st.lists(st.integers(0, 4), max_size=5).map(tuple))
    plain = draw(st.booleans())
    return draw(arrays.strided(shape, kind or dtype(draw), numbers(draw, size), plain))


def attempt(call):
    """What it returns, or None where the arguments were refused by name."""
    try:
        return call()
    except softstep.InvalidArgument as error:
        assert error.argument and error.argument in str(error)
        return None


@fuzz
def test_problems(draw):
    n, t, d = (draw(st.integers(1, 6)) for _ in range(3))
    x = an_array(draw, (n, t, d))
    labels = draw(arrays.strided((n,), draw(st.sampled_from(["int8", "int64", "float64", "int32"])), lambda s: np.where(np.arange(s[0]) % 2, 1, -1), draw(st.booleans())))
    u = an_array(draw, (d,))
    queries = draw(st.sampled_from([None, None, "index", "vectors"]))
    if queries == "index":
        queries = np.random.default_rng(draw(st.integers(0, 99))).integers(0, t + draw(st.sampled_from([0, 0, 1])), size=n)
    elif queries == "vectors":
        queries = an_array(draw, (n, d)).array
    problem = attempt(lambda: softstep.Problem(x.array, labels.array, u.array, queries=queries, n_threads=draw(st.integers(0, 2))))
    assert x.untouched() and labels.untouched() and u.untouched()
    if problem is None:
        return
    w = an_array(draw, (d, d), problem.dtype if draw(st.integers(0, 4)) else None)
    out = an_array(draw, (d, d), problem.dtype if draw(st.integers(0, 4)) else None) if draw(st.booleans()) else None
    found = attempt(lambda: problem.value_and_grad(w.array, out and out.array))
    assert w.untouched() and x.untouched() and (out is None or out.only_itself_changed())
    if found is None:
        return
    z = queries if not (isinstance(queries, np.ndarray) and queries.dtype.kind == "i") else x.array[np.arange(n), queries]
    z = None if z is None else z.astype(problem.dtype)
    tokens, decoder = x.array.astype("f8"), u.array.astype(problem.dtype).astype("f8")
    matrix = w.array.reshape(d, d)  # a flat W of d d numbers is one too
    loss, gradient, _ = oracle.layer(list(tokens), labels.array, decoder, matrix, z)
    # K u (1 + S) of softstep/attention_model.h with K = 8 (d + T), times what a score and an outer product weigh.
    rows = (tokens[:, :1] if z is None else np.asarray(z, "f8")).reshape(n, -1, d)
    scores = np.einsum("ntd,de,nme->nmt", np.abs(tokens), np.abs(matrix.astype("f8")), np.abs(rows)).max()
    weight = 1 + np.einsum("ntd,d->nt", np.abs(tokens), np.abs(decoder)).max()
    bound = 8 * (d + t) * np.finfo(problem.dtype).eps * (1 + scores) * weight
    assert abs(found[0] - loss) <= bound
    # So is a flat out, which is what comes back then.
    assert np.abs(found[1].reshape(d, d) - gradient).max() <= bound * max(1.0, np.abs(tokens).max()) * max(1.0, np.abs(rows).max())


def some_heads(draw, d=None):
    b, group, hkv, m, n = (draw(st.integers(1, 3)) for _ in range(5))
    m, n = (draw(st.integers(0, 9)) if draw(st.booleans()) else x for x in (m, n))
    d, dv = d or draw(st.integers(1, 9)), draw(st.integers(1, 9))
    kind = dtype(draw)
    other = kind if draw(st.integers(0, 4)) else dtype(draw)
    q = an_array(draw, (b, group * hkv, m, d), kind)
    k, v = an_array(draw, (b, hkv, n, d), other), an_array(draw, (b, hkv, n, dv), kind)
    return q, k, v


@fuzz
def test_softmax_heads(draw):
    q, k, v = some_heads(draw)
    causal = draw(st.booleans())
    options = softstep.HeadOptions(causal=causal, n_threads=draw(st.integers(0, 2)))
    shape = (*q.array.shape[:-1], v.array.shape[-1] if v.array.ndim else 1)
    out = an_array(draw, shape, q.array.dtype) if draw(st.booleans()) else None
    state = softstep.HeadsState()
    found = attempt(lambda: softstep.attention_forward(q.array, k.array, v.array, options, out=out and out.array, state=state))
    assert q.untouched() and k.untouched() and v.untouched() and (out is None or out.only_itself_changed())
    if found is None:
        return
    wide = [np.asarray(x.array, "f8") for x in (q, k, v)]
    group = wide[0].shape[1] // wide[1].shape[1]
    repeated = [wide[0], *(np.repeat(x, group, 1) for x in wide[1:])]
    if repeated[1].shape[2] and found[0].size:
        with np.errstate(invalid="ignore"):
            right = np.nan_to_num(oracle.heads(*repeated, causal).astype("f8"))
        unit = np.finfo("f8" if q.array.dtype == np.float64 else "f4").eps / 2
        n, d = repeated[1].shape[2], repeated[0].shape[3]
        scores = np.einsum("bhid,bhjd->bhij", *map(np.abs, repeated[:2])).max(initial=0) / np.sqrt(d)
        bound = (4 * n + 40 + 2 * np.log(n) + 2 * (d + 6) * scores) * unit * np.abs(wide[2]).max(initial=0)
        # and the output is rounded to its type
        bound += np.finfo(found[0].dtype).eps / 2 * np.abs(wide[2]).max(initial=0)
        assert np.abs(found[0].astype("f8") - right).max(initial=0) <= bound
    gradient = an_array(draw, found[0].shape, found[0].dtype)
    outputs = [an_array(draw, x.array.shape, x.array.dtype) if draw(st.booleans()) else None for x in (q, k, v)]
    given = {f"{name}_gradient": o and o.array for name, o in zip(("query", "key", "value"), outputs)}
    back = attempt(lambda: softstep.attention_backward(q.array, k.array, v.array, state, gradient.array, options, **given))
    assert all(x.untouched() for x in (q, k, v, gradient)) and all(o is None or o.only_itself_changed() for o in outputs)
    if back is None:
        return
    # The same numbers in C order give the same gradients.
    plain = [np.ascontiguousarray(x.array) for x in (q, k, v, gradient)]
    again = softstep.HeadsState()
    softstep.attention_forward(*plain[:3], options, state=again)
    for a, b in zip(back[:3], softstep.attention_backward(*plain[:3], again, plain[3], options)):
        assert np.array_equal(a, b)


@fuzz
def test_linear_heads(draw):
    q, k, v = some_heads(draw)
    causal = draw(st.booleans())
    options = softstep.HeadOptions(causal=causal, n_threads=draw(st.integers(0, 2)))
    gates = None
    if draw(st.booleans()):
        last = draw(st.sampled_from([1, k.array.shape[-1] if k.array.ndim else 1]))
        gates = an_array(draw, (*k.array.shape[:-1], last), k.array.dtype)
        if gates.array.dtype.kind == "f" and gates.array.flags.writeable:
            np.negative(np.abs(gates.array), out=gates.array)
            gates = arrays.Made(gates.array, gates.memory)
    given = gates and gates.array
    found = attempt(lambda: softstep.linear_attention_forward(q.array, k.array, v.array, options, log_gates=given))
    everything = [x for x in (q, k, v, gates) if x is not None]
    assert all(x.untouched() for x in everything)
    if found is None:
        return
    gradient = an_array(draw, found.shape, found.dtype)
    back = attempt(
        lambda: softstep.linear_attention_backward(q.array, k.array, v.array, gradient.array, options, log_gates=given)
    )
    assert all(x.untouched() for x in (*everything, gradient))
    plain = [np.ascontiguousarray(x.array) for x in (q, k, v)]
    packed = None if gates is None else np.ascontiguousarray(given)
    assert np.array_equal(found, softstep.linear_attention_forward(*plain, options, log_gates=packed))
    if back is not None:
        more = softstep.linear_attention_backward(*plain, np.ascontiguousarray(gradient.array), options, log_gates=packed)
        assert all(np.array_equal(a, b) for a, b in zip(back[:3], more))


@fuzz
def test_other_functions(draw):
    a, b = an_array(draw, (draw(st.integers(1, 5)), draw(st.integers(1, 5)))), an_array(draw, (3, 4))
    for call in (
        lambda: softstep.matrix_norm(a.array, draw(st.sampled_from(["frobenius", "spectral", "nuclear", "max", "lp", "no"]))),
        lambda: softstep.compare_direction(a.array, b.array),
        lambda: softstep.solve_linear_max_margin(a.array, b.array, max_sweeps=20),
        lambda: softstep.LinearModel(a.array, np.ones(len(a.array), dtype=np.int8)).value_and_grad(b.array),
    ):
        try:
            attempt(call)
        except (TypeError, ValueError) as error:  # NumPy's, of what cannot be real numbers
            assert not isinstance(error, softstep.Error)
    assert a.untouched() and b.untouched()
