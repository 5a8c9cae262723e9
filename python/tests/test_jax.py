"""softstep.jax beside plain JAX in float64."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp  # noqa: E402

import softstep  # noqa: E402
import softstep.jax as sj  # noqa: E402


def numbers(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def heads():
    return numbers(2, 4, 5, 3, seed=1), numbers(2, 2, 6, 3, seed=2), numbers(2, 2, 6, 2, seed=3)


def plain(q, k, v, bias=None, causal=False):
    k, v = (jnp.repeat(x, q.shape[1] // x.shape[1], 1) for x in (k, v))
    s = jnp.einsum("bhid,bhjd->bhij", q, k) / np.sqrt(q.shape[-1])
    if bias is not None:
        s = s + bias
    if causal:
        m, n = s.shape[-2:]
        s = jnp.where(np.arange(m)[:, None] + n - m >= np.arange(n), s, -jnp.inf)
    return jax.nn.softmax(s, -1) @ v


@pytest.mark.parametrize("causal", [False, True])
def test_attention_gradients_and_second_derivatives(causal):
    inputs = heads()
    ours = lambda *x: jnp.sum(jnp.square(sj.attention(*x, causal=causal)))  # noqa: E731
    theirs = lambda *x: jnp.sum(jnp.square(plain(*x, causal=causal)))  # noqa: E731
    second = lambda f: jax.grad(  # noqa: E731
        lambda *x: sum(jnp.sum(g * g) for g in jax.grad(f, (0, 1, 2))(*x)), (0, 1, 2)
    )
    for make in (lambda f: jax.grad(f, (0, 1, 2)), lambda f: jax.jit(jax.grad(f, (0, 1, 2))), second):
        for a, b in zip(make(ours)(*inputs), make(theirs)(*inputs)):
            assert float(jnp.abs(a - b).max()) <= 1e-12 * max(1.0, float(jnp.abs(b).max()))


def test_bias_lengths_and_vmap():
    inputs, bias = heads(), numbers(2, 1, 5, 6)
    ours, theirs = (jax.grad(lambda b: jnp.sum(jnp.square(f(*inputs, b))))(bias) for f in (sj.attention, plain))
    assert float(jnp.abs(ours - theirs).max()) <= 1e-12
    lengths = jnp.array([6, 3])
    hidden = jnp.where(np.arange(6) < lengths[:, None, None, None], 0.0, -jnp.inf)
    f = lambda q: jnp.sum(sj.attention(q, *inputs[1:], key_lengths=lengths) ** 2)  # noqa: E731
    g = lambda q: jnp.sum(plain(q, *inputs[1:], hidden) ** 2)  # noqa: E731
    assert float(jnp.abs(jax.grad(f)(inputs[0]) - jax.grad(g)(inputs[0])).max()) <= 1e-12
    many = tuple(jnp.stack([x, 2 * x, -x]) for x in inputs)
    for a, b in zip(jax.vmap(sj.attention)(*many), jax.vmap(plain)(*many)):
        assert float(jnp.abs(a - b).max()) <= 1e-12


def test_a_second_derivative_by_the_bias_is_nan_and_no_number():
    (q, k, v), bias = heads(), numbers(1, 4, 5, 6)
    loss = lambda q, b: jnp.sum(jnp.square(sj.attention(q, k, v, b)))  # noqa: E731
    by_bias = lambda q, b: jnp.sum(jnp.square(jax.grad(loss, 1)(q, b)))  # noqa: E731
    by_queries = lambda q, b: jnp.sum(jnp.square(jax.grad(loss, 0)(q, b)))  # noqa: E731
    for make in (lambda f: f, jax.jit):
        assert jnp.isnan(make(jax.grad(by_bias, 0))(q, bias)).all()
        assert jnp.isnan(make(jax.grad(by_queries, 1))(q, bias)).all()
        # The other second derivatives stay what they are where a bias is given.
        theirs = lambda q: jnp.sum(jnp.square(jax.grad(lambda q: jnp.sum(jnp.square(plain(q, k, v, bias))))(q)))  # noqa: E731
        ours, wanted = make(jax.grad(by_queries, 0))(q, bias), jax.grad(theirs)(q)
        assert float(jnp.abs(ours - wanted).max()) <= 1e-12 * max(1.0, float(jnp.abs(wanted).max()))


def test_layer():
    inputs = numbers(4, 3, 5, seed=1), numbers(5, 5, seed=2), numbers(5, seed=3), numbers(4, 5, seed=4)

    def theirs(x, w, u, z):
        return jnp.einsum("nt,ntd,d->n", jax.nn.softmax(jnp.einsum("ntd,de,ne->nt", x, w, z), -1), x, u)

    assert float(jnp.abs(sj.attention_layer(*inputs) - theirs(*inputs)).max()) <= 1e-12
    hessians = [jax.hessian(lambda w: f(inputs[0], w, *inputs[2:]).sum()) for f in (theirs,)]
    ours = jax.jacrev(jax.grad(lambda w: sj.attention_layer(inputs[0], w, *inputs[2:]).sum()))(inputs[1])
    assert float(jnp.abs(ours - hessians[0](inputs[1])).max()) <= 1e-12


@pytest.mark.parametrize(
    "argument, change",
    [
        ("queries", lambda q, k, v: (q[0], k, v)),
        ("queries", lambda q, k, v: (q.astype(int), k, v)),
        ("keys", lambda q, k, v: (q, k[..., :2], v)),
        ("values", lambda q, k, v: (q, k, v[:, :, :3])),
    ],
)
def test_wrong_arguments_are_named(argument, change):
    for f in (sj.attention, jax.jit(sj.attention)):
        with pytest.raises(ValueError, match=argument):
            f(*change(*heads()))


# XLA would tell of them by a RuntimeError, and later.
@pytest.mark.parametrize(
    "argument, options",
    [
        ("key_lengths", {"key_lengths": [1, 2, 3]}),
        ("key_lengths", {"key_lengths": jnp.zeros((0,), int)}),
        ("key_lengths", {"key_lengths": [[1], [2]]}),
        ("key_lengths", {"key_lengths": [1.0, 2.0]}),
        ("key_lengths", {"key_lengths": jnp.zeros(2, jnp.uint8)}),
        ("scale", {"scale": float("nan")}),
        ("soft_cap", {"soft_cap": -1.0}),
    ],
)
def test_wrong_options_are_named(argument, options):
    options = {name: jnp.asarray(x) if isinstance(x, list) else x for name, x in options.items()}
    with pytest.raises(softstep.InvalidArgument, match=argument) as caught:
        sj.attention(*heads(), **options)
    assert caught.value.argument == argument


def test_wrong_offsets_and_empty_sizes_are_named():
    q, k, v = numbers(5, 4, 3), numbers(6, 2, 3), numbers(6, 2, 2)
    first, second = jnp.array([0, 2, 5]), jnp.array([0, 3, 6])
    # The ragged batch is its samples one by one.
    whole = sj.attention(q, k, v, query_offsets=first, key_offsets=second)
    for i, j, m, n in ((0, 2, 0, 3), (2, 5, 3, 6)):
        one = plain(*(jnp.swapaxes(x, 0, 1)[None] for x in (q[i:j], k[m:n], v[m:n])))
        assert float(jnp.abs(jnp.swapaxes(one[0], 0, 1) - whole[i:j]).max()) <= 1e-12
    sj.attention(q, k, v, query_offsets=first, key_offsets=second, key_lengths=jnp.array([3, 1]))
    for argument, a, b in (("key_offsets", first, second[:2]), ("query_offsets", first[None], second), ("queries", first[:1], second[:1])):
        with pytest.raises(softstep.InvalidArgument, match=argument):
            sj.attention(q, k, v, query_offsets=a, key_offsets=b)
    q, k, v = heads()
    for argument, wrong in (("queries", (q[..., :0], k[..., :0], v)), ("queries", (q[:0], k[:0], v[:0])), ("values", (q, k, v[..., :0]))):
        with pytest.raises(softstep.InvalidArgument, match=argument):
            sj.attention(*wrong)


def problem(**options):
    tokens, decoder = np.asarray(numbers(6, 4, 8, seed=5)), np.asarray(numbers(8, seed=6))
    return softstep.Problem(tokens, np.array([1, -1] * 3, dtype=np.int8), decoder, **options), tokens, decoder


def test_losses_of_a_problem():
    ours, x, u = problem()
    y, w = np.array([1, -1] * 3), numbers(8, 8)
    theirs = lambda w: jnp.mean(jax.nn.softplus(-y * sj.attention_layer(jnp.asarray(x), w, jnp.asarray(u))))  # noqa: E731
    for make in (lambda f: f, jax.grad, lambda f: jax.jit(jax.grad(f)), lambda f: jax.jacrev(jax.grad(f))):
        a, b = make(lambda w: sj.loss(ours, w))(w), make(theirs)(w)
        assert float(jnp.abs(a - b).max()) <= 1e-12
    gap = jax.grad(lambda w: jnp.log(theirs(w) - ours.optimal_loss))(w)
    assert float(jnp.abs(jax.jit(jax.grad(lambda w: sj.log_gap(ours, w)))(w) - gap).max()) <= 1e-11


@pytest.mark.parametrize("name", ["ngd", "polyak"])
def test_rules_go_on_where_plain_gradients_are_zero(name):
    ours, *_ = problem()
    rule = getattr(sj, name)()
    w = jnp.zeros((8, 8))
    state = rule.init(w)
    for _ in range(300):
        found = ours.evaluate(w)
        updates, state = rule.update(found.gradient, state, w, value=found.loss_gap)
        w = w + updates
    assert int(state.count) == 300 and bool(jnp.isfinite(w).all())
    tiny = softstep.Scaled(jnp.ones((8, 8)), -5000.0)
    updates, _ = rule.update(tiny, state, w, value=softstep.Scaled(1.0, -5000.0))
    expected = 1 / 8 if name == "ngd" else 1 / (2 * 64)
    assert float(jnp.abs(updates + expected).max()) <= 1e-12
    nothing, _ = rule.update(jnp.zeros((8, 8)), state, w, value=0.0)
    assert not nothing.any()


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_the_norm_of_narrow_gradients_is_not_summed_in_their_type(dtype):
    # 300^2 equal squares leave float16, in which one entry of the step is 1/300 to a unit in the last place.
    gradient = jnp.ones((300, 300), dtype)
    rule = sj.ngd()
    step = rule.update(gradient, rule.init(gradient))[0]
    assert step.dtype == dtype
    assert float(jnp.abs(step.astype(jnp.float64) + 1 / 300).max()) <= float(jnp.finfo(dtype).eps) / 300


@pytest.mark.parametrize("exponent", [-1e5, -1e7])
def test_the_length_of_a_step_is_right_at_any_exponent_in_float32(exponent):
    mantissas = jnp.ones((3, 3), jnp.float32), jnp.ones(4, jnp.float32)
    gradients = tuple(softstep.Scaled(m, exponent - k) for k, m in enumerate(mantissas))
    norm = np.sqrt(9 + 4 * np.exp(-2.0))  # over e^exponent
    jax.config.update("jax_enable_x64", False)
    try:
        for rule, more, length in (
            (sj.ngd(), {}, 1.0),
            (sj.polyak(), {"value": softstep.Scaled(3.0, exponent)}, 3.0 / (2 * norm)),
        ):
            steps = rule.update(gradients, rule.init(gradients), **more)[0]
            found = np.sqrt(sum(float((np.asarray(x, dtype=np.float64) ** 2).sum()) for x in steps))
            # Logarithms of numbers of a moderate size, and their exponentials.
            assert abs(found - length) <= 32 * np.finfo(np.float32).eps * length
    finally:
        jax.config.update("jax_enable_x64", True)


def test_rules_chain_with_optax():
    optax = pytest.importorskip("optax")
    rule = optax.chain(sj.ngd(0.5), optax.scale(2.0))
    w = numbers(3, 4)
    updates, _ = rule.update(w, rule.init(w), w)
    assert float(jnp.abs(updates + w / jnp.linalg.norm(w)).max()) <= 1e-14
