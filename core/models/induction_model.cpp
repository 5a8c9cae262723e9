// Two heads of four numbers: relative positions, and an induction head.

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/data/checked_size.h"
#include "core/data/digest.h"
#include "core/data/finite.h"
#include "core/data/random_stream.h"
#include "core/data/text.h"
#include "core/isa/active_isa.h"
#include "core/models/double_gradient.h"
#include "softstep/error.h"
#include "softstep/induction.h"

namespace softstep {

const char* to_string(InductionScores scores) {
  return scores == InductionScores::product ? "product" : "single";
}

void InductionData::validate() const {
  if (length < 3) throw InvalidArgument("length", std::to_string(length) + " (need at least 3)");
  if (targets.empty()) throw InvalidArgument("targets", "no entries (need at least 1)");
  std::size_t size = 0;
  if (!data::multiply(targets.size(), length, data::max_bytes / 8, size) || sequences.size() != size)
    throw InvalidArgument("sequences", std::to_string(sequences.size()) + " entries (need " +
                                           std::to_string(length) + " for each of " +
                                           std::to_string(targets.size()) + " targets)");
  const auto require = [](const char* name, const std::vector<double>& values) {
    for (std::size_t k = 0; k < values.size(); ++k)
      if (!std::isfinite(values[k]))
        throw InvalidArgument(name, "entry " + std::to_string(k) + ": " + data::number_text(values[k]) +
                                        " (need a finite number)");
  };
  require("sequences", sequences);
  require("targets", targets);
}

namespace {

// Key x_{s-1}, value x_s and position for s = 2 ... L-1, of one sequence.
std::size_t n_places(std::size_t length) { return length - 2; }

// sum_s softmax_s(beta x_L x_{s-1}) x_s, with room for L - 2 numbers.
double matched(const double* x, std::size_t length, double beta, double* shares) {
  const std::size_t m = n_places(length);
  double top = -std::numeric_limits<double>::infinity();
  for (std::size_t s = 0; s < m; ++s) {
    shares[s] = beta * x[length - 1] * x[s];
    if (!(shares[s] <= top)) top = shares[s];
  }
  double sum = 0.0, value = 0.0;
  for (std::size_t s = 0; s < m; ++s) {
    shares[s] = std::exp(shares[s] - top);
    sum += shares[s];
    value += shares[s] * x[s + 1];
  }
  return value / sum;
}

// sum_s softmax_s(-p (L - 1 - s)) x_{s-1}
double placed(const double* x, std::size_t length, double p) {
  const std::size_t m = n_places(length);
  double sum = 0.0, value = 0.0;
  for (std::size_t s = 0; s < m; ++s) {
    const auto back = static_cast<double>(p < 0.0 ? s : m - 1 - s);
    const double share = std::exp(-std::fabs(p) * back);
    sum += share;
    value += share * x[s];
  }
  return value / sum;
}

template <class T>
class InductionModel final : public Model<T> {
 public:
  InductionModel(const InductionData& data, const InductionOptions& options)
      : data_(data), options_(options), isa_(resolve_isa(options.isa)) {
    data_.validate();
    blocks_ = {{"position_value", 1, 1}, {"position", 1, 1}, {"match_value", 1, 1}, {"match", 1, 1}};
  }

  const std::vector<BlockShape>& blocks() const override { return blocks_; }
  std::size_t n_samples() const override { return data_.n_samples(); }
  std::string isa() const override { return isa_.name; }
  std::unique_ptr<Workspace> make_workspace() const override { return std::make_unique<Space>(); }
  std::string identity() const override {
    data::Digest digest;
    digest.add(data_.sequences.data(), data_.sequences.size());
    digest.add(data_.targets.data(), data_.targets.size());
    return std::string("induction, scores ") + to_string(options_.scores) + ", data " +
           std::to_string(n_samples()) + " x " + std::to_string(data_.length) + " " + digest.text();
  }

 protected:
  void evaluate_at(Point<T> at, Evaluation<T>& out, Workspace& workspace, unsigned want,
                   SampleSet samples) const override {
    auto& space = static_cast<Space&>(workspace);
    const double v_1 = static_cast<double>(at[0][0]), p = static_cast<double>(at[1][0]),
                 v_2 = static_cast<double>(at[2][0]), w = static_cast<double>(at[3][0]);
    const bool is_product = options_.scores == InductionScores::product;
    const double beta = is_product ? w * w : w;
    const std::size_t n = samples.size(n_samples());
    const bool slopes = (want & want_gradient) != 0;
    set_places(p, space);
    Sums sums;
    for (std::size_t row = 0; row < n; ++row) {
      const std::size_t i = samples[row];
      const double* x = data_.sequences.data() + i * data_.length;
      const double place = isa_.f64->dot(space.places.size(), space.places.data(), x);
      const double match = set_match(x, beta, slopes, space);
      const double residual = v_1 * place + v_2 * match - data_.targets[i];
      sums.squared += residual * residual;
      if (!slopes) continue;
      sums.place += residual * place;
      sums.match += residual * match;
      // d(place)/dp over its largest share: the nearest token has no part in it but as what is subtracted
      double turn = 0.0;
      for (std::size_t s = 0; s < space.turns.size(); ++s) turn += space.turns[s] * (x[s] - place);
      sums.place_turn += residual * turn;
      sums.add_match_turn(residual * space.match_turn, space.match_exponent);
    }
    const auto count = static_cast<double>(n);
    if ((want & (want_loss_gap | want_loss)) != 0) {
      out.loss = sums.squared / (2.0 * count);
      out.loss_scaled = out.loss_gap = {out.loss, 0.0};
      out.optimal_loss = 0.0;
      out.accuracy = std::numeric_limits<double>::quiet_NaN();
    }
    if ((want & want_attention) != 0)
      out.min_optimal_attention = out.log10_one_minus_optimal_attention =
          std::numeric_limits<double>::quiet_NaN();
    if (!slopes) return;
    out.gradients.resize(4);
    write(0, sums.place / count, 0.0, 1.0, space, out);
    write(1, sums.place_turn / count, space.turn_exponent, v_1, space, out);
    write(2, sums.match / count, 0.0, 1.0, space, out);
    // dL/dw = 2 w dL/d(w^2), whose factors are kept apart as their product may underflow
    const double exponent = sums.match_turn == 0.0 ? 0.0 : sums.match_exponent;
    const int power = power_of(std::fabs(w));
    write(3, sums.match_turn / count * (is_product ? 2.0 * std::ldexp(w, -power) : 1.0),
          exponent + (is_product ? power * std::log(2.0) : 0.0), v_2, space, out);
  }

 private:
  struct Space final : Workspace {
    std::vector<double> places, turns, scores, shares, sum;
    double turn_exponent = 0.0;  // turns are over its e^
    double match_turn = 0.0, match_exponent = 0.0;
  };
  struct Sums {
    double squared = 0.0, place = 0.0, match = 0.0, place_turn = 0.0;
    double match_turn = 0.0, match_exponent = -std::numeric_limits<double>::infinity();
    // A sum whose terms have exponents.
    void add_match_turn(double mantissa, double exponent) {
      if (mantissa == 0.0) return;
      if (exponent > match_exponent) {
        match_turn *= std::exp(match_exponent - exponent);
        match_exponent = exponent;
      }
      match_turn += mantissa * std::exp(exponent - match_exponent);
    }
  };

  // Shares of the places, and their derivatives in p over e^-|p|: with b counted from the largest share,
  // d(sum_s a_s x)/dp = -+ sum_s a_s b_s (x_s - mean).
  void set_places(double p, Space& space) const {
    const std::size_t m = n_places(data_.length);
    space.places.resize(m);
    space.turns.resize(m);
    double sum = 0.0;
    for (std::size_t s = 0; s < m; ++s) {
      const auto back = static_cast<double>(p < 0.0 ? s : m - 1 - s);
      space.places[s] = std::exp(-std::fabs(p) * back);
      // with |p| = infinity the second place still counts as e^0
      space.turns[s] = back == 0.0 ? 0.0
                                   : (p < 0.0 ? back : -back) *
                                         (back == 1.0 ? 1.0 : std::exp(-std::fabs(p) * (back - 1.0)));
      sum += space.places[s];
    }
    for (std::size_t s = 0; s < m; ++s) {
      space.places[s] /= sum;
      space.turns[s] /= sum;
    }
    space.turn_exponent = -std::fabs(p);
  }

  // The induction head, and its derivative in beta as mantissa and exponent: sum_s B_s (a_s - a_top)(x_s -
  // mean) over all but the largest score a_top.
  double set_match(const double* x, double beta, bool slopes, Space& space) const {
    const std::size_t m = n_places(data_.length), last = data_.length - 1;
    space.scores.resize(m);
    space.shares.resize(m);
    std::size_t top = 0;
    for (std::size_t s = 1; s < m; ++s)
      if (beta < 0.0 ? x[last] * x[s] < x[last] * x[top] : x[last] * x[s] > x[last] * x[top]) top = s;
    // Scores over beta, less the largest: beta times them is not above 0.
    double second = -std::numeric_limits<double>::infinity();
    for (std::size_t s = 0; s < m; ++s) {
      space.scores[s] = x[last] * x[s] - x[last] * x[top];
      space.shares[s] = beta * space.scores[s];
      if (s != top && !(space.shares[s] <= second)) second = space.shares[s];
    }
    isa_.f64->exp_nonpositive(space.shares.data(), space.shares.data(), m);
    double sum = 0.0, value = 0.0;
    for (std::size_t s = 0; s < m; ++s) {
      sum += space.shares[s];
      value += space.shares[s] * x[s + 1];
    }
    value /= sum;
    if (!slopes) return value;
    space.match_turn = 0.0;
    space.match_exponent = 0.0;
    // Where the shares are far from underflow they serve; else they are taken over the second largest.
    if (second < -600.0) {
      space.match_exponent = second;
      for (std::size_t s = 0; s < m; ++s)
        if (s != top) space.shares[s] = std::exp(beta * space.scores[s] - second);
    }
    for (std::size_t s = 0; s < m; ++s)
      if (s != top) space.match_turn += space.shares[s] * space.scores[s] * (x[s + 1] - value);
    space.match_turn /= sum;
    return value;
  }

  void write(std::size_t block, double mantissa, double exponent, double factor, Space& space,
             Evaluation<T>& out) const {
    const int power = power_of(std::fabs(factor));
    space.sum.assign(1, mantissa * std::ldexp(factor, -power));
    write_gradient(1.0, space.sum, exponent + power * std::log(2.0), isa_.template kernels<T>(),
                   out.gradients[block]);
  }

  const InductionData data_;
  const InductionOptions options_;
  const simd::Isa& isa_;
  std::vector<BlockShape> blocks_;
};

void require_task(double a, double w_star) {
  if (!(a >= 0.0) || !std::isfinite(a))
    throw InvalidArgument("a", data::number_text(a) + " (need a finite number, 0 or more)");
  if (!std::isfinite(w_star * w_star))
    throw InvalidArgument("w_star", data::number_text(w_star) + " (need a number whose square is finite)");
}

}  // namespace

InductionData induction_data(std::size_t n_samples, std::size_t length, double a, double w_star,
                             std::uint64_t seed) {
  if (n_samples < 1) throw InvalidArgument("n_samples", std::to_string(n_samples) + " (need at least 1)");
  if (length < 3) throw InvalidArgument("length", std::to_string(length) + " (need at least 3)");
  require_task(a, w_star);
  std::size_t size = 0;
  if (!data::multiply(n_samples, length, data::max_bytes / 8, size))
    throw InvalidArgument("n_samples", std::to_string(n_samples) + " (does not fit in memory)");
  InductionData out;
  out.length = length;
  data::RandomStream random(seed);
  out.sequences.resize(size);
  for (double& x : out.sequences) x = random.normal();
  std::vector<double> shares(n_places(length));
  for (std::size_t i = 0; i < n_samples; ++i) {
    const double* x = out.sequences.data() + i * length;
    const double match = matched(x, length, w_star * w_star, shares.data());
    out.targets.push_back(a / (1.0 + a) * x[length - 3] + match / (1.0 + a));
  }
  out.validate();  // the square of w* times two normal numbers may overflow
  return out;
}

InductionParts induction_parts(const InductionData& data, double a, double w_star,
                               const std::vector<double>& blocks, InductionScores scores) {
  data.validate();
  require_task(a, w_star);
  if (blocks.size() != 4)
    throw InvalidArgument("blocks", std::to_string(blocks.size()) + " numbers (need 4)");
  const double w = blocks[3], beta = scores == InductionScores::product ? w * w : w;
  std::vector<double> shares(n_places(data.length));
  InductionParts out;
  const auto share = 1.0 / (2.0 * static_cast<double>(data.n_samples()));
  for (std::size_t i = 0; i < data.n_samples(); ++i) {
    const double* x = data.sequences.data() + i * data.length;
    const double wanted = matched(x, data.length, w_star * w_star, shares.data()) / (1.0 + a);
    const double place = blocks[0] * placed(x, data.length, blocks[1]) - a / (1.0 + a) * x[data.length - 3];
    const double match = blocks[2] * matched(x, data.length, beta, shares.data()) - wanted;
    out.four_gram += share * place * place;
    out.induction += share * match * match;
  }
  return out;
}

template <NumberType T>
std::unique_ptr<Model<T>> make_induction_model(const InductionData& data, const InductionOptions& options) {
  return std::make_unique<InductionModel<T>>(data, options);
}

template std::unique_ptr<Model<float>> make_induction_model(const InductionData&, const InductionOptions&);
template std::unique_ptr<Model<double>> make_induction_model(const InductionData&, const InductionOptions&);

}  // namespace softstep
