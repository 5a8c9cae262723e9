"""softstep.torch: operators beside plain PyTorch in float64, derivatives, compilation, and optimizers."""

import gc
import math
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import softstep  # noqa: E402
import softstep.torch as st  # noqa: E402
from softstep.torch import _state  # noqa: E402


def numbers(*shape, seed=0, grad=True, dtype=torch.float64):
    made = torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    return made.requires_grad_(grad)


def heads(tq=5, tk=6, d=3, dv=2, **more):
    return numbers(2, 4, tq, d, seed=1, **more), numbers(2, 2, tk, d, seed=2, **more), numbers(2, 2, tk, dv, seed=3, **more)


def plain(q, k, v, bias=None, *, scale=None, soft_cap=0.0, causal=False, before=None, after=None, key_lengths=None):
    """The formula, in PyTorch alone."""
    repeat = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
    s = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    if soft_cap:
        s = soft_cap * torch.tanh(s / soft_cap)
    if bias is not None:
        s = s + bias
    m, n = s.shape[-2:]
    place = torch.arange(m)[:, None] + n - m - torch.arange(n)  # how many places the key is ahead
    seen = torch.ones(q.shape[0], 1, m, n, dtype=torch.bool)
    after = 0 if causal else after
    if after is not None:
        seen &= place >= -after
    if before is not None:
        seen &= place <= before
    if key_lengths is not None:
        seen &= torch.arange(n) < key_lengths[:, None, None, None]
    p = torch.softmax(s.masked_fill(~seen, -math.inf), -1)
    return torch.nan_to_num(p) @ v


OPTIONS = [
    {},
    {"causal": True},
    {"before": 2, "after": 1},
    {"key_lengths": torch.tensor([6, 3])},
    {"soft_cap": 1.5, "scale": 0.7},
    {"causal": True, "before": 2, "soft_cap": 2.0},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_output_and_gradients_are_those_of_plain_pytorch(options):
    inputs = heads()
    along = numbers(2, 4, 5, 2, seed=9, grad=False)
    ours, theirs = st.attention(*inputs, **options), plain(*inputs, **options)
    # docs/mathematics.md, section 11.3, of 6 keys and 3 dimensions: below 1e3 units in the last place of numbers near 1.
    bound = 1e-12
    assert (ours - theirs).abs().max() <= bound
    for a, b in zip(torch.autograd.grad(ours, inputs, along), torch.autograd.grad(theirs, inputs, along)):
        assert (a - b).abs().max() <= bound


def test_bias_and_its_gradient():
    inputs = heads()
    for shape in ((1, 1, 5, 6), (2, 1, 5, 6), (1, 4, 5, 6), (2, 4, 5, 6)):
        bias = numbers(*shape, seed=4)
        ours, theirs = (f(*inputs, bias).square().sum() for f in (st.attention, plain))
        a, b = (torch.autograd.grad(f, (*inputs, bias)) for f in (ours, theirs))
        for x, y in zip(a, b):
            assert x.shape == y.shape and (x - y).abs().max() <= 1e-12


@pytest.mark.parametrize("options", OPTIONS)
def test_gradcheck(options):
    inputs = heads()
    f = lambda q, k, v: st.attention(q, k, v, **options)  # noqa: E731
    assert torch.autograd.gradcheck(f, inputs)
    assert torch.autograd.gradgradcheck(f, inputs)


def test_second_derivatives_are_those_of_plain_pytorch():
    inputs, found = heads(), []
    for f in (st.attention, plain):
        first = torch.autograd.grad(f(*inputs, causal=True).square().sum(), inputs, create_graph=True)
        found.append(torch.autograd.grad(sum((g * g).sum() for g in first), inputs))
    for a, b in zip(*found):
        assert (a - b).abs().max() <= 1e-12 * max(1.0, float(b.abs().max()))


def test_second_derivative_by_the_bias_is_refused():
    inputs, bias = heads(), numbers(1, 1, 5, 6)
    first = torch.autograd.grad(st.attention(*inputs, bias).square().sum(), inputs[0], create_graph=True)[0]
    with pytest.raises(softstep.NotSupported, match="bias"):
        first.sum().backward()


def test_ragged():
    q, k, v = numbers(7, 4, 3, seed=1), numbers(9, 2, 3, seed=2), numbers(9, 2, 2, seed=3)
    a, b = torch.tensor([0, 3, 7]), torch.tensor([0, 5, 9])
    f = lambda q, k, v: st.attention(q, k, v, query_offsets=a, key_offsets=b, causal=True)  # noqa: E731
    out = f(q, k, v)
    for i in range(2):
        one = plain(
            q[a[i] : a[i + 1]].transpose(0, 1)[None],
            k[b[i] : b[i + 1]].transpose(0, 1)[None],
            v[b[i] : b[i + 1]].transpose(0, 1)[None],
            causal=True,
        )
        assert (out[a[i] : a[i + 1]] - one[0].transpose(0, 1)).abs().max() <= 1e-12
    assert torch.autograd.gradcheck(f, (q, k, v)) and torch.autograd.gradgradcheck(f, (q, k, v))


def test_strides():
    q, k, v = heads(dv=3)
    ours = st.attention(*(x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)))
    assert torch.equal(ours, st.attention(q, k, v))
    backwards = tuple(x.mT.contiguous().mT for x in (q, k, v))
    assert torch.equal(st.attention(*backwards), ours)
    expanded = k[:, :1].expand(2, 4, 6, 3)
    assert (st.attention(q, expanded, expanded) - plain(q, expanded, expanded)).abs().max() <= 1e-12


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_types(dtype):
    inputs = heads()
    ours = st.attention(*(x.to(dtype) for x in inputs))
    # Inputs and output are rounded: the scores by 2 d u |q k| / sqrt(d), which here is below 30 u, beside |v| <= 4.
    assert ours.dtype == dtype
    assert (ours - plain(*inputs)).abs().max() <= 130 * torch.finfo(dtype).eps / 2
    ours.sum().backward()


def test_autocast():
    q, k, v = heads(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = st.attention(q, k, v)
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert q.grad.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert st.attention(*heads()).dtype == torch.float64


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_without_graph_breaks(backend):
    inputs = heads()
    f = lambda q, k, v: (st.attention(q * 2, k, v, causal=True) * 3).sum()  # noqa: E731
    compiled = torch.compile(f, fullgraph=True, backend=backend)
    try:
        value = compiled(*inputs)
    except Exception as error:
        if backend == "inductor" and "C++ compiler" in str(error):
            pytest.skip("no compiler that inductor finds")
        raise
    for a, b in zip(torch.autograd.grad(value, inputs), torch.autograd.grad(f(*inputs), inputs)):
        assert (a - b).abs().max() <= 1e-12


REST = (None, None, None, None, 0.0, True, None, None, 1)


def test_operators_are_registered_as_they_should_be():
    q, k, v = heads()
    torch.library.opcheck(
        torch.ops.softstep.attention.default,
        (q, k, v, None, *REST),
        test_utils=("test_schema", "test_faketensor", "test_autograd_registration"),
    )


def carriers():
    gc.collect()
    return sum(isinstance(x, torch.Tensor) and hasattr(x, "state") for x in gc.get_objects())


def test_state_lives_until_the_backward_pass_is_over():
    before = carriers()
    out = st.attention(*heads())
    assert carriers() == before + 1
    out.sum().backward(retain_graph=True)
    assert carriers() == before + 1
    out.sum().backward()
    assert carriers() == before


def test_state_of_the_operator_lives_as_long_as_the_graph():
    gc.collect()
    before = len(_state._holders)
    out = torch.ops.softstep.attention(*heads(), None, *REST)[0]
    assert len(_state._holders) == before + 1
    del out
    assert len(_state._holders) == before


@pytest.mark.parametrize("options", OPTIONS)
def test_the_operator_gives_the_same_bits_and_derivatives(options):
    inputs, along = heads(), numbers(2, 4, 5, 2, seed=9, grad=False)
    names = ("key_lengths", "query_offsets", "key_offsets", "scale", "soft_cap", "causal", "before", "after", "n_threads")
    defaults = dict(zip(names, REST[:3] + (None, 0.0, False, None, None, 0)))
    rest = tuple({**defaults, **options}[name] for name in names)
    ours, operator = st.attention(*inputs, **options), torch.ops.softstep.attention(*inputs, None, *rest)[0]
    assert torch.equal(ours, operator)
    found = []
    for out in (ours, operator):
        first = torch.autograd.grad(out, inputs, along, create_graph=True)
        found.append((*first, *torch.autograd.grad(sum((g * g).sum() for g in first), inputs)))
    assert all(torch.equal(a, b) for a, b in zip(*found))


def test_only_the_gradients_that_are_wanted():
    q, k, v = heads()
    for chosen in ((q,), (k, v), (v,)):
        free = [x if any(x is y for y in chosen) else x.detach() for x in (q, k, v)]
        a = torch.autograd.grad(st.attention(*free).square().sum(), chosen)
        b = torch.autograd.grad(plain(*free).square().sum(), chosen)
        assert all((x - y).abs().max() <= 1e-12 for x, y in zip(a, b))


def test_third_derivatives_are_refused():
    q, k, v = heads()
    g = torch.autograd.grad(st.attention(q, k, v).square().sum(), q, create_graph=True)[0]
    h = torch.autograd.grad(g.square().sum(), q, create_graph=True)[0]
    with pytest.raises(softstep.NotSupported, match="third"):
        h.sum().backward()


def test_a_mask_that_has_changed_is_noticed():
    lengths = torch.tensor([6, 3])
    out = st.attention(*heads(), key_lengths=lengths)
    lengths[0] = 2
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize("argument", ["key_lengths", "query_offsets", "key_offsets"])
def test_an_empty_mask_is_not_taken_for_none(argument):
    # It would hide no key.
    empty = torch.empty(0, dtype=torch.int64)
    with pytest.raises(softstep.InvalidArgument, match="empty") as caught:
        st.attention(*heads(), **{argument: empty})
    assert caught.value.argument == argument
    inputs = [x.detach().numpy() for x in heads()]
    for attention in (softstep.attention, softstep.linear_attention):
        with pytest.raises(softstep.InvalidArgument, match="empty"):
            attention(*inputs, **{argument: empty.numpy()})


def test_vmap():
    q, k, v = (x.detach() for x in heads())
    many = torch.stack([q, 2 * q, -q])
    found = torch.func.vmap(lambda q: st.attention(q, k, v))(many)
    for a, b in zip(found, many):
        assert torch.equal(a, st.attention(b, k, v))


class _Calls(torch.nn.Module):
    def forward(self, q, k, v):
        return st.attention(q, k, v)


def test_tracers_see_the_operator():
    from torch.fx.experimental.proxy_tensor import make_fx

    inputs = tuple(x.detach() for x in heads())
    assert "softstep.attention" in make_fx(lambda *x: st.attention(*x))(*inputs).code
    exported = torch.export.export(_Calls(), inputs)
    assert any("softstep.attention" in str(n.target) for n in exported.graph.nodes)


def test_checkpointing():
    inputs = heads()
    out = torch.utils.checkpoint.checkpoint(st.attention, *inputs, use_reentrant=False).square().sum()
    for a, b in zip(torch.autograd.grad(out, inputs), torch.autograd.grad(plain(*inputs).square().sum(), inputs)):
        assert (a - b).abs().max() <= 1e-12


def test_backward_from_a_copy_of_what_was_saved():
    inputs = heads()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        out = st.attention(*inputs).square().sum()
    for a, b in zip(torch.autograd.grad(out, inputs), torch.autograd.grad(plain(*inputs).square().sum(), inputs)):
        assert (a - b).abs().max() <= 1e-12


@pytest.mark.parametrize(
    "argument, change",
    [
        ("queries", lambda q, k, v: (q[0], k, v)),
        ("queries", lambda q, k, v: (q.long(), k, v)),
        ("queries", lambda q, k, v: (q.detach().numpy(), k, v)),
        ("keys", lambda q, k, v: (q, k.float(), v)),
        ("keys", lambda q, k, v: (q, k[..., :2], v)),
        ("values", lambda q, k, v: (q, k, v[:, :, :3])),
        ("values", lambda q, k, v: (q, k, v.to("meta"))),
    ],
)
def test_wrong_arguments_are_named(argument, change):
    with pytest.raises(ValueError) as caught:
        st.attention(*change(*heads()))
    assert caught.value.argument == argument and argument in str(caught.value)


def freed(*shape):
    made = torch.ones(*shape)
    made.untyped_storage().resize_(0)
    return made


def of_shape_alone(*shape):
    with torch._subclasses.fake_tensor.FakeTensorMode():
        return torch.ones(*shape)


def view_of_shape_alone(*shape):
    with torch._subclasses.fake_tensor.FakeTensorMode():
        return torch.ones(*shape[:-1], shape[-1] + 4)[..., 4:]


# A tensor with a shape and no numbers lies at no address, or at its offset from there: reading it ended the process.
@pytest.mark.parametrize("make", [freed, of_shape_alone, view_of_shape_alone])
def test_a_tensor_without_memory_is_refused(make):
    tensor, tokens, there = make(1, 1, 3, 4), make(2, 3, 4), torch.ones(1, 1, 3, 4)
    for argument, call in (
        ("queries", lambda: softstep.attention(tensor, there, there)),
        ("out", lambda: softstep.attention(there, there, there, out=tensor)),
        ("tokens", lambda: softstep.Problem(tokens, [1, -1], torch.ones(4))),
    ):
        with pytest.raises(softstep.InvalidArgument, match="no memory") as caught:
            call()
        assert caught.value.argument == argument
    # Where there are no numbers, none are needed.
    assert softstep.attention(there[:, :, :0], there, there).shape == (1, 1, 0, 4)


# ---- the layer


def layer(x, w, u, z):
    return (torch.softmax((x @ w @ z[:, :, None])[..., 0], -1)[:, None] @ x @ u)[:, 0]


def test_layer_is_the_formula_and_differentiable_twice():
    inputs = numbers(4, 3, 5, seed=1), numbers(5, 5, seed=2), numbers(5, seed=3), numbers(4, 5, seed=4)
    ours, theirs = st.attention_layer(*inputs), layer(*inputs)
    assert (ours - theirs).abs().max() <= 1e-12
    for a, b in zip(*(torch.autograd.grad(f.exp().sum(), inputs) for f in (ours, theirs))):
        assert (a - b).abs().max() <= 1e-12 * max(1.0, float(b.abs().max()))
    assert torch.autograd.gradcheck(st.attention_layer, inputs)
    assert torch.autograd.gradgradcheck(st.attention_layer, inputs)
    compiled = torch.compile(st.attention_layer, fullgraph=True, backend="aot_eager")
    assert (compiled(*inputs) - theirs).abs().max() <= 1e-12
    with pytest.raises(ValueError, match="decoder"):
        st.attention_layer(inputs[0], inputs[1], inputs[2][:3])


def test_layer_module():
    module = st.AttentionLayer(5, dtype=torch.float64)
    assert {name for name, _ in module.named_parameters()} == {"weights", "decoder"}
    given = st.AttentionLayer(5, numbers(5, grad=False))
    assert {name for name, _ in given.named_parameters()} == {"weights"}
    x = numbers(4, 3, 5, grad=False)
    assert (given(x) - x.mean(1) @ given.decoder).abs().max() <= 1e-12
    short = given(x, lengths=torch.tensor([1, 2, 3, 3]))
    assert (short[0] - x[0, 0] @ given.decoder).abs() <= 1e-12


# ---- losses of a problem, and optimizers


def problem(dtype=torch.float64, **options):
    tokens = numbers(6, 4, 8, seed=5, grad=False).to(dtype)
    decoder = numbers(8, seed=6, grad=False).to(dtype)
    labels = np.array([1, -1, 1, -1, 1, -1], dtype=np.int8)
    options.setdefault("decoder", decoder)
    return softstep.Problem(tokens, labels, **options), tokens, decoder, torch.tensor(labels, dtype=dtype)


def test_loss_is_that_of_plain_pytorch_and_differentiable_twice():
    ours, x, u, y = problem()
    w = numbers(8, 8)
    value = torch.nn.functional.softplus(-y * layer(x, w, u, x[:, 0])).mean()
    assert abs((st.loss(ours, w) - value).item()) <= 1e-12
    a, b = (torch.autograd.grad(f, w)[0] for f in (st.loss(ours, w), value))
    assert (a - b).abs().max() <= 1e-12
    assert torch.autograd.gradcheck(lambda w: st.loss(ours, w), (w,))
    assert torch.autograd.gradgradcheck(lambda w: st.loss(ours, w), (w,))
    assert torch.autograd.gradcheck(lambda w: st.log_gap(ours, w), (w,))


def test_loss_of_several_blocks():
    ours, *_ = problem(key_query="factored", rank=2)
    blocks = numbers(8, 2, seed=1), numbers(8, 2, seed=2)
    assert torch.autograd.gradcheck(lambda *w: st.loss(ours, *w), blocks)
    assert torch.autograd.gradgradcheck(lambda *w: st.loss(ours, *w), blocks)
    with pytest.raises(ValueError, match="weights"):
        st.loss(ours, blocks[0])


def test_loss_where_the_sign_of_weights_is_turned():
    ours, *_ = problem()
    w = numbers(8, 8, grad=False)
    turned = torch.complex(w, w).conj().imag
    assert turned.is_neg()
    assert torch.equal(st.loss(ours, turned), st.loss(ours, -w)) and torch.equal(st.log_gap(ours, turned), st.log_gap(ours, -w))


def test_ngd_is_the_formula():
    w, v = numbers(3, 4), numbers(5, seed=1)
    start = w.detach().clone(), v.detach().clone()
    optimizer = st.NGD([{"params": [w]}, {"params": [v], "lr": 0.1}], lr=0.5, decay=0.5)
    moved = list(start)
    for t in range(3):
        g = [2 * x for x in moved]
        norm = torch.sqrt(sum((x * x).sum() for x in g))
        moved = [x - lr * (t + 1) ** -0.5 * y / norm for x, y, lr in zip(moved, g, (0.5, 0.1))]
        optimizer.zero_grad()
        optimizer.step(lambda: ((w * w).sum() + (v * v).sum()).backward())
    assert (w - moved[0]).abs().max() <= 1e-14 and (v - moved[1]).abs().max() <= 1e-14
    # The count of steps goes with the state.
    other = st.NGD([{"params": [w]}, {"params": [v]}])
    other.load_state_dict(optimizer.state_dict())
    assert other.state[w]["step"] == 3 and other.param_groups[1]["lr"] == 0.1


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1.0, 1e200])
def test_ngd_at_all_sizes_of_gradient(size):
    w = numbers(3, 4)
    start = w.detach().clone()
    w.grad = size * start
    st.NGD([w]).step()
    # The norm is kept as a logarithm. Its rounding, |log| u twice, is the relative error of a step of length 1.
    bound = 2 * (abs(math.log(size)) + 8) * 2.0**-53
    assert (start - start / start.norm() - w).abs().max() <= bound


def test_polyak_is_the_formula():
    w = numbers(3, 4)
    start = w.detach().clone()

    def closure():
        loss = (w * w).sum() + 3.0
        loss.backward()
        return loss

    st.Polyak([w], factor=2.0, optimal_loss=3.0).step(closure)
    # gap / (2 |G|^2) G = |w|^2 / (8 |w|^2) 2 w = w / 4
    assert (w - 0.75 * start).abs().max() <= 1e-14
    with pytest.raises(ValueError, match="closure"):
        st.Polyak([w]).step()


def test_a_gap_that_is_no_number_moves_nothing():
    w = numbers(3, 4)
    start = w.detach().clone()
    w.grad = torch.ones(3, 4, dtype=torch.float64)
    for gap in (math.nan, 0.0, -1.0, softstep.Scaled(math.nan, 0.0)):
        st.Polyak([w]).step(lambda: gap)
        assert torch.equal(w, start)


@pytest.mark.parametrize("dtype, exponent", [(torch.float64, -800.0), (torch.float32, -100.0)])
def test_a_step_that_no_number_can_hold_is_refused(dtype, exponent):
    # As of saturated rows at a wrong token: a gap near 1, a gradient of e^exponent.
    w = torch.nn.Parameter(torch.zeros(2, dtype=dtype))
    optimizer = st.Polyak([w])

    def closure():
        w.grad = torch.tensor([1.0, 0.0], dtype=dtype)
        w.grad_exponent, w.grad_exponent_of = exponent, w.grad
        return softstep.Scaled(0.5, 0.0)

    with pytest.raises(softstep.InvalidArgument, match="gap of e") as caught:
        optimizer.step(closure)
    assert caught.value.argument == "closure" and not w.any() and not optimizer.state
    # Where the type holds it, it is taken: 0.5 / (2 e^-20) e^20 = e^20 / 4 * e^0.
    exponent = -20.0
    optimizer.step(closure)
    assert abs(float(w[0].detach()) / (-0.25 * math.exp(20.0)) - 1) <= 64 * torch.finfo(dtype).eps and not w[1]


def test_the_norm_of_complex_gradients():
    w = torch.nn.Parameter(torch.zeros(2, dtype=torch.complex128))
    w.grad = torch.tensor([3.0 + 4.0j, 12.0], dtype=torch.complex128)
    st.NGD([w]).step()
    assert (w + w.grad / 13.0).abs().max() <= 1e-15


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rule", [st.NGD, st.Polyak])
def test_they_go_on_where_plain_gradients_are_zero(dtype, rule):
    ours, *_ = problem(dtype)
    w = torch.nn.Parameter(torch.zeros(8, 8, dtype=dtype))
    optimizer = rule([w])
    for _ in range(3000):
        gap = optimizer.step(lambda: st.scaled_backward(ours, w))
    plain_gradient = ours.value_and_grad(w.detach())[1]
    assert gap.log10() < -50
    assert torch.isfinite(w).all()
    if gap.log10() < -400:
        assert not plain_gradient.any()
    before = w.detach().clone()
    optimizer.step(lambda: st.scaled_backward(ours, w))
    assert not torch.equal(before, w)


def test_an_exponent_does_not_outlive_its_gradient():
    ours, *_ = problem()
    w = torch.nn.Parameter(torch.zeros(8, 8, dtype=torch.float64))
    st.scaled_backward(ours, w)
    w.grad_exponent = -1000.0
    w.grad = torch.ones(8, 8, dtype=torch.float64)
    st.Polyak([w]).step(lambda: 2.0)
    assert (w + 2.0 / 2.0 / 64).abs().max() <= 1e-14


def test_an_exponent_does_not_outlive_a_gradient_set_to_zero():
    ours, *_ = problem()
    w = torch.nn.Parameter(torch.zeros(8, 8, dtype=torch.float64))
    optimizer = st.Polyak([w])
    st.scaled_backward(ours, w)
    w.grad_exponent = -1000.0
    optimizer.zero_grad(set_to_none=False)
    w.sum().backward()  # onto the zeros
    optimizer.step(lambda: 2.0)
    assert (w + 2.0 / 2.0 / 64).abs().max() <= 1e-14


def test_options_of_optimizers_are_checked():
    w = numbers(2)
    for make, name in (
        (lambda: st.NGD([w], lr=0.0), "lr"),
        (lambda: st.NGD([w], decay=-1.0), "decay"),
        (lambda: st.NGD([w], lr=math.nan), "lr"),
        (lambda: st.Polyak([w], factor=0.0), "factor"),
        (lambda: st.Polyak([w], optimal_loss=math.nan), "optimal_loss"),
        (lambda: st.NGD([{"params": [w], "lr": -1.0}]), "lr"),
        (lambda: st.NGD([{"params": [w], "decay": math.inf}]), "decay"),
        (lambda: st.Polyak([{"params": [w], "factor": 0.0}]), "factor"),
        (lambda: st.Polyak([w]).add_param_group({"params": [numbers(2)], "factor": math.nan}), "factor"),
        (lambda: st.NGD([w], lr="fast"), "lr"),
    ):
        with pytest.raises(ValueError, match=name):
            make()


def test_the_import_does_not_import_the_compiler():
    program = "import sys, torch; before = 'torch._dynamo' in sys.modules; import softstep.torch; print(before or 'torch._dynamo' not in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240)
    assert run.stdout.strip() == "True", run.stdout + run.stderr
