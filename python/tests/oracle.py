"""The layer in plain NumPy, from its definition, in long double: shares no code with what it checks."""

import numpy as np


def layer(samples, labels, decoder, weights, queries=None):
    """Loss, gradient by W, and attention of each sample. samples: list of [T_i, d]; queries: [n, d], or [n, m, d], pooled by the mean."""
    wide = np.longdouble
    u, w = np.asarray(decoder, wide), np.asarray(weights, wide)
    loss, gradient, attention = wide(0), np.zeros(w.shape, wide), []
    for i, sample in enumerate(samples):
        x = np.asarray(sample, wide)
        each = np.atleast_2d(x[0] if queries is None else np.asarray(queries[i], wide))
        score = x @ u
        f, pooled, inner = wide(0), np.zeros(len(x), wide), np.zeros(w.shape, wide)
        for z in each:
            s = x @ w @ z
            p = np.exp(s - s.max())
            p /= p.sum()
            pooled += p / len(each)
            f += p @ score / len(each)
            inner += np.outer(x.T @ (p * (score - p @ score)), z) / len(each)
        attention.append(pooled)
        m = wide(int(labels[i])) * f
        loss += np.logaddexp(wide(0), -m)
        gradient += -wide(int(labels[i])) / (1 + np.exp(m)) * inner
    n = len(samples)
    return loss / n, gradient / n, attention


def heads(q, k, v, causal=False):
    """softmax(q k^T / sqrt(d)) v over [B, H, T, d], in long double."""
    q, k, v = (np.asarray(a, np.longdouble) for a in (q, k, v))
    s = np.einsum("bhid,bhjd->bhij", q, k) / np.sqrt(np.longdouble(q.shape[-1]))
    if causal:
        s = np.where(np.tril(np.ones(s.shape[-2:], bool), s.shape[-1] - s.shape[-2]), s, -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return np.einsum("bhij,bhjd->bhid", p, v)
