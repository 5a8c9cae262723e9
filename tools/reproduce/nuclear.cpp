// Training K and Q goes to the largest margin in the nuclear norm, and diagonal K and Q to that in the l_1
// norm: shares certified by gradients.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "parallel.h"
#include "reproduce/fit.h"
#include "reproduce/lengths.h"
#include "reproduce/runs.h"

namespace softstep::program::reproduce {

namespace {

constexpr std::size_t n_seeds = 3;
constexpr std::int64_t n_steps = 40000;

struct Shape {
  std::size_t n, n_tokens, dim;
};
constexpr Shape diagonal_shape = {4, 4, 40}, full_shape = {6, 5, 12};

// Token 0 of a sample is the unit vector of its label; all others are noise and score 0: every gap is 1. Of
// one stream of normal numbers: the tokens, then the queries, which are 2 / sqrt(d) as large.
struct Samples {
  std::vector<double> tokens, queries, decoder;
  std::vector<std::int8_t> labels;
  BatchView<double> view;

  Samples(const Shape& shape, std::uint64_t seed) {
    const std::size_t d = shape.dim, n_numbers = shape.n * shape.n_tokens * d;
    const double scale = 1.0 / std::sqrt(static_cast<double>(d));
    const std::vector<double> normal = normal_values(n_numbers + shape.n * d, scale, seed);
    tokens.assign(normal.begin(), normal.begin() + static_cast<std::ptrdiff_t>(n_numbers));
    queries.assign(normal.begin() + static_cast<std::ptrdiff_t>(n_numbers), normal.end());
    for (double& z : queries) z *= 2.0;
    for (std::size_t i = 0; i < shape.n; ++i) {
      labels.push_back(i % 2 == 1 ? std::int8_t{1} : std::int8_t{-1});
      double* x = tokens.data() + i * shape.n_tokens * d;
      std::fill_n(x, d, 0.0);
      x[labels.back() > 0 ? 0 : 1] = 1.0;
      for (std::size_t t = 1; t < shape.n_tokens; ++t) x[t * d] = x[t * d + 1] = 0.0;
    }
    decoder.assign(d, 0.0);
    decoder[0] = 1.0;
    decoder[1] = -1.0;
    view.tokens = tokens.data();
    view.queries = queries.data();
    view.n_samples = shape.n;
    view.n_tokens = shape.n_tokens;
    view.dim = d;
    view.labels = labels.data();
    view.decoder = decoder.data();
  }
  Samples(const Samples&) = delete;
  Samples& operator=(const Samples&) = delete;
};

// What is said of W at a step. `own` is the norm of K and Q: l_1 of a diagonal, nuclear of a full W.
struct Row {
  double step = 0.0, own_margin = 0.0, frobenius_margin = 0.0, norm = 0.0;
  std::size_t size = 0;  // entries, or singular values, above a hundredth of the largest
};

struct Outcome {
  std::vector<Row> rows;
  double own_bound = std::numeric_limits<double>::infinity(), frobenius_bound = own_bound,
         residual = own_bound;
  double own_share() const { return rows.back().own_margin / own_bound; }
  double frobenius_share() const { return rows.back().frobenius_margin / frobenius_bound; }
};

// Of the gradient by W, the combination of constraints that it is, over their weights; of a diagonal W its
// diagonal, which bounds the margin of diagonals.
class Bounds {
 public:
  Bounds(const Samples& samples, bool is_diagonal)
      : samples_(samples),
        scores_(score_tokens(samples.view)),
        is_diagonal_(is_diagonal),
        certificate_(samples.view.dim, is_diagonal ? 1 : samples.view.dim) {}

  std::vector<double> matrix(const std::vector<double>& w) const {
    const std::size_t d = samples_.view.dim;
    if (!is_diagonal_) return w;
    std::vector<double> out(d * d, 0.0);
    for (std::size_t j = 0; j < d; ++j) out[j * d + j] = w[j];
    return out;
  }
  void add(const std::vector<double>& w) {
    const std::size_t d = samples_.view.dim;
    MarginCertificate whole(d, d);
    const std::vector<double> full = matrix(w);
    if (!add_attention_gradient(whole, samples_.view, scores_, std::span<const double>(full),
                                Loss::exponential))
      return;
    std::vector<double> combination = whole.average();
    if (is_diagonal_) {
      for (std::size_t j = 0; j < d; ++j) combination[j] = combination[j * d + j];
      combination.resize(d);
    }
    certificate_.add(combination, 1.0);
  }
  MatrixNorm own() const { return is_diagonal_ ? MatrixNorm::l_p : MatrixNorm::nuclear; }
  double margin(const std::vector<double>& w, MatrixNorm norm) const {
    return margin_in_norm(samples_.view, scores_, std::span<const double>(matrix(w)), norm, 1.0);
  }
  double bound(MatrixNorm norm) const { return certificate_.bound(norm, 1.0); }
  double norm(const std::vector<double>& w) const {
    const std::size_t d = samples_.view.dim;
    return matrix_norm(std::span<const double>(w), d, is_diagonal_ ? 1 : d, own(), 1.0);
  }
  // 1 - <-G, W> / (|G|_dual |W|), 0 where W is a largest margin's direction and -G its multipliers'.
  double residual(const std::vector<double>& w) const {
    const std::vector<double> combination = certificate_.average();
    double along = 0.0;
    for (std::size_t k = 0; k < w.size(); ++k) along += combination[k] * w[k];
    return 1.0 - along / (bound(own()) * norm(w));
  }
  std::size_t size(const std::vector<double>& w) const {
    const std::size_t d = samples_.view.dim;
    std::vector<double> sizes = is_diagonal_ ? w : singular_values(std::span<const double>(w), d, d);
    double largest = 0.0;
    for (const double x : sizes) largest = std::fmax(largest, std::fabs(x));
    return static_cast<std::size_t>(
        std::count_if(sizes.begin(), sizes.end(), [&](double x) { return std::fabs(x) > 0.01 * largest; }));
  }

 private:
  const Samples& samples_;
  const TokenScores scores_;
  bool is_diagonal_;
  MarginCertificate certificate_;
};

// A way to train, and how it starts.
enum class Course { factored, direct, constant_steps };

Outcome trained(const Samples& samples, bool is_diagonal, Course course, std::uint64_t seed) {
  const bool is_factored = course != Course::direct;
  std::unique_ptr<Model<double>> model;
  if (is_diagonal) {
    DiagonalAttentionOptions options;
    options.form = is_factored ? DiagonalForm::factored : DiagonalForm::combined;
    options.loss = Loss::exponential;
    model = make_diagonal_attention_model<double>(samples.view, options);
  } else {
    AttentionOptions options;
    options.loss = Loss::exponential;
    options.key_query = is_factored ? KeyQuery::factored : KeyQuery::combined;
    options.rank = is_factored ? samples.view.dim : 0;
    model = make_attention_model(samples.view, options);
  }
  // K and Q full: random. Diagonal: K = sqrt 2, Q = 0, from which w may grow to either side. From smaller
  // starts the coordinates that come first keep the others down for longer than can be waited for.
  std::vector<std::vector<double>> blocks;
  for (const BlockShape& block : model->blocks()) blocks.emplace_back(block.size(), 0.0);
  if (is_factored && is_diagonal) blocks[0].assign(blocks[0].size(), std::sqrt(2.0));
  if (is_factored && !is_diagonal) blocks = normal_state(*model, 0.3, seed).blocks;
  // Steps that grow with K and Q until W moves by about a fifth a step, whatever its size: |W| grows like t.
  const auto length = [&](double norm) {
    if (course == Course::direct) return 0.1;
    const double grow = 0.05 * norm;
    return std::fmin(grow, course == Course::constant_steps ? 0.02 : 0.2 / norm);
  };
  // One gradient swings about the limit. Averages over the last tenfold, threefold and tenth of the steps:
  // whichever bounds best.
  Outcome out;
  Bounds bounds[] = {{samples, is_diagonal}, {samples, is_diagonal}, {samples, is_diagonal}};
  constexpr std::int64_t from[] = {n_steps / 10, n_steps / 3, n_steps - n_steps / 10};
  double next = 10.0;
  follow_lengths(*model, blocks, n_steps, length,
                 [&](std::int64_t step, const std::vector<std::vector<double>>& at) {
                   const bool is_row = static_cast<double>(step) >= next || step == n_steps;
                   if (!is_row && step % 20 != 0) return true;
                   const std::vector<double> w = model->observe(views_of(at), 0);
                   for (std::size_t k = 0; k < std::size(bounds); ++k)
                     if (step >= from[k] && step % 20 == 0) bounds[k].add(w);
                   if (!is_row) return true;
                   while (next <= static_cast<double>(step)) next *= std::pow(10.0, 0.05);
                   const Bounds& of = bounds[0];
                   out.rows.push_back({static_cast<double>(step), of.margin(w, of.own()),
                                       of.margin(w, MatrixNorm::frobenius), of.norm(w), of.size(w)});
                   if (step != n_steps) return true;
                   for (const Bounds& last : bounds) {
                     out.own_bound = std::fmin(out.own_bound, last.bound(last.own()));
                     out.frobenius_bound = std::fmin(out.frobenius_bound, last.bound(MatrixNorm::frobenius));
                     out.residual = std::fmin(out.residual, last.residual(w));
                   }
                   return true;
                 });
  return out;
}

struct Case {
  const char* label;
  bool is_diagonal;
  Course course;
};
constexpr Case cases[] = {{"diagonal K, Q", true, Course::factored},
                          {"diagonal W", true, Course::direct},
                          {"K, Q", false, Course::factored},
                          {"W", false, Course::direct},
                          {"K, Q, constant steps", false, Course::constant_steps}};
constexpr std::size_t n_cases = std::size(cases);

Result run(const Context& context) {
  std::vector<Outcome> outcomes(n_cases * n_seeds);
  parallel_for(outcomes.size(), context.n_threads, [&](std::size_t k) {
    const Case& which = cases[k / n_seeds];
    const std::uint64_t seed = k % n_seeds;
    const Samples samples(which.is_diagonal ? diagonal_shape : full_shape, seed);
    // Broken: what trains K and Q trains W in its place, and the other way round.
    Course course = which.course;
    if (context.broken) course = course == Course::direct ? Course::factored : Course::direct;
    outcomes[k] = trained(samples, which.is_diagonal, course, seed + 50);
  });
  Result result;
  result.configuration = {{"seeds", n_seeds}, {"steps", n_steps}, {"loss", "exponential"}};
  for (const Outcome& outcome : outcomes)
    if (outcome.rows.empty() || outcome.rows.back().step < static_cast<double>(n_steps)) return result;
  const auto over_seeds = [&](std::size_t which, auto value) {
    std::vector<double> out;
    for (std::size_t seed = 0; seed < n_seeds; ++seed) out.push_back(value(outcomes[which * n_seeds + seed]));
    std::sort(out.begin(), out.end());
    return out;
  };
  const auto own = [](const Outcome& outcome) { return outcome.own_share(); };
  const auto frobenius = [](const Outcome& outcome) { return outcome.frobenius_share(); };
  const auto residual = [](const Outcome& outcome) { return outcome.residual; };
  const auto size = [](const Outcome& outcome) { return static_cast<double>(outcome.rows.back().size); };
  const double whole = 1.0 + 1e-12;  // margin and bound are sums of some hundred terms in double
  const auto check = [&](const std::string& law, const char* expected, double value, double low,
                         double high) {
    result.checks.push_back({law, expected, value, low, high});
  };
  // A coordinate that the limit does not have falls behind as t^-delta only, delta the slack of its dual
  // constraint. Hence shares below 1 by far more than 1 / t, and what is asked of diagonals, which have most
  // of such coordinates, was set after it had been seen: 0.9 lies far above the 0.55 of diagonal W.
  check("diagonal K, Q: least certified share of the l_1 margin", "1 in the limit", over_seeds(0, own)[0],
        0.9, whole);
  check("diagonal K, Q: largest residual of the condition <-G, w> = |G|_max |w|_1", "0 in the limit",
        over_seeds(0, residual).back(), 0.0, 0.1);
  check("diagonal W: least certified share of the l_2 margin", "1 in the limit", over_seeds(1, frobenius)[0],
        0.99, whole);
  check("K, Q: least certified share of the nuclear margin", "1 in the limit", over_seeds(2, own)[0], 0.97,
        whole);
  check("K, Q: largest residual of the condition <-G, W> = |G|_op |W|_nuclear", "0 in the limit",
        over_seeds(2, residual).back(), 0.0, 0.03);
  check("K, Q: largest rank", "2 directions tell the tokens", over_seeds(2, size).back(), 1.0, 2.0);
  check("W: least certified share of the Frobenius margin", "1 in the limit", over_seeds(3, frobenius)[0],
        0.99, whole);

  Table table{"After 40000 steps, by data set",
              {"trained", "seed", "share of own margin", "of Frobenius", "residual", "entries or rank"},
              {}};
  DataFile file{
      "curves.csv", {"trained", "seed", "step", "own_share", "frobenius_share", "own_norm", "size"}, {}};
  Figure shares{
      "shares", "The largest margin in the norm of K and Q",
      "1 - certified share after each step, seed 0. Diagonal: of the l_1 norm; full: of the nuclear "
      "norm.",
      "step", "1 - share"};
  for (std::size_t which = 0; which < n_cases; ++which)
    for (std::size_t seed = 0; seed < n_seeds; ++seed) {
      Series series{cases[which].label, {}, {}};
      const Outcome& outcome = outcomes[which * n_seeds + seed];
      for (const Row& row : outcome.rows) {
        file.rows.push_back({cases[which].label, std::to_string(seed)});
        for (const double value :
             {row.step, row.own_margin / outcome.own_bound, row.frobenius_margin / outcome.frobenius_bound,
              row.norm, static_cast<double>(row.size)})
          file.rows.back().push_back(shortest(value));
        series.x.push_back(row.step);
        series.y.push_back(1.0 - row.own_margin / outcome.own_bound);
      }
      if (seed == 0) shares.series.push_back(series);
      table.rows.push_back({cases[which].label, std::to_string(seed), rounded(outcome.own_share(), 4),
                            rounded(outcome.frobenius_share(), 4), rounded(outcome.residual, 3),
                            std::to_string(outcome.rows.back().size)});
    }
  result.tables.push_back(table);
  result.figures.push_back(shares);
  result.data.push_back(file);
  return result;
}

}  // namespace

const Entry nuclear_entry = {"nuclear",
                             "Training K and Q: the nuclear norm, and of diagonals the l_1 norm",
                             "The exponential loss by gradient flow on K and Q (Sheen, Chen, Wang, Zhou, "
                             "arXiv 2403.08699), in steps of "
                             "a length and not of a time: W = K Q^T goes to the largest margin in the "
                             "nuclear norm, diag(k q) to that in "
                             "the l_1 norm, W itself to that in the Frobenius norm. Shares and the KKT "
                             "residual come from the gradient "
                             "alone.",
                             "W is trained in place of K and Q, and K and Q in place of W",
                             run,
                             "arXiv 2403.08699",
                             "gradient flow on K and Q to the nuclear W-SVM, on diagonals to the l_1-SVM",
                             "holds, slowly: what is missing falls by small powers of t; certificates are "
                             "ours; the aligned start is not "
                             "checked"};

}  // namespace softstep::program::reproduce
