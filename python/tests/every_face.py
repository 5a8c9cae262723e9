"""Touches each public name of the package once, on small data: what tools/python --valgrind runs under valgrind, which takes long
where Python is slow, and what test_every_face.py runs as it is. NumPy alone, and no framework.
"""

import pathlib
import tempfile
import threading

import numpy as np

import softstep
from softstep.program import program

RNG = np.random.default_rng(0)


def refused(call, argument):
    """Calls what must be refused by name."""
    try:
        call()
    except softstep.InvalidArgument as error:
        assert isinstance(error, softstep.Error) and error.argument == argument, (error, argument)
    else:
        raise AssertionError(f"{argument}: not refused")


def library():
    assert softstep.__version__ and softstep.active_isa() in softstep.isas() and softstep.available_threads() >= 1
    softstep.force_isa(softstep.isas()[0])
    softstep.force_isa("auto")
    refused(lambda: softstep.force_isa("mmx"), "isa")
    assert softstep.generators() and softstep.step_rules()
    assert softstep.compare_direction(np.eye(3), 2 * np.eye(3))[0] <= 1e-15
    for norm in ("frobenius", "spectral", "nuclear", "max", "lp"):
        assert softstep.matrix_norm(np.eye(3), norm, 3.0) > 0 and softstep.dual_norm(np.eye(3), norm, 3.0) > 0


def evaluations():
    tokens, labels, decoder = RNG.normal(size=(5, 3, 6)), np.array([1, -1, 1, -1, 1], dtype=np.int8), RNG.normal(size=6)
    w, v, out = RNG.normal(size=(6, 6)), RNG.normal(size=(6, 6)), np.zeros((6, 6))
    loss = softstep.Loss(lambda m, y: np.logaddexp(0, -m), lambda m, y: -1 / (1 + np.exp(m)), lambda m, y: 0.1, is_decreasing=True)
    problems = [
        softstep.Problem(tokens, labels, decoder),
        softstep.Problem(tokens.astype("f4"), labels, decoder, n_threads=2, token_storage="f16"),
        softstep.Problem(tokens.astype("f2"), labels, decoder, queries=[0, 1, 2, 0, 1]),
        softstep.Problem(list(tokens), labels, decoder, queries="all", query_weights=np.ones(15)),
        softstep.Problem(tokens[::2, ::2], labels[::2], decoder, loss=loss),
        softstep.Problem(tokens, None, decoder, targets=RNG.normal(size=5), loss="squared"),
    ]
    for p in problems:
        at, along = w.astype(p.dtype), v.astype(p.dtype)
        p.value_and_grad(at, out.astype(p.dtype), samples=np.array([0, 2]))
        p.value_and_grad(at), p.scaled(at), p.loss(at), p.loss_gap(at), p.log_gap(at), p.attention(at), p.metrics(at, w)
        p.hvp(at, along), p.scaled_hvp(at, along), p.check_gradient(at, max_entries=4)
        evaluation = p.evaluate(at)
        assert isinstance(evaluation, softstep.Evaluation) and isinstance(evaluation.loss_gap, softstep.Scaled)
        assert isinstance(p, softstep.Model) and p.optimal_tokens.size and p.token_offsets.size and p.tokens_address and p.identity
    check = problems[0].check_gradient(w)
    assert isinstance(check, softstep.GradientCheck) and isinstance(check.blocks[0], softstep.BlockCheck) and check.passed
    for options in (dict(key_query="factored", rank=2), dict(key_query="prompt"), dict(train_decoder=True, decoder=None)):
        p = softstep.Problem(**{**dict(tokens=tokens, labels=labels, decoder=decoder), **options})
        point = {name: RNG.normal(size=shape) for name, shape in p.blocks.items()}
        p.value_and_grad(point), p.hvp(point, point)
    refused(lambda: problems[0].loss(w[::-1]), "W")
    refused(lambda: problems[0].value_and_grad(w, w), "out")
    refused(lambda: softstep.Problem(tokens.astype(">f8"), labels, decoder), "tokens")


class Mean(softstep.StepRule):
    name, memory = "mean", {"mean": 0}

    def propose(self, context):
        assert isinstance(context, softstep.StepContext)
        context.next["mean"] = 0.9 * context.memory.get("mean", np.zeros(context.gradient.size)) + context.gradient.ravel()
        return 0.1 * context.next["mean"].reshape(context.gradient.shape)


def runs():
    data = softstep.generate(n_samples=4, n_tokens=3, dim=6, seed=0)
    assert isinstance(data, softstep.Dataset)
    problem = data.problem()
    limit = softstep.solve_max_margin(problem)
    assert isinstance(limit, softstep.MaxMarginResult)
    for rule in ["polyak", softstep.Rule("ngd", step_size=0.5), Mean(), lambda c: 1 / c.gradient_norm]:
        result = softstep.train(problem, rule, steps=8, reference=limit, thresholds=[0.9], callback=lambda row: None)
        assert isinstance(result, softstep.TrainResult) and result.resume(2).steps == 2 and result.report() and repr(result)
        assert isinstance(result.state, softstep.TrainState) and result.weights.shape == (6, 6) and result.blocks
    for form in ("dense", "query-span", "token-span"):
        softstep.train(problem, "ngd", steps=8, form=form)
    softstep.train(data.astype("f4").problem(), "ngd", steps=8, master_weights="float64", batch_size=2, init_std=0.1)
    source = softstep.StopSource()
    threading.Timer(0.05, source.stop).start()
    assert softstep.train(problem, steps=10**9, stop=source).status == "interrupted"
    problems = [softstep.generate(n_samples=4, n_tokens=3, dim=6, seed=seed).problem() for seed in range(5)]
    for n_threads in (1, 2):
        many = softstep.train_many(problems, ["ngd", "polyak", Mean(), "sign", "gd"], steps=[8, 3, 8, 8, 0], n_threads=n_threads)
        assert isinstance(many, softstep.ManyTrainResult) and many.weights.shape == (5, 6, 6) and many.resume(2)[0].report()
    compared = softstep.compare(problems[:2], ["ngd", Mean()], steps=5)
    assert isinstance(compared, softstep.Comparison) and compared.table and compared.medians()
    assert softstep.sweep(problem, ["ngd"], steps=5).medians()
    refused(lambda: softstep.train(problem, "no-such"), "rule")
    refused(lambda: softstep.train_many(problems, ["ngd"] * 4), "rule")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "file")
        result = softstep.train(problem, "ngd", steps=3)
        result.save(path)
        assert softstep.load_state(path, problem, "ngd").step == 3
        softstep.save_dataset(path, data, "bf16")
        assert softstep.load_dataset(path).tokens.shape == (4, 3, 6)
        path.write_bytes(b"no file of ours")
        try:
            softstep.load_dataset(path)
        except softstep.BadFile:
            pass
        try:
            softstep.load_dataset(path.with_suffix(".none"))
        except softstep.IoError as error:
            assert isinstance(error, OSError)
    refused(lambda: softstep.reproduce("no-such-law"), "name" if has_program() else "program")


def has_program():
    try:
        return bool(program())
    except softstep.NotSupported:
        return False


def other_models():
    points, labels = RNG.normal(size=(6, 4)), [1, -1] * 3
    linear = softstep.LinearModel(points, labels)
    softstep.train(linear, "ngd", steps=5), linear.value_and_grad(np.zeros(4))
    softstep.solve_linear_max_margin(points, labels)
    data = softstep.next_token_example(n_contexts=4, vocabulary=6, dim=5, support_size=2)
    assert isinstance(data, softstep.NextTokenData) and data.entropy() > 0
    softstep.train(softstep.NextTokenModel(data, dtype="float32"), "ngd", steps=5)
    assert softstep.solve_next_token_max_margin(data).status == "optimal"
    of_one = softstep.generate(n_samples=3, n_tokens=3, dim=6, seed=0).problem()
    tied = softstep.solve_max_margin_with_ties(of_one, [[int(best)] for best in of_one.optimal_tokens])
    assert isinstance(tied, softstep.TiedMaxMarginResult)


def neighbours():
    clouds = softstep.class_clouds(n_classes=3, dim=4, points_per_class=2)
    assert isinstance(clouds, softstep.MulticlassData)
    model = softstep.MulticlassModel(*clouds, dtype="float32")
    W = softstep.train(model, "ngd", steps=5).blocks["weights"]
    certificate = softstep.MarginCertificate(*W.shape)
    model.certify(certificate, W), certificate.bound(), certificate.share(model.margin(W), "max"), repr(model)
    points, labels = RNG.normal(size=(6, 2)), [1, -1] * 3
    network = softstep.ReluNetwork(points, labels, n_neurons=3, outer=[1, -1, 1], loss="correlation")
    population = softstep.ReluPopulation(points[:2], labels[:2], sigma=0.5, n_neurons=2)
    regression = softstep.InContextRegression([0.5, 0.25], 7, n_heads=2)
    for model in (network, population, regression):
        assert softstep.train(model, "gd:step-size=0.1", steps=5, init_std=0.1).steps == 5 and repr(model)
    problem = softstep.generate(n_samples=4, n_tokens=3, dim=6, seed=0).problem()
    W = softstep.train(problem, "ngd", steps=50).weights
    assert problem.certified_share(W) > 0 and softstep.MarginCertificate(6, 6).add_gradient(problem, W)
    with tempfile.TemporaryDirectory() as folder:
        kept = softstep.Checkpoints(str(pathlib.Path(folder, "kept")))
        softstep.train(problem, "ngd", steps=8, checkpoints=kept, checkpoint_steps=2)
        assert len(kept.files) == 3 and softstep.train(problem, "ngd", steps=9, checkpoints=kept).steps == 1
        try:
            softstep.load_multiclass_data(pathlib.Path(folder, "none"))
        except softstep.IoError:
            pass
    for norm in ("lp", "nuclear"):
        softstep.solve_max_margin(softstep.generate(n_samples=3, n_tokens=3, dim=5, seed=0).problem(), norm=norm)


def heads():
    for kind in ("f8", "f4", "f2"):
        q, k, v = (RNG.normal(size=shape).astype(kind) for shape in ((2, 4, 5, 3), (2, 2, 7, 3), (2, 2, 7, 4)))
        options = softstep.HeadOptions(causal=True, soft_cap=2.0, n_threads=2)
        state = softstep.HeadsState()
        bias = RNG.normal(size=(1, 4, 5, 7)).astype("f8" if kind == "f8" else "f4")
        out, _ = softstep.attention_forward(q, k, v, options, bias=bias, log_sum_exp=True, state=state)
        softstep.attention_backward(q, k, v, state, out, options, bias=bias, wanted="qkvb", scaled=True)
        softstep.attention_tangent(q, k, v, state, options, bias=bias, query_direction=q)
        softstep.attention_hessian_product(q, k, v, state, out, options, bias=bias, key_direction=k, output_gradient_direction=out)
        softstep.attention(q[:, ::-1], k, v, key_lengths=np.array([7, 0]))
        gates = -np.abs(RNG.normal(size=(2, 2, 7, 1))).astype(kind)
        made = softstep.linear_attention(q, k, v, log_gates=gates, causal=True)
        softstep.linear_attention_forward(q, k, v, softstep.HeadOptions())
        softstep.linear_attention_backward(q, k, v, made, softstep.HeadOptions(causal=True), log_gates=gates, wanted="qkvg")
        refused(lambda: softstep.attention(q, k[..., :2], v), "keys")


def main():
    for part in (library, evaluations, runs, other_models, neighbours, heads):
        part()


if __name__ == "__main__":
    main()
    print("touched")
