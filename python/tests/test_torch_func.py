"""softstep.torch under torch.func and in forward mode, beside plain PyTorch in float64."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import test_torch  # noqa: E402
from test_torch import OPTIONS, heads, numbers, plain, problem  # noqa: E402
from torch.autograd import forward_ad  # noqa: E402

import softstep  # noqa: E402
import softstep.torch as st  # noqa: E402

func = torch.func
# docs/mathematics.md, section 11.3, of 6 keys and 3 dimensions: below 1e3 units in the last place of numbers near 1; derivatives
# of second order are sums of some ten of these.
BOUND = 1e-12


def close(a, b):
    a, b = (torch.utils._pytree.tree_leaves(x) for x in (a, b))
    assert len(a) == len(b)
    for x, y in zip(a, b):
        assert x.shape == y.shape and (x - y).abs().max() <= BOUND * max(1.0, float(y.abs().max()))


def free(*tensors):
    return tuple(x.detach() for x in tensors)


def attention_of(f, **options):
    return lambda q, k, v: f(q, k, v, **options).sin().sum()


@pytest.mark.parametrize("options", OPTIONS)
def test_grad(options):
    inputs = free(*heads())
    found = [func.grad(attention_of(f, **options), argnums=(0, 1, 2))(*inputs) for f in (st.attention, plain)]
    close(*found)


@pytest.mark.parametrize("options", OPTIONS)
def test_jvp(options):
    inputs = free(*heads())
    along = tuple(numbers(*x.shape, seed=20 + k, grad=False) for k, x in enumerate(inputs))
    close(*(func.jvp(lambda *x: f(*x, **options), inputs, along) for f in (st.attention, plain)))
    # A direction of the keys alone.
    q, k, v = inputs
    close(*(func.jvp(lambda k: f(q, k, v, **options), (k,), (along[1],)) for f in (st.attention, plain)))


def test_forward_mode_without_torch_func():
    inputs = free(*heads())
    along = tuple(numbers(*x.shape, seed=20 + k, grad=False) for k, x in enumerate(inputs))
    found = []
    for f in (st.attention, plain):
        for grad in (False, True):
            with forward_ad.dual_level():
                dual = (forward_ad.make_dual(x.clone().requires_grad_(grad), t) for x, t in zip(inputs, along))
                out = forward_ad.unpack_dual(f(*dual))
                assert out.tangent is not None
                found.append((out.primal.detach(), out.tangent.detach()))
    for other in found[1:]:
        close(found[0], other)


def test_gradcheck_in_forward_mode():
    inputs = heads(tq=2, tk=3)
    f = lambda q, k, v: st.attention(q, k, v, causal=True)  # noqa: E731
    assert torch.autograd.gradcheck(f, inputs, check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True)
    assert torch.autograd.gradgradcheck(f, inputs, check_fwd_over_rev=True, check_rev_over_rev=True)


def small():
    return free(numbers(1, 2, 2, 2, seed=1), numbers(1, 1, 3, 2, seed=2), numbers(1, 1, 3, 2, seed=3))


@pytest.mark.parametrize("outer, inner", [("jacfwd", "jacrev"), ("jacrev", "jacrev"), ("jacrev", "jacfwd")])
def test_second_derivatives(outer, inner):
    q, k, v = small()
    found = []
    for f in (st.attention, plain):
        of_keys = lambda k: f(q, k, v * k).sin().sum()  # noqa: E731
        found.append(getattr(func, outer)(getattr(func, inner)(of_keys))(k))
    close(*found)


def test_hessian_by_all_inputs():
    inputs = small()
    close(*(func.hessian(attention_of(f), argnums=(0, 1, 2))(*inputs) for f in (st.attention, plain)))


def test_vmap_of_derivatives():
    q, k, v = small()
    many = torch.stack([q, 2 * q, -q, q + 1], 2)
    gradient = func.grad(attention_of(st.attention), (0, 1))
    one_by_one = [func.grad(attention_of(plain), (0, 1))(x, k, v) for x in many.unbind(2)]
    wanted = tuple(torch.stack(x) for x in zip(*one_by_one))
    close(func.vmap(gradient, in_dims=(2, None, None))(many, k, v), wanted)
    twice = func.vmap(func.vmap(gradient, (0, None, None)), (0, None, None))(many.movedim(2, 0).unflatten(0, (2, 2)), k, v)
    close(twice, tuple(x.unflatten(0, (2, 2)) for x in wanted))
    # Masks may be mapped as well.
    lengths = torch.tensor([[3, 2, 1, 3]])
    f = lambda h: lambda q, n: h(q, k, v, key_lengths=n).sin().sum()  # noqa: E731
    found = func.vmap(func.grad(f(st.attention)), in_dims=(2, 1))(many, lengths)
    close(found, torch.stack([func.grad(f(plain))(x, n) for x, n in zip(many.unbind(2), lengths.unbind(1))]))


def test_vmap_keeps_the_forward_pass(monkeypatch):
    q, k, v = small()
    calls = []
    forward = st.attention.__globals__["_kernels"].forward
    monkeypatch.setattr(st.attention.__globals__["_kernels"], "forward", lambda *x: calls.append(1) or forward(*x))
    func.vmap(func.grad(attention_of(st.attention)), (0, None, None))(torch.stack([q, 2 * q]), k, v)
    assert len(calls) == 2


def test_compiled_transforms():
    inputs = free(*heads())
    for transformed in (
        lambda f: func.grad(attention_of(f)),
        lambda f: lambda *x: func.jvp(lambda *y: f(*y), x, x)[1],
        lambda f: func.vmap(func.grad(attention_of(f)), (0, 0, 0)),
    ):
        many = inputs if "vmap" not in transformed.__code__.co_names else tuple(torch.stack([x, 2 * x]) for x in inputs)
        compiled = torch.compile(transformed(st.attention), backend="aot_eager")
        close(compiled(*many), transformed(plain)(*many))


def test_traced_transforms_see_the_operators():
    from torch.fx.experimental.proxy_tensor import make_fx

    traced = make_fx(func.grad(attention_of(st.attention), argnums=(0, 1, 2)))(*free(*heads()))
    assert "softstep.attention_backward" in traced.code
    close(traced(*free(*heads())), func.grad(attention_of(plain), argnums=(0, 1, 2))(*free(*heads())))


def test_what_there_is_no_derivative_of_is_refused():
    q, k, v = free(*heads())
    bias = numbers(1, 1, 5, 6, grad=False)
    third = lambda q: func.grad(attention_of(st.attention))(q, k, v).sum()  # noqa: E731
    refused = [
        ("bias", lambda: func.jvp(lambda b: st.attention(q, k, v, b), (bias,), (bias,))),
        ("bias", lambda: func.grad(lambda b: func.grad(lambda q: st.attention(q, k, v, b).sum())(q).sum())(bias)),
        ("queries", lambda: func.grad(lambda q: func.grad(third)(q).sum())(q)),
        ("queries", lambda: func.jvp(lambda q: func.jvp(lambda q: st.attention(q, k, v), (q,), (q,))[1], (q,), (q,))),
    ]
    for argument, call in refused:
        with pytest.raises(softstep.NotSupported) as caught:
            call()
        assert caught.value.argument == argument
    # The gradient by the bias is there, and that by the rest beside a bias.
    close(*(func.grad(lambda b: f(q, k, v, b).sin().sum())(bias) for f in (st.attention, plain)))
    close(*(func.jvp(lambda q: f(q, k, v, bias), (q,), (k[:, :1, :5].expand_as(q) + q,)) for f in (st.attention, plain)))


def test_a_third_derivative_that_only_adds_is_refused_too():
    # once_differentiable would let it pass as zero, where what it is multiplied by wants no gradient.
    q, k, v = heads()
    for f in (st.attention, lambda *x: torch.ops.softstep.attention(*x, None, *test_torch.REST)[0]):
        first = torch.autograd.grad(f(q, k, v).sum(), q, create_graph=True)[0]
        second = torch.autograd.grad(first.sum(), q, create_graph=True)[0]
        with pytest.raises(softstep.NotSupported, match="third"):
            torch.autograd.grad(second.sum() + (q * q).sum(), q)


def test_derivatives_of_a_plain_backward_pass():
    """The graph was made before anything looked on."""
    inputs = heads(tq=2, tk=3)
    along = numbers(3, 2, 4, 2, 2, seed=9, grad=False)
    found = []
    for f in (st.attention, plain):
        out = f(*inputs, causal=True)
        batched = torch.autograd.grad(out, inputs, along, retain_graph=True, is_grads_batched=True)
        with forward_ad.dual_level():
            gradient = forward_ad.make_dual(along[0], along[1])
            for create in (False, True):
                moved = torch.autograd.grad(out, inputs, gradient, retain_graph=True, create_graph=create)
                batched += tuple(forward_ad.unpack_dual(x).tangent.detach() for x in moved)
        found.append(batched)
    close(*found)


def test_hessian_products_of_torch_autograd():
    """They differentiate a derivative by its direction: the double-backward trick."""
    inputs = heads(tq=2, tk=3)
    along = tuple(numbers(*x.shape, seed=20 + k, grad=False) for k, x in enumerate(inputs))
    for product in (torch.autograd.functional.hvp, torch.autograd.functional.vhp, torch.autograd.functional.jvp):
        close(*(product(attention_of(f), inputs, along) for f in (st.attention, plain)))
    ours, theirs, of = losses()
    w, v = numbers(8, 8), numbers(8, 8, seed=1, grad=False)
    for product in (torch.autograd.functional.hvp, torch.autograd.functional.vhp, torch.autograd.functional.jvp):
        close(product(ours, w, v), product(theirs, w, v))
    hessian = torch.autograd.functional.hessian
    close(hessian(ours, w), hessian(theirs, w))
    with pytest.raises(softstep.NotSupported, match="torch.func.vmap"):
        hessian(ours, w, vectorize=True)
    q, keys, values = small()
    close(*(hessian(lambda q: f(q, keys, values).sin().sum(), q, vectorize=True) for f in (st.attention, plain)))
    gap = lambda w: (theirs(w) - of.optimal_loss).log()  # noqa: E731
    jvp = torch.autograd.functional.jvp
    close(jvp(lambda w: st.log_gap(of, w), w, v), jvp(gap, w, v))


# ---- the layer and the losses


def test_layer():
    inputs = free(numbers(4, 3, 5, seed=1), numbers(5, 5, seed=2), numbers(5, seed=3), numbers(4, 5, seed=4))
    f = lambda *x: st.attention_layer(*x).exp().sum()  # noqa: E731
    g = lambda *x: test_torch.layer(*x).exp().sum()  # noqa: E731
    everything = (0, 1, 2, 3)
    close(func.grad(f, everything)(*inputs), func.grad(g, everything)(*inputs))
    close(func.jvp(f, inputs, inputs), func.jvp(g, inputs, inputs))
    close(func.hessian(f, 1)(*inputs), func.hessian(g, 1)(*inputs))
    each = tuple(x[:, None] if k in (0, 3) else x for k, x in enumerate(inputs))
    per_sample = lambda h: func.vmap(func.grad(h, 1), (0, None, None, 0))(*each)  # noqa: E731
    close(per_sample(f), per_sample(g))


def test_module_by_functional_call():
    module = st.AttentionLayer(5, dtype=torch.float64)
    x = numbers(4, 3, 5, grad=False)
    parameters = {"weights": numbers(5, 5, grad=False), "decoder": numbers(5, seed=1, grad=False)}
    f = lambda p: func.functional_call(module, p, x).exp().sum()  # noqa: E731
    g = lambda p: test_torch.layer(x, p["weights"], p["decoder"], x[:, 0]).exp().sum()  # noqa: E731
    close(func.grad(f)(parameters), func.grad(g)(parameters))


def losses():
    ours, x, u, y = problem()
    theirs = lambda w: torch.nn.functional.softplus(-y * test_torch.layer(x, w, u, x[:, 0])).mean()  # noqa: E731
    return lambda w: st.loss(ours, w), theirs, ours


def test_loss():
    ours, theirs, _ = losses()
    w, v = numbers(8, 8, grad=False), numbers(8, 8, seed=1, grad=False)
    for transformed in (
        lambda f: func.grad(f)(w),
        lambda f: func.grad_and_value(f)(w),
        lambda f: func.jvp(f, (w,), (v,)),
        lambda f: func.jacrev(f)(w),
        lambda f: func.jacfwd(f)(w),
        lambda f: func.hessian(f)(w),
        lambda f: func.jacrev(func.jacrev(f))(w),
        lambda f: func.jacrev(func.jacfwd(f))(w),
        lambda f: func.jvp(func.grad(f), (w,), (v,)),
        lambda f: func.vjp(f, w)[1](torch.tensor(2.0, dtype=torch.float64)),
        lambda f: func.vmap(f)(torch.stack([w, v])),
        lambda f: func.vmap(func.grad(f), in_dims=2)(torch.stack([w, v, w], 2)),
    ):
        close(transformed(ours), transformed(theirs))
    with forward_ad.dual_level():
        moved = forward_ad.unpack_dual(ours(forward_ad.make_dual(w, v)))
    close(moved.tangent, func.jvp(theirs, (w,), (v,))[1])
    assert torch.autograd.gradcheck(ours, w.requires_grad_(), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(ours, w, check_fwd_over_rev=True)


def test_loss_of_several_blocks():
    ours, *_ = problem(key_query="factored", rank=2)
    blocks = tuple(numbers(8, 2, seed=k, grad=False) for k in (1, 2))
    f = lambda *w: st.loss(ours, *w)  # noqa: E731
    gradient = func.grad(f, (0, 1))(*blocks)
    close(gradient, ours.value_and_grad(blocks)[1])
    moved = func.jvp(f, blocks, (blocks[1], blocks[0]))[1]
    close(moved, sum((g * v).sum() for g, v in zip(gradient, (blocks[1], blocks[0]))))
    close(func.jvp(lambda w: f(w, blocks[1]), (blocks[0],), (blocks[1],))[1], (gradient[0] * blocks[1]).sum())


def test_log_gap():
    ours, theirs, of = losses()
    w, v = numbers(8, 8, grad=False), numbers(8, 8, seed=1, grad=False)
    f = lambda w: st.log_gap(of, w)  # noqa: E731
    g = lambda w: (theirs(w) - of.optimal_loss).log()  # noqa: E731
    for transformed in (
        lambda f: func.grad(f)(w),
        lambda f: func.jvp(f, (w,), (v,)),
        lambda f: func.vmap(func.grad(f))(torch.stack([w, v])),
    ):
        close(transformed(f), transformed(g))
    for call in (
        lambda: func.grad(lambda w: func.grad(f)(w).sum())(w),
        lambda: func.jvp(func.grad(f), (w,), (v,)),
        lambda: torch.autograd.grad(torch.autograd.grad(f(z := w.clone().requires_grad_()), z, create_graph=True)[0].sum(), z),
    ):
        with pytest.raises(softstep.NotSupported) as caught:
            call()
        assert caught.value.argument == "log_gap"


def test_what_there_is_no_derivative_of_the_loss_is_refused():
    ours, _, of = losses()
    w = numbers(8, 8, grad=False)
    third = lambda f: func.grad(lambda w: f(w).sum())  # noqa: E731
    z = w.clone().requires_grad_()
    first = torch.autograd.grad(ours(z), z, create_graph=True)[0]
    second = torch.autograd.grad(first.sum(), z, create_graph=True)[0]
    for argument, call in (
        ("weights", lambda: third(third(func.grad(ours)))(w)),
        ("weights", lambda: torch.autograd.grad(second.sum() + z.sum(), z)),
        ("weights", lambda: func.grad(lambda w: (st.scaled_backward(of, w), ours(w))[1])(w)),
        ("vmap", lambda: func.vmap(ours)(torch.zeros(0, 8, 8, dtype=torch.float64))),
    ):
        with pytest.raises((softstep.NotSupported, ValueError)) as caught:
            call()
        assert getattr(caught.value, "argument", argument) == argument
    # What is linear in the direction goes on.
    v = numbers(8, 8, seed=1).requires_grad_()
    product = torch.autograd.grad(first, z, v, create_graph=True)[0]
    close(torch.autograd.grad(product.sum(), v)[0], of.hvp(w, torch.ones(8, 8, dtype=torch.float64)))


def test_numbers_without_end_stay_where_plain_gradients_underflow():
    of, *_ = problem()
    limit = softstep.solve_max_margin(of).weights
    w = torch.from_numpy(limit / np.linalg.norm(limit) * 1e6)
    assert not func.grad(lambda w: st.loss(of, w))(w).any()
    gradient = func.grad(lambda w: st.log_gap(of, w))(w)
    assert torch.isfinite(gradient).all() and gradient.any() and math.isfinite(st.log_gap(of, w))
