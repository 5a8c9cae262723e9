#pragma once

// The two heads of four numbers from their definition, in plain numbers of any type with range and digits
// enough.

#include <cmath>
#include <cstddef>
#include <vector>

namespace softstep::reference {

template <class Number>
struct Induction {
  Number loss{0};
  std::vector<Number> gradients{};  ///< of v_1, p, v_2, w
  /// What each gradient, and the loss, is made of: residuals by the sizes of their terms, derivatives by the
  /// sizes of theirs.
  std::vector<Number> sizes{};
  Number loss_size{0}, squared_size{0};
};

/// `at` is v_1, p, v_2, w; rows of `length` numbers.
template <class Number>
Induction<Number> induction(std::size_t length, const std::vector<double>& sequences,
                            const std::vector<double>& targets, const std::vector<Number>& at,
                            bool is_product) {
  using std::exp;
  using std::fabs;
  const std::size_t n = targets.size();
  const Number beta = is_product ? Number(at[3] * at[3]) : at[3];
  Induction<Number> out;
  out.gradients.assign(4, Number(0));
  out.sizes.assign(4, Number(0));
  for (std::size_t i = 0; i < n; ++i) {
    const double* x = sequences.data() + i * length;  // x[0] is x_1
    const Number last(x[length - 1]);
    Number most(0);
    for (std::size_t s = 0; s < length; ++s)
      if (Number(fabs(Number(x[s]))) > most) most = fabs(Number(x[s]));
    std::vector<Number> a, b;
    Number sum_a(0), sum_b(0);
    for (std::size_t s = 2; s + 1 <= length; ++s) {
      a.push_back(exp(Number(-at[1] * Number(length - 1 - s))));
      b.push_back(exp(Number(beta * last * Number(x[s - 2]))));
      sum_a += a.back();
      sum_b += b.back();
    }
    Number place(0), match(0);
    for (std::size_t k = 0; k < a.size(); ++k) {
      a[k] /= sum_a;
      b[k] /= sum_b;
      place += a[k] * Number(x[k]);
      match += b[k] * Number(x[k + 1]);
    }
    // The largest share of each head, which the others are counted from.
    std::size_t top_a = 0, top_b = 0;
    for (std::size_t k = 0; k < a.size(); ++k) {
      if (a[k] > a[top_a]) top_a = k;
      if (b[k] > b[top_b]) top_b = k;
    }
    Number place_turn(0), match_turn(0), place_size(0), match_size(0);
    for (std::size_t k = 0; k < a.size(); ++k) {
      const Number back(a.size() - 1 - k), best(a.size() - 1 - top_a);
      place_turn -= a[k] * back * (Number(x[k]) - place);
      place_size += a[k] * fabs(Number(back - best)) * 2 * most;
      match_turn += b[k] * last * Number(x[k]) * (Number(x[k + 1]) - match);
      match_size += b[k] * fabs(Number(last * (Number(x[k]) - Number(x[top_b])))) * 2 * most;
    }
    const Number residual = at[0] * place + at[2] * match - Number(targets[i]);
    const Number size = (fabs(at[0]) + fabs(at[2])) * most + fabs(Number(targets[i]));
    const Number count(n), chain = is_product ? Number(2 * at[3]) : Number(1);
    out.loss += residual * residual / (2 * count);
    out.loss_size += fabs(residual) * size / count;
    out.squared_size += size * size / count;
    out.gradients[0] += residual * place / count;
    out.gradients[1] += residual * at[0] * place_turn / count;
    out.gradients[2] += residual * match / count;
    out.gradients[3] += residual * at[2] * chain * match_turn / count;
    out.sizes[0] += size * most / count;
    out.sizes[1] += size * fabs(at[0]) * place_size / count;
    out.sizes[2] += size * most / count;
    out.sizes[3] += size * fabs(Number(at[2] * chain)) * match_size / count;
  }
  return out;
}

}  // namespace softstep::reference
