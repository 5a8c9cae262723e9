#pragma once

// Hessian-vector products of attention in 520 digits, by the triple form of docs/mathematics.md,
// section 10.4, which subtracts nothing but data, and their derived error bound. Shares no code with the
// library or its reference.
//
// The bound is for data whose scores, changes of scores and token scores are exact in the working type
// (lattice numbers), so that what is left is: the softmax in double, u2 = 2^-53; rows and products in T, u.
// Per sample, with M the triple form with each product in absolute value:
//   each e_t, e^c is off by e^(3 u2 (1 + |its argument|)), a change of a score; three factors of them, with
//     numerators and denominators, and c, m and the batch exponent in double:
//     theta = 32 u2 (1 + range of s + |m| + |log| of the sizes)
//   sums and products in double: (36 T + 82) u2 of section 9.4, of terms at most T^2 M: the pivot has
//     p_a >= 1/T
//   several queries: sums of m_i terms of the margin and its change, 2 m_i u2 of their sizes, in theta
//   of a gradient alone the softmax is in T: u for u2, in the same terms with those of r_t for those of dr_t
//   rows: T roundings and one cast; normalised and scaled: 4; product over samples, two of them, and the
//     factor K or Q: 2 n + d + 8

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "softstep/attention_model.h"
#include "support/exact.h"
#include "support/unit_roundoff.h"

namespace softstep::test {

using ExactRow = std::vector<Exact>;

/// l' and l'' at m, target y.
struct ExactLoss {
  std::function<Exact(const Exact&, const Exact&)> first, second;
};

inline Exact dot_of(const ExactRow& a, const ExactRow& b) {
  Exact sum(0);
  for (std::size_t j = 0; j < a.size(); ++j) sum += a[j] * b[j];
  return sum;
}

/// One block: n_rows x n_cols, and the bound of |computed - exact|_F.
struct ExactProduct {
  ExactRow values;
  Exact bound{0};
  ExactProduct(std::size_t size) : values(size, Exact(0)) {}
  void add(const ExactRow& left, const ExactRow& right, const Exact& factor) {
    for (std::size_t r = 0; r < left.size(); ++r)
      for (std::size_t c = 0; c < right.size(); ++c)
        values[r * right.size() + c] += factor * left[r] * right[c];
  }
};

/// Blocks of at and direction as Exact.
template <class T>
std::vector<ExactProduct> exact_hessian_product(const BatchView<T>& batch, const AttentionOptions& options,
                                                const std::vector<ExactRow>& at,
                                                const std::vector<ExactRow>& direction,
                                                const std::vector<std::size_t>& samples,
                                                const ExactLoss& loss, bool gradient_only = false) {
  const std::size_t d = batch.dim, r = options.rank, n = samples.size();
  const bool joint = options.train_decoder;
  const auto times = [](const ExactRow& a, std::size_t n_rows, std::size_t n_cols, const ExactRow& x) {
    ExactRow out(n_rows, Exact(0));
    for (std::size_t i = 0; i < n_rows; ++i)
      for (std::size_t j = 0; j < n_cols; ++j) out[i] += a[i * n_cols + j] * x[j];
    return out;
  };
  const auto through = [](const ExactRow& a, std::size_t n_rows, std::size_t n_cols, const ExactRow& x) {
    ExactRow out(n_cols, Exact(0));
    for (std::size_t i = 0; i < n_rows; ++i)
      for (std::size_t j = 0; j < n_cols; ++j) out[j] += a[i * n_cols + j] * x[i];
    return out;
  };
  std::vector<ExactProduct> out;
  for (const ExactRow& block : at) out.emplace_back(block.size());
  const ExactRow u = joint ? at.back() : ExactRow(batch.decoder, batch.decoder + d);
  for (const std::size_t i : samples) {
    const std::size_t n_tokens = batch.tokens_of(i);
    std::vector<ExactRow> x;
    for (std::size_t t = 0; t < n_tokens; ++t) {
      const T* token = batch.sample(i) + t * batch.row_stride();
      x.emplace_back(token, token + d);
    }
    const Exact y(batch.sign(i)), target(batch.target(i));
    const std::size_t n_queries = batch.queries_of(i);
    struct Query {
      ExactRow z, a, da, s, sigma, p;
      Exact weight;
    };
    std::vector<Query> queries(n_queries);
    ExactRow gamma, tau;
    for (const ExactRow& token : x) {
      gamma.push_back(y * dot_of(token, u));
      tau.push_back(joint ? Exact(y * dot_of(token, direction.back())) : Exact(0));
    }
    Exact m(0), shift(0), pivots(0), dm(0), dm_size(0), range(0);
    for (std::size_t q = 0; q < n_queries; ++q) {
      Query& query = queries[q];
      query.weight =
          batch.query_weights.empty() ? Exact(Exact(1) / Exact(n_queries)) : Exact(batch.query_weight(i, q));
      query.z = ExactRow(batch.query(i, q), batch.query(i, q) + d);
      ExactRow v = at[0], dv = direction[0];
      if (options.key_query == KeyQuery::combined) {
        v = times(at[0], d, d, query.z);
        dv = times(direction[0], d, d, query.z);
      } else if (options.key_query == KeyQuery::factored) {
        query.a = through(at[1], d, r, query.z);
        query.da = through(direction[1], d, r, query.z);
        v = times(at[0], d, r, query.a);
        dv = times(direction[0], d, r, query.a);
        const ExactRow more = times(at[0], d, r, query.da);
        for (std::size_t j = 0; j < d; ++j) dv[j] += more[j];
      }
      for (const ExactRow& token : x) {
        query.s.push_back(dot_of(token, v));
        query.sigma.push_back(dot_of(token, dv));
      }
      const ExactRow &s = query.s, &sigma = query.sigma;
      const auto top = std::max_element(s.begin(), s.end());
      const auto pivot = static_cast<std::size_t>(top - s.begin());
      range = std::max(range, Exact(*top - *std::min_element(s.begin(), s.end())));
      Exact mass(0);
      for (const Exact& score : s) {
        query.p.push_back(exp(Exact(score - *top)));
        mass += query.p.back();
      }
      for (Exact& p : query.p) p /= mass;
      const ExactRow& p = query.p;
      pivots += query.weight * gamma[pivot];
      for (std::size_t t = 0; t < n_tokens; ++t) {
        m += query.weight * p[t] * gamma[t];
        shift += query.weight * p[t] * (gamma[t] - gamma[pivot]);
        dm += query.weight * p[t] * tau[t];
        dm_size += query.weight * p[t] * abs(tau[t]);
        for (std::size_t k = 0; k < t; ++k) {
          const Exact pair = query.weight * p[t] * p[k] * (gamma[t] - gamma[k]) * (sigma[t] - sigma[k]);
          dm += pair;
          dm_size += abs(pair);
        }
      }
    }
    // m less the pivots' scores, and l' where these are the label exactly: 520 digits hold what the plain
    // subtraction leaves of e^-400; the pairwise form does at any size.
    const bool at_label = pivots == target && loss.first(pivots, target) == 0;
    const Exact l1 = at_label ? Exact(loss.second(pivots, target) * shift) : loss.first(m, target);
    const Exact l2 = loss.second(m, target);

    for (const Query& query : queries) {
      const ExactRow &z = query.z, &a = query.a, &da = query.da, &sigma = query.sigma, &p = query.p;
      ExactRow row(d, Exact(0)), gradient(d, Exact(0)), decoder(d, Exact(0));
      Exact row_size(0), gradient_size(0), decoder_size(0);
      for (std::size_t t = 0; t < n_tokens; ++t) {
        Exact own(0), own_size(0), triple(0), triple_size(0), moved(0), moved_size(0), turned(0),
            turned_size(0);
        for (std::size_t k = 0; k < n_tokens; ++k) {
          const Exact difference = p[t] * p[k] * (gamma[t] - gamma[k]);
          own += difference;
          own_size += abs(difference);
          moved += p[t] * p[k] * (tau[t] - tau[k]);
          moved_size += p[t] * p[k] * abs(Exact(tau[t] - tau[k]));
          turned += p[t] * p[k] * (sigma[t] - sigma[k]);
          turned_size += p[t] * p[k] * abs(Exact(sigma[t] - sigma[k]));
          for (std::size_t j = 0; j < n_tokens; ++j) {
            triple += difference * p[j] * (sigma[t] + sigma[k] - 2 * sigma[j]);
            triple_size +=
                abs(difference) * p[j] * (abs(Exact(sigma[t] - sigma[j])) + abs(Exact(sigma[k] - sigma[j])));
          }
        }
        const Exact dr = l2 * dm * own + l1 * (triple + moved);
        const Exact dr_size = abs(l2) * dm_size * own_size + abs(l1) * (triple_size + moved_size);
        const Exact du = l2 * dm * p[t] + l1 * turned;
        const Exact length = norm_of(x[t]);
        for (std::size_t j = 0; j < d; ++j) {
          row[j] += dr * x[t][j];
          gradient[j] += l1 * own * x[t][j];
          decoder[j] += y * (gradient_only ? Exact(l1 * p[t]) : du) * x[t][j];
        }
        row_size += dr_size * length;
        gradient_size += abs(l1) * own_size * length;
        decoder_size +=
            (gradient_only ? Exact(abs(l1) * p[t]) : abs(l2) * dm_size * p[t] + abs(l1) * turned_size) *
            length;
      }
      if (gradient_only) {
        row = gradient;
        row_size = gradient_size;
      }

      const double u2 = gradient_only ? unit_roundoff<T> : 0x1p-53, unit = unit_roundoff<T>,
                   tokens = static_cast<double>(n_tokens);
      const double theta =
          32.0 * u2 *
          static_cast<double>(Exact(64 + 2 * Exact(n_queries) + 4 * range + abs(m) + abs(pivots)));
      const double relative = 1.01 * (std::expm1(theta) + (36.0 * tokens + 82.0) * u2 * tokens * tokens +
                                      (tokens + 12.0 + 2.0 * static_cast<double>(n * n_queries + d)) * unit);
      const Exact part = query.weight / Exact(n), error = part * Exact(relative);
      if (options.key_query == KeyQuery::combined) {
        out[0].add(row, z, part);
        out[0].bound += error * row_size * norm_of(z);
      } else if (options.key_query == KeyQuery::prompt) {
        out[0].add(row, {Exact(1)}, part);
        out[0].bound += error * row_size;
      } else {
        out[0].add(row, a, part);
        out[0].bound += error * row_size * norm_of(a);
        out[1].add(z, through(at[0], d, r, row), part);
        out[1].bound += error * row_size * norm_of(at[0]) * norm_of(z);
        if (!gradient_only) {
          out[0].add(gradient, da, part);
          out[0].bound += error * gradient_size * norm_of(da);
          out[1].add(z, through(direction[0], d, r, gradient), part);
          out[1].bound += error * gradient_size * norm_of(direction[0]) * norm_of(z);
        }
      }
      if (joint) {
        out.back().add(decoder, {Exact(1)}, part);
        out.back().bound += error * decoder_size;
      }
    }
  }
  return out;
}

}  // namespace softstep::test
