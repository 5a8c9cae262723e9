// Several tokens of a sample that are to share the best score: equalities between them, margins to the rest.
//
// The constraints are written out and the equalities projected out of them, B_k = P A_k, which leaves the
// plain problem min ||W|| s.t. <B_k, W> >= 1. The certificate is then computed from the A_k and E_e
// themselves.

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/data/batch_rows.h"
#include "core/data/checked_size.h"
#include "core/data/text.h"
#include "core/isa/active_isa.h"
#include "core/max_margin/constraints/chosen_tokens.h"
#include "core/max_margin/constraints/dense_rows.h"
#include "core/max_margin/constraints/equality_projection.h"
#include "core/max_margin/constraints/range.h"
#include "core/max_margin/hard_margin.h"
#include "core/max_margin/proofs/certificate.h"
#include "core/max_margin/proofs/ray_proof.h"
#include "core/max_margin/solver_ranks.h"
#include "core/threads/start.h"
#include "softstep/metrics.h"

namespace softstep {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
// Where a smaller share than this of a margin's matrix is outside the span of the equalities, it cannot be
// told from rounding.
constexpr double consistent_from = 1e-13;

// Whether numbers that were multiplied by 2^exponent are what they were, or at least as near to it as doubles
// are.
bool has_all_bits(const std::vector<double>& x, int exponent) {
  return exponent >= 0 || std::isnormal(frobenius_norm(x));
}

bool is_zero(const std::vector<double>& x) {
  return std::all_of(x.begin(), x.end(), [](double value) { return value == 0.0; });
}

/// Constraints written out; slots are tokens in order, of which each row or equality belongs to one.
struct Written {
  std::size_t size = 0, n_slots = 0;
  int of_difference = 0, of_query = 0;  // differences and queries are those given times 2 to these
  int exponent() const { return of_difference + of_query; }  // of rows and equalities
  std::vector<double> rows, equalities;
  std::vector<std::size_t> row_slots, equality_slots;
  ExactRows exact;  // of a slot

  /// `is_zero`: of what was given, a factor is zero. A row that is zero for want of range is no proof that
  /// nothing satisfies it, and an equality that is, no equality that asks for nothing; where bits are
  /// missing, the certificate would be that of another problem.
  void add(bool equality, std::size_t slot, const std::vector<double>& difference,
           const std::vector<double>& query, bool is_zero) {
    std::vector<double>& to = equality ? equalities : rows;
    for (const double d : difference)
      for (const double z : query) to.push_back(d * z);
    const double length = frobenius_norm({to.data() + to.size() - size, size});
    if (!std::isfinite(length))
      throw InvalidArgument("tokens",
                            "the size of a constraint overflows (token " + std::to_string(slot) + ")");
    if (!is_zero &&
        !(std::isnormal(length) && has_all_bits(difference, of_difference) && has_all_bits(query, of_query)))
      throw InvalidArgument("tokens", "the size of a constraint underflows beside the others (token " +
                                          std::to_string(slot) + ")");
    (equality ? equality_slots : row_slots).push_back(slot);
  }
};

void require_tied(const std::vector<std::vector<std::size_t>>& tied, std::size_t n,
                  const std::vector<std::size_t>& n_tokens) {
  if (tied.size() != n)
    throw InvalidArgument("tied", std::to_string(tied.size()) + " sets (need one for each of the " +
                                      std::to_string(n) + " samples)");
  for (std::size_t i = 0; i < n; ++i) {
    const std::string sample = "sample " + std::to_string(i);
    if (tied[i].empty()) throw InvalidArgument("tied", sample + " has none (need at least one token)");
    std::vector<std::size_t> sorted = tied[i];
    std::sort(sorted.begin(), sorted.end());
    if (sorted.back() >= n_tokens[i])
      throw InvalidArgument("tied", sample + ": " + std::to_string(sorted.back()) + " (need 0 to " +
                                        std::to_string(n_tokens[i] - 1) + ")");
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end())
      throw InvalidArgument("tied", sample + ": token " + std::to_string(*twice) + " is there twice");
  }
}

class TiedSolver {
 public:
  TiedSolver(const Written& given, const MaxMarginOptions& options)
      : given_(given),
        options_(options),
        kernels_(resolve_isa("").kernels<double>()),
        equalities_(given.equalities, given.size, kernels_),
        n_rows_(given.row_slots.size()),
        proof_([&given](std::size_t k) { return given.exact(given.row_slots[k]); },
               [&given](std::size_t e) { return given.exact(given.equality_slots[e]); }) {}

  TiedMaxMarginResult run();

 private:
  const double* row(std::size_t k) const { return given_.rows.data() + k * given_.size; }
  void certify(const MaxMarginResult& projected);
  bool proves(std::vector<double>& multipliers, const std::function<bool()>& go_on);
  void write_ray(const std::vector<double>& multipliers);
  std::vector<double> combination(const std::vector<double>& multipliers);

  const Written& given_;
  const MaxMarginOptions& options_;
  const simd::Kernels<double>& kernels_;
  EqualityProjection equalities_;
  std::size_t n_rows_;
  RayProof proof_;
  std::vector<double> equality_multipliers_;
  TiedMaxMarginResult out_;
};

// sum lambda_k A_k + sum mu_e E_e, with the mu that make it orthogonal to the equalities, from A and E
// themselves.
std::vector<double> TiedSolver::combination(const std::vector<double>& multipliers) {
  std::vector<double> sum(given_.size, 0.0);
  for (std::size_t k = 0; k < n_rows_; ++k)
    if (multipliers[k] != 0.0) kernels_.axpy(given_.size, multipliers[k], row(k), sum.data());
  equality_multipliers_ = equalities_.multipliers(sum.data());
  equalities_.add(equality_multipliers_, sum.data());
  return sum;
}

void TiedSolver::certify(const MaxMarginResult& projected) {
  MaxMarginResult& result = out_.solution;
  std::vector<double> w = projected.weights, sum = combination(projected.multipliers);
  equalities_.project(w.data());
  std::vector<double> sizes(n_rows_), unit_multipliers(n_rows_), values(n_rows_);
  for (std::size_t k = 0; k < n_rows_; ++k) {
    sizes[k] = frobenius_norm({row(k), given_.size});
    unit_multipliers[k] = projected.multipliers[k] * sizes[k];
    values[k] = kernels_.dot(given_.size, row(k), w.data()) / sizes[k];
  }
  const double norm = frobenius_norm(w), length = frobenius_norm(sum);
  const Certificate certificate = measure(unit_multipliers, sizes, values, norm * norm, length * length);
  // So that the smallest margin is 1, by the same numbers.
  double smallest = infinity;
  for (std::size_t k = 0; k < n_rows_; ++k) smallest = std::min(smallest, values[k] * sizes[k]);
  const double scale = smallest > 0.0 ? 1.0 / smallest : 1.0;
  double difference = 0.0;
  for (std::size_t j = 0; j < w.size(); ++j) difference = std::hypot(difference, w[j] - sum[j]);
  out_.stationarity_residual = difference / norm;
  out_.equality_residual = equalities_.residual(w.data()) / norm;
  result.duality_gap = certificate.duality_gap;
  result.kkt_residual =
      std::max({certificate.kkt_residual, out_.stationarity_residual, out_.equality_residual});
  if (std::isnan(certificate.kkt_residual)) result.kkt_residual = certificate.kkt_residual;
  for (double& x : w) x *= scale;
  for (double& mu : equality_multipliers_) mu *= scale;
  result.weights = std::move(w);
  result.norm = norm * scale;
  result.margin = smallest / norm;
  double largest = 0.0;
  for (std::size_t k = 0; k < n_rows_; ++k) {
    const double lambda = projected.multipliers[k] * scale;
    result.multipliers[given_.row_slots[k]] = lambda;
    largest = std::max(largest, lambda);
  }
  for (const double l : result.multipliers) result.n_support += l > 1e-9 * largest;
  const bool good = result.duality_gap <= options_.tolerance && result.kkt_residual <= options_.tolerance;
  if (result.status == MaxMarginStatus::optimal && !good) result.status = MaxMarginStatus::at_rounding;
}

// Whether multipliers of the A_k, with those of the equalities that go best with them, are near a true ray,
// which takes their place.
bool TiedSolver::proves(std::vector<double>& multipliers, const std::function<bool()>& go_on) {
  combination(multipliers);
  std::vector<double> of_units = multipliers, free = equality_multipliers_, lengths(n_rows_);
  for (std::size_t k = 0; k < n_rows_; ++k) {
    lengths[k] = frobenius_norm({row(k), given_.size});
    of_units[k] *= lengths[k];
  }
  for (std::size_t e = 0; e < free.size(); ++e) free[e] *= equalities_.sizes()[e];
  if (!proof_.proves(of_units, free, go_on)) return false;
  for (std::size_t k = 0; k < n_rows_; ++k)
    multipliers[k] = lengths[k] > 0.0 ? of_units[k] / lengths[k] : 0.0;
  return true;
}

void TiedSolver::write_ray(const std::vector<double>& multipliers) {
  const std::vector<double> sum = combination(multipliers);
  double largest = 0.0, total = 0.0;
  for (std::size_t k = 0; k < n_rows_; ++k) {
    total += multipliers[k];
    largest = std::max(largest, frobenius_norm({row(k), given_.size}));
    out_.solution.multipliers[given_.row_slots[k]] = multipliers[k];
  }
  const double length = frobenius_norm(sum);
  out_.solution.certificate = length == 0.0 ? 0.0 : length / total / largest;
  out_.solution.norm = out_.solution.duality_gap = out_.solution.kkt_residual = infinity;
}

TiedMaxMarginResult TiedSolver::run() {
  MaxMarginResult& result = out_.solution;
  result.n_constraints = n_rows_;
  result.multipliers.assign(given_.n_slots, 0.0);
  out_.equality_multipliers.assign(given_.n_slots, 0.0);
  out_.n_equalities = given_.equality_slots.size();
  out_.equality_rank = equalities_.rank();
  if (n_rows_ == 0) {
    result.status = MaxMarginStatus::no_constraints;
    result.weights.assign(given_.size, 0.0);
    result.margin = infinity;
    return std::move(out_);
  }
  std::vector<double> projected = given_.rows;
  for (std::size_t k = 0; k < n_rows_; ++k) {
    double* b = projected.data() + k * given_.size;
    equalities_.project(b);
    const double before = frobenius_norm({row(k), given_.size});
    if (frobenius_norm({b, given_.size}) > consistent_from * before) continue;
    // This row alone may prove that there is no solution: the equalities force its margin to 0. A row that is
    // zero itself proves it without the equalities.
    std::vector<double> one(n_rows_, 0.0);
    one[k] = 1.0;
    if (before > 0.0)
      result.status = proves(one, [] { return true; }) ? MaxMarginStatus::inconsistent_equalities
                                                       : MaxMarginStatus::undecided;
    else
      result.status = MaxMarginStatus::not_separable;
    write_ray(one);
    for (std::size_t e = 0; e < equality_multipliers_.size(); ++e)
      out_.equality_multipliers[given_.equality_slots[e]] = equality_multipliers_[e];
    return std::move(out_);
  }
  std::vector<double> lengths(n_rows_);
  for (std::size_t k = 0; k < n_rows_; ++k)
    lengths[k] = frobenius_norm({projected.data() + k * given_.size, given_.size});
  const auto judge = [&](std::vector<double>& multipliers, const std::function<bool()>& go_on) {
    std::vector<double> of_rows = multipliers;
    for (std::size_t k = 0; k < n_rows_; ++k) of_rows[k] /= lengths[k];
    if (!proves(of_rows, go_on)) return false;
    for (std::size_t k = 0; k < n_rows_; ++k) multipliers[k] = of_rows[k] * lengths[k];
    return true;
  };
  DenseRows rows(std::move(projected), n_rows_, given_.size, kernels_);
  const MaxMarginResult plain =
      solve_hard_margin(rows, n_rows_, options_, thread_count(options_.n_threads), judge);
  result.status = plain.status;
  result.sweeps = plain.sweeps;
  if (plain.status == MaxMarginStatus::not_separable || plain.status == MaxMarginStatus::undecided)
    write_ray(plain.multipliers);
  else
    certify(plain);
  for (std::size_t e = 0; e < equality_multipliers_.size(); ++e)
    out_.equality_multipliers[given_.equality_slots[e]] = equality_multipliers_[e];
  return std::move(out_);
}

// From the units of what is written to those of what was given.
TiedMaxMarginResult in_given_units(TiedMaxMarginResult out, int exponent) {
  MaxMarginResult& result = out.solution;
  if (exponent == 0 || result.weights.empty()) return out;  // a proof has no units
  scale_by_power(result.weights, exponent);
  scale_by_power(result.multipliers, 2 * exponent);
  scale_by_power(out.equality_multipliers, 2 * exponent);
  result.norm = std::ldexp(result.norm, exponent);
  result.margin = std::ldexp(result.margin, -exponent);
  if (result.norm != 0.0 && !std::isnormal(result.norm * result.norm))
    throw InvalidArgument("tokens", "their lengths leave the range of double: ||W_mm|| would be " +
                                        data::number_text(result.norm));
  return out;
}

template <class T>
double largest_of(const T* x, std::size_t size) {
  double largest = 0.0;
  for (std::size_t j = 0; j < size; ++j) largest = std::max(largest, std::fabs(static_cast<double>(x[j])));
  return largest;
}

void require_no_selection(const MaxMarginOptions& options) {
  options.validate();
  refuse_ranks(options);
  if (!options.selected.empty())
    throw InvalidArgument("selected", "does not go with tied tokens (need it empty)");
}

// n constraints of rows x cols numbers must fit in memory that can be addressed.
void require_writable(std::size_t n, std::size_t rows, std::size_t cols) {
  std::size_t size = 0, all = 0;
  if (!data::multiply(rows, cols, data::max_bytes / sizeof(double), size) ||
      !data::multiply(n, size, data::max_bytes / sizeof(double), all))
    throw InvalidArgument("dim", std::to_string(n) + " constraints of " + std::to_string(rows) + " x " +
                                     std::to_string(cols) + " numbers cannot be addressed");
}

}  // namespace

template <NumberType T>
TiedMaxMarginResult solve_max_margin_with_ties(const BatchView<T>& batch,
                                               const std::vector<std::vector<std::size_t>>& tied,
                                               const MaxMarginOptions& options) {
  require_no_selection(options);
  batch.validate();
  const std::size_t n = batch.n_samples, d = batch.dim;
  std::vector<std::size_t> n_tokens;
  for (std::size_t i = 0; i < n; ++i) n_tokens.push_back(batch.tokens_of(i));
  require_tied(tied, n, n_tokens);
  const data::BatchRows<T> rows(batch);
  std::size_t n_slots = 0;
  for (std::size_t row = 0; row < rows.size(); ++row) n_slots += rows.tokens_of(row);
  require_writable(n_slots, d, d);
  Written given;
  given.size = d * d;
  std::vector<double> difference(d), query(d);
  // Powers of two for all differences, of which the largest may be infinite after an overflow, and for all
  // queries.
  double largest_difference = 0.0, largest_query = 0.0;
  for (std::size_t row = 0; row < rows.size(); ++row)
    largest_query = std::max(largest_query, largest_of(rows.query(row), d));
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t t = 0; t < n_tokens[i]; ++t)
      for (std::size_t j = 0; j < d; ++j)
        largest_difference =
            std::max(largest_difference,
                     std::fabs(static_cast<double>(batch.sample(i)[tied[i][0] * batch.row_stride() + j]) -
                               static_cast<double>(batch.sample(i)[t * batch.row_stride() + j])));
  given.of_difference = exponent_towards_one(largest_difference);
  given.of_query = exponent_towards_one(largest_query);
  std::vector<std::size_t> row_of, token_of;  // of a slot
  for (std::size_t row = 0; row < rows.size(); ++row) {
    query.assign(rows.query(row), rows.query(row) + d);
    const bool no_query = is_zero(query);
    scale_by_power(query, given.of_query);
    const std::vector<std::size_t>& equals = tied[rows.sample_of(row)];
    const T* best = rows.token(row, equals[0]);
    for (std::size_t t = 0; t < rows.tokens_of(row); ++t, ++given.n_slots) {
      row_of.push_back(row);
      token_of.push_back(t);
      if (t == equals[0]) continue;
      const T* other = rows.token(row, t);
      for (std::size_t j = 0; j < d; ++j) {
        const auto one = static_cast<double>(best[j]), two = static_cast<double>(other[j]);
        difference[j] = std::isfinite(one - two)
                            ? std::ldexp(one - two, given.of_difference)
                            : std::ldexp(one, given.of_difference) - std::ldexp(two, given.of_difference);
      }
      const bool equal = std::find(equals.begin(), equals.end(), t) != equals.end();
      given.add(equal, given.n_slots, difference, query, no_query || std::equal(best, best + d, other));
    }
  }
  given.exact = [&](std::size_t slot) {
    const std::size_t row = row_of[slot];
    const auto token = [&](std::size_t t) {
      const T* x = rows.token(row, t);
      return std::vector<double>(x, x + d);
    };
    return ExactRow{token(tied[rows.sample_of(row)][0]), token(token_of[slot]),
                    std::vector<double>(rows.query(row), rows.query(row) + d), row};
  };
  return in_given_units(TiedSolver(given, options).run(), given.exponent());
}

namespace {

template <class T>
TiedMaxMarginResult solve_next_token(std::span<const T> contexts, std::size_t dim, std::size_t n_vocabulary,
                                     const std::vector<std::vector<std::size_t>>& supports,
                                     const MaxMarginOptions& options) {
  require_no_selection(options);
  const std::size_t n = supports.size();
  if (n == 0) throw InvalidArgument("supports", "0 entries (need at least 1)");
  if (dim == 0) throw InvalidArgument("dim", "0 (need at least 1)");
  if (n_vocabulary == 0) throw InvalidArgument("n_vocabulary", "0 (need at least 1)");
  if (contexts.size() % dim != 0 || contexts.size() / dim != n)
    throw InvalidArgument("contexts", std::to_string(contexts.size()) +
                                          " entries (need a row of dim = " + std::to_string(dim) +
                                          " for each of the " + std::to_string(n) + " supports)");
  require_tied(supports, n, std::vector<std::size_t>(n, n_vocabulary));
  std::size_t slots = 0;
  if (!data::multiply(n, n_vocabulary, data::max_bytes / sizeof(double), slots))
    throw InvalidArgument("supports", std::to_string(n) + " contexts are too many");
  require_writable(slots, n_vocabulary, dim);
  Written given;
  given.size = n_vocabulary * dim;
  given.of_query = exponent_towards_one(largest_of(contexts.data(), n * dim));
  std::vector<double> query(dim);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < dim; ++j) {
      query[j] = static_cast<double>(contexts[i * dim + j]);
      if (!std::isfinite(query[j]))
        throw InvalidArgument("contexts", "context " + std::to_string(i) + ", element " + std::to_string(j) +
                                              ": " + data::number_text(query[j]) + " (need finite numbers)");
    }
    const bool no_query = is_zero(query);
    scale_by_power(query, given.of_query);
    const std::size_t best = supports[i][0];
    for (std::size_t v = 0; v < n_vocabulary; ++v, ++given.n_slots) {
      if (v == best) continue;
      std::vector<double> difference(n_vocabulary, 0.0);
      difference[best] = 1.0;
      difference[v] = -1.0;
      const bool equal = std::find(supports[i].begin(), supports[i].end(), v) != supports[i].end();
      given.add(equal, given.n_slots, difference, query, no_query);
    }
  }
  given.exact = [&](std::size_t slot) {
    const std::size_t i = slot / n_vocabulary;
    std::vector<double> best(n_vocabulary, 0.0), other(n_vocabulary, 0.0);
    best[supports[i][0]] = 1.0;
    other[slot % n_vocabulary] = 1.0;
    return ExactRow{std::move(best), std::move(other),
                    std::vector<double>(contexts.data() + i * dim, contexts.data() + (i + 1) * dim), i};
  };
  return in_given_units(TiedSolver(given, options).run(), given.exponent());
}

}  // namespace

TiedMaxMarginResult solve_next_token_max_margin(std::span<const float> contexts, std::size_t dim,
                                                std::size_t n_vocabulary,
                                                const std::vector<std::vector<std::size_t>>& supports,
                                                const MaxMarginOptions& options) {
  return solve_next_token(contexts, dim, n_vocabulary, supports, options);
}
TiedMaxMarginResult solve_next_token_max_margin(std::span<const double> contexts, std::size_t dim,
                                                std::size_t n_vocabulary,
                                                const std::vector<std::vector<std::size_t>>& supports,
                                                const MaxMarginOptions& options) {
  return solve_next_token(contexts, dim, n_vocabulary, supports, options);
}

template TiedMaxMarginResult solve_max_margin_with_ties(const BatchView<float>&,
                                                        const std::vector<std::vector<std::size_t>>&,
                                                        const MaxMarginOptions&);
template TiedMaxMarginResult solve_max_margin_with_ties(const BatchView<double>&,
                                                        const std::vector<std::vector<std::size_t>>&,
                                                        const MaxMarginOptions&);

}  // namespace softstep
