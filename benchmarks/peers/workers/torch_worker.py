"""The step in PyTorch: eager and torch.compile, autograd and a gradient written out, three ways to batch the products."""
import sys

import torch
import torch.nn.functional as F

from worker import Data, serve

torch.set_num_threads(int(sys.argv[2]))
torch._dynamo.config.recompile_limit = 1000  # every shape is compiled for itself

SCORES = {  # s_it = x_it . v_i
    "einsum": lambda x, v: torch.einsum("ntd,nd->nt", x, v),
    "bmm": lambda x, v: torch.bmm(x, v.unsqueeze(2)).squeeze(2),
    "sum": lambda x, v: (x * v.unsqueeze(1)).sum(2),
}
ROWS = {  # g_i = X_i^T r_i
    "einsum": lambda r, x: torch.einsum("nt,ntd->nd", r, x),
    "bmm": lambda r, x: torch.bmm(r.unsqueeze(1), x).squeeze(1),
    "sum": lambda r, x: (r.unsqueeze(2) * x).sum(1),
}
UNROLLED = 8  # steps in one compiled graph
SMALL = 20_000  # tokens' elements up to which the overhead of a call matters


def loss_of(way, w, x, gamma, z):
    p = torch.softmax(SCORES[way](x, z @ w.T), dim=1)
    return F.softplus(-(p * gamma).sum(1)).mean()


def hand_step(way, w, step_size, x, gamma, z):
    p = torch.softmax(SCORES[way](x, z @ w.T), dim=1)
    m = (p * gamma).sum(1, keepdim=True)
    r = p * (gamma - m) * (torch.sigmoid(-m) * (-1.0 / x.shape[0]))
    gradient = ROWS[way](r, x).T @ z
    return w - gradient * (step_size / torch.linalg.vector_norm(gradient))


def functional_step(way, w, step_size, x, gamma, z):
    gradient = torch.func.grad(lambda v: loss_of(way, v, x, gamma, z))(w)
    return w - gradient * (step_size / torch.linalg.vector_norm(gradient))


def tokens_loss_of(way, w, x, gamma, z):
    """Every token is a query of its sample; the prediction is the mean of what they give. `way` and z have no part in it."""
    p = torch.softmax((x @ w.T) @ x.transpose(1, 2), dim=2)
    return F.softplus(-torch.matmul(p, gamma.unsqueeze(2)).mean((1, 2))).mean()


def tokens_hand_step(way, w, step_size, x, gamma, z):
    p = torch.softmax((x @ w.T) @ x.transpose(1, 2), dim=2)
    m = torch.matmul(p, gamma.unsqueeze(2))
    slope = torch.sigmoid(-m.mean(1, keepdim=True)) * (-1.0 / (x.shape[0] * x.shape[1]))
    rows = (p * ((gamma.unsqueeze(1) - m) * slope)) @ x
    gradient = rows.flatten(0, 1).T @ x.flatten(0, 1)
    return w - gradient * (step_size / torch.linalg.vector_norm(gradient))


def tokens_functional_step(way, w, step_size, x, gamma, z):
    gradient = torch.func.grad(lambda v: tokens_loss_of(way, v, x, gamma, z))(w)
    return w - gradient * (step_size / torch.linalg.vector_norm(gradient))


class Peer:
    loss_of = staticmethod(loss_of)

    def __init__(self, data: Data, way: str):
        self.way = way
        self.x, self.gamma, self.z = map(torch.from_numpy, (data.tokens, data.scores, data.queries))
        self.size: dict[float, torch.Tensor] = {}

    def reset(self, weights):
        self.w = torch.tensor(weights)

    def step_size(self, value: float) -> torch.Tensor:
        """As a tensor, so that another value is no reason to compile again."""
        return self.size.setdefault(value, torch.tensor(value, dtype=self.x.dtype))

    def loss(self):
        with torch.no_grad():
            return self.loss_of(self.way, self.w, self.x, self.gamma, self.z).item()

    def weights(self):
        return self.w.detach().numpy()


class EagerHand(Peer):
    def advance(self, steps, step_size):
        way, w, x, gamma, z = self.way, self.w, self.x, self.gamma, self.z
        scores, rows, scale = SCORES[way], ROWS[way], -1.0 / x.shape[0]
        with torch.inference_mode():
            for _ in range(steps):
                p = torch.softmax(scores(x, z @ w.T), dim=1)
                m = (p * gamma).sum(1, keepdim=True)
                r = torch.sub(gamma, m).mul_(p).mul_(torch.sigmoid_(m.neg_()).mul_(scale))
                gradient = rows(r, x).T @ z
                w.sub_(gradient.mul_(step_size / torch.linalg.vector_norm(gradient)))


class EagerAutograd(Peer):
    def advance(self, steps, step_size):
        w = self.w.requires_grad_()
        for _ in range(steps):
            gradient, = torch.autograd.grad(self.loss_of(self.way, w, self.x, self.gamma, self.z), w)
            with torch.no_grad():
                w.sub_(gradient.mul_(step_size / torch.linalg.vector_norm(gradient)))


class Compiled(Peer):
    """`unrolled` steps in one graph; a remainder is taken by the same function compiled for one step."""

    def __init__(self, data: Data, way: str, one_step, unrolled: int = 1):
        super().__init__(data, way)
        self.unrolled = unrolled

        def several(w, step_size, x, gamma, z):
            for _ in range(unrolled):
                w = one_step(way, w, step_size, x, gamma, z)
            return w

        self.several = torch.compile(several, dynamic=False, fullgraph=True)
        self.one = torch.compile(lambda *a: one_step(way, *a), dynamic=False, fullgraph=True)

    def advance(self, steps, step_size):
        size, w, (x, gamma, z) = self.step_size(step_size), self.w, (self.x, self.gamma, self.z)
        with torch.no_grad():
            for _ in range(steps // self.unrolled):
                w = self.several(w, size, x, gamma, z)
            for _ in range(steps % self.unrolled):
                w = self.one(w, size, x, gamma, z)
        self.w = w


class TokensEagerAutograd(EagerAutograd):
    loss_of = staticmethod(tokens_loss_of)


class TokensCompiled(Compiled):
    loss_of = staticmethod(tokens_loss_of)


class TokensEagerHand(Peer):
    loss_of = staticmethod(tokens_loss_of)

    def advance(self, steps, step_size):
        with torch.inference_mode():
            for _ in range(steps):
                self.w = tokens_hand_step(self.way, self.w, step_size, self.x, self.gamma, self.z)


def variants(data: Data):
    out = {"tokens-autograd": lambda: TokensEagerAutograd(data, ""), "tokens-hand": lambda: TokensEagerHand(data, ""),
           "tokens-compile-autograd": lambda: TokensCompiled(data, "", tokens_functional_step),
           "tokens-compile-hand": lambda: TokensCompiled(data, "", tokens_hand_step)}
    for way in SCORES:
        if way == "bmm" or data.tokens.size <= SMALL:  # einsum is bmm behind a call; sum writes an array of X's size
            out[f"eager-hand-{way}"] = lambda way=way: EagerHand(data, way)
            out[f"eager-autograd-{way}"] = lambda way=way: EagerAutograd(data, way)
    for way in ("bmm", "sum"):
        out[f"compile-hand-{way}"] = lambda way=way: Compiled(data, way, hand_step)
    out["compile-autograd-bmm"] = lambda: Compiled(data, "bmm", functional_step)
    if data.tokens.size <= SMALL:
        out[f"compile-hand-sum-x{UNROLLED}"] = lambda: Compiled(data, "sum", hand_step, UNROLLED)
    return out


serve(torch.__version__, variants)
