#include "softstep/gradient_check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "core/data/text.h"
#include "softstep/error.h"

namespace softstep {
namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinite = std::numeric_limits<double>::infinity();

/// A derivative, how far it can be trusted, and how much of that is rounding.
struct Derivative {
  Scaled value, error, rounding;
};

Scaled size_of(Scaled a) { return {std::fabs(a.mantissa), a.exponent}; }

/// Sums of squares of numbers with exponents: the numbers first, then their norm.
class ScaledNorm {
 public:
  void add(Scaled a) { terms_.push_back(size_of(a).log()); }
  Scaled norm() const {
    double top = -infinite;
    for (const double term : terms_) {
      if (std::isnan(term)) return {not_a_number, 0.0};
      top = std::fmax(top, term);
    }
    if (top == -infinite) return {0.0, 0.0};
    if (top == infinite) return {infinite, 0.0};
    double sum = 0.0;
    for (const double term : terms_) sum += std::exp(2.0 * (term - top));
    return {std::sqrt(sum), top};
  }

 private:
  std::vector<double> terms_;
};

/// a - b
Scaled minus(Scaled a, Scaled b) {
  if (a.mantissa == 0.0) return -b;
  if (b.mantissa == 0.0) return a;
  const double top = std::fmax(size_of(a).log(), size_of(b).log());
  if (!std::isfinite(top)) return {not_a_number, 0.0};
  return {a.mantissa * std::exp(a.exponent - top) - b.mantissa * std::exp(b.exponent - top), top};
}

bool is_positive(Scaled a) { return a.mantissa > 0.0 && std::isfinite(a.log()); }

/// Central differences of the loss around one point.
template <NumberType T>
class Differences {
 public:
  Differences(const Model<T>& model, Point<T> at, Workspace& space, SampleSet samples,
              const Evaluation<T>& here)
      : model_(model), space_(space), samples_(samples), optimal_loss_(here.optimal_loss) {
    for (const std::span<const T> block : at) blocks_.emplace_back(block.begin(), block.end());
    views_ = views_of(blocks_);
    use_gap_ = is_positive(here.loss_gap);
    loss_ = loss_in(here);
    plain_ = plain_loss(here);
  }

  /// Of all entries so far.
  bool uses_gap() const { return use_gap_; }

  /// d loss / d block[k][entry]; first_step is where the search for a step begins.
  Derivative derivative(std::size_t k, std::size_t entry, double first_step) {
    optimum_moves_ = false;
    const Derivative out = difference(k, entry, first_step);
    if (!use_gap_ || !optimum_moves_ || std::isfinite(out.value.mantissa)) return out;
    // At a tie of two tokens' scores no step leaves the one that L* is measured at as it is.
    use_gap_ = false;
    loss_ = plain_;
    return difference(k, entry, first_step);
  }

 private:
  Derivative difference(std::size_t k, std::size_t entry, double first_step) {
    T& w = blocks_[k][entry];
    const T old = w;
    const auto loss_at = [&](T value) {
      w = value;
      const Scaled out = loss();
      w = old;
      return out;
    };
    const double h = step(loss_at, old, first_step);
    return extrapolate(loss_at, old, before_it_levels_off(loss_at, old, h));
  }

  Scaled loss_in(const Evaluation<T>& e) const { return use_gap_ ? e.loss_gap : plain_loss(e); }
  // A model may leave loss_scaled alone where the plain number says it all.
  static Scaled plain_loss(const Evaluation<T>& e) {
    return e.loss_scaled.mantissa == 0.0 ? Scaled{e.loss, 0.0} : e.loss_scaled;
  }

  Scaled loss() {
    model_.evaluate(Point<T>(views_), moved_, space_, use_gap_ ? want_loss_gap : want_loss, samples_);
    // The differences of a gap are those of the loss only if both are measured from one L*.
    if (use_gap_ && !(moved_.optimal_loss == optimal_loss_) &&
        !(std::isnan(moved_.optimal_loss) && std::isnan(optimal_loss_))) {
      optimum_moves_ = true;
      return {not_a_number, 0.0};
    }
    return loss_in(moved_);
  }

  /// In units of the loss at the point, where that is not zero.
  double in_units(Scaled a) const {
    if (a.mantissa == 0.0) return 0.0;
    return a.mantissa / unit().mantissa * std::exp(a.exponent - unit().exponent);
  }
  Scaled unit() const { return loss_.mantissa == 0.0 ? Scaled{1.0, 0.0} : size_of(loss_); }

  static double rounding(T w) {
    return std::fabs(static_cast<double>(w)) * std::numeric_limits<T>::epsilon();
  }

  /// Ten halvings of a step must be seen by w.
  static double least_step(T w) { return std::fmax(1024.0 * rounding(w), std::numeric_limits<T>::min()); }

  /// A power of two at which the loss changes by 0.05 to 0.5 of itself, as far as there is one.
  template <class LossAt>
  double step(const LossAt& loss_at, T w, double first_step) const {
    const double least = least_step(w);
    const double most = std::fmax(std::fmax(std::fabs(static_cast<double>(w)), 1.0), first_step) * 1024.0;
    double h = std::exp2(std::floor(std::log2(std::clamp(first_step, least, most))));
    double smallest_too_large = infinite;
    for (int tries = 0; tries < 80; ++tries) {
      const double now = in_units(loss_);
      double change = 0.0;
      for (const double side : {h, -h}) {
        const double to_side =
            std::fabs(in_units(loss_at(static_cast<T>(static_cast<double>(w) + side))) - now);
        if (std::isnan(to_side) || to_side > change) change = to_side;  // NaN stays
      }
      const double scale = loss_.mantissa == 0.0 ? infinite : 1.0;
      if (!(change <= 0.5 * scale)) {
        smallest_too_large = std::fmin(smallest_too_large, h);
        // A change of many orders of magnitude is an exponential: its logarithm says how far to go back.
        const double factor = std::isfinite(change) ? std::fmax(2.0, 2.0 * std::log(1.0 + change)) : 16.0;
        const double next = std::exp2(std::floor(std::log2(h / factor)));
        if (next < least) return h;
        h = next;
      } else if (change >= 0.05 || loss_.mantissa == 0.0 || 2.0 * h >= smallest_too_large || 2.0 * h > most) {
        return h;
      } else {
        h *= 2.0;
      }
    }
    return h;
  }

  /// A loss may level off before it has changed so much, and go on by another slope, as where attention has
  /// gone to one token of every sample. So the step is made small enough for a change of 1e-5 to either side
  /// (more where that is near the rounding), and doubled again as long as the slope stays about the same.
  /// Where it has levelled off to both sides alike, the two do not differ, however far it has come.
  template <class LossAt>
  double before_it_levels_off(const LossAt& loss_at, T w, double h) const {
    const double least = least_step(w), now = in_units(loss_);
    const double small = std::fmax(1e-5, 1e4 * std::numeric_limits<T>::epsilon());
    struct Change {
      double up, down;
      double across() const { return up - down; }
      bool is_at_most(double size) const { return std::fabs(up) <= size && std::fabs(down) <= size; }
    };
    const auto change_by = [&](double by) {
      return Change{in_units(loss_at(static_cast<T>(static_cast<double>(w) + by))) - now,
                    in_units(loss_at(static_cast<T>(static_cast<double>(w) - by))) - now};
    };
    double low = h;
    Change change = change_by(h);
    // A smooth loss needs some 16. Where the loss jumps no step is small enough, and 0 has a thousand
    // halvings.
    for (int tries = 0; tries < 64 && !change.is_at_most(small) && 0.5 * low >= least; ++tries)
      change = change_by(low *= 0.5);
    while (2.0 * low <= h) {
      const Change of_twice = change_by(2.0 * low);
      if (!(std::fabs(of_twice.across() - 2.0 * change.across()) <= 0.1 * std::fabs(of_twice.across())))
        break;
      low *= 2.0;
      change = of_twice;
    }
    return low;
  }

  template <class LossAt>
  Derivative extrapolate(const LossAt& loss_at, T w, double h) const {
    constexpr std::size_t n_levels = 9;
    std::array<double, n_levels> row = {}, previous = {};
    double best = not_a_number, error = infinite, noise = infinite;
    double level_step = 1.0;  // in units of h
    for (std::size_t i = 0; i < n_levels; ++i, level_step *= 0.5) {
      const T up = static_cast<T>(static_cast<double>(w) + h * level_step);
      const T down = static_cast<T>(static_cast<double>(w) - h * level_step);
      const double width = (static_cast<double>(up) - static_cast<double>(down)) / h;
      // The step itself is lost in the rounding of w.
      if (i > 0 && !(std::fabs(width - 2.0 * level_step) <= 0.125 * level_step)) break;
      const double above = in_units(loss_at(up)), below = in_units(loss_at(down));
      row[0] = (above - below) / width;
      // The loss is right to some rounding units of itself.
      const double level_noise =
          4.0 * std::numeric_limits<T>::epsilon() * std::fmax(std::fabs(above), std::fabs(below)) / width;
      if (i == 0) {
        best = row[0];
        noise = level_noise;
      }
      double power = 4.0;
      for (std::size_t j = 1; j <= i; ++j, power *= 4.0) {
        row[j] = (power * row[j - 1] - previous[j - 1]) / (power - 1.0);
        const double change = std::fmax(std::fabs(row[j] - row[j - 1]), std::fabs(row[j] - previous[j - 1]));
        if (!(change > error)) {
          error = change;
          best = row[j];
          noise = level_noise;
        }
      }
      if (!std::isfinite(row[0])) {
        best = not_a_number;
        break;
      }
      previous = row;
    }
    const Scaled per_step = {unit().mantissa, unit().exponent - std::log(h)};
    return {Scaled{best, 0.0} * per_step, Scaled{error + noise, 0.0} * per_step,
            Scaled{noise, 0.0} * per_step};
  }

  const Model<T>& model_;
  Workspace& space_;
  SampleSet samples_;
  double optimal_loss_;
  std::vector<std::vector<T>> blocks_;
  std::vector<std::span<const T>> views_;
  Evaluation<T> moved_;
  bool use_gap_ = false;
  bool optimum_moves_ = false;  // L* was another at a point of this entry
  Scaled loss_, plain_;
};

template <NumberType T>
double norm_error(const BlockGradient<T>& gradient) {
  ScaledNorm norm;
  for (const T x : gradient.mantissa()) norm.add({static_cast<double>(x), 0.0});
  const Scaled exact = norm.norm();
  if (exact.mantissa == 0.0) return std::fabs(gradient.norm);
  return std::fabs((Scaled{gradient.norm, 0.0} / exact).value() - 1.0);
}

template <NumberType T>
class Checker {
 public:
  Checker(const Model<T>& model, Point<T> at, const GradientCheckOptions& options)
      : model_(model), at_(at), options_(options), space_(model.make_workspace()) {
    model.evaluate(at, here_, *space_, want_all, options.samples);
    result_.tolerance = options.tolerance != 0.0 ? options.tolerance : (sizeof(T) == 4 ? 1e-3 : 1e-6);
  }

  GradientCheck operator()() {
    if (here_.gradients.size() != model_.blocks().size()) return result_;
    Differences<T> differences(model_, at_, *space_, options_.samples, here_);
    result_.passed = !model_.blocks().empty();
    for (std::size_t k = 0; k < model_.blocks().size(); ++k) {
      result_.blocks.push_back(block(differences, k));
      result_.passed = result_.passed && result_.blocks.back().passed;
    }
    result_.compared_with = differences.uses_gap() ? "loss_gap" : "loss";
    return result_;
  }

 private:
  BlockGradientCheck block(Differences<T>& differences, std::size_t k) {
    const BlockShape& shape = model_.blocks()[k];
    BlockGradientCheck out;
    out.name = shape.name;
    const BlockGradient<T>& gradient = here_.gradients[k];
    const std::span<const T> mantissa = gradient.mantissa();
    const std::size_t size = shape.size();
    if (mantissa.size() != size) {
      out.relative_error = not_a_number;
      return out;
    }
    out.n_entries = options_.max_entries == 0 ? size : std::min(size, options_.max_entries);
    ScaledNorm given, found, difference, error, noise;
    double worst = -infinite;
    const double first_step = sensible_step(gradient, size);
    for (std::size_t m = 0; m < out.n_entries; ++m) {
      // Spread over the block: floor(m size / n) without overflow.
      const std::size_t whole = size / out.n_entries, rest = size % out.n_entries;
      const std::size_t entry = m * whole + m * rest / out.n_entries;
      const Scaled value = {static_cast<double>(mantissa[entry]),
                            mantissa[entry] == T(0) ? 0.0 : gradient.exponent};
      const Derivative derivative = differences.derivative(k, entry, first_step);
      const Scaled off = minus(value, derivative.value);
      given.add(value);
      found.add(derivative.value);
      difference.add(off);
      error.add(derivative.error);
      noise.add(derivative.rounding);
      const double off_log = size_of(off).log();
      if (!(off_log <= worst)) {
        // The first NaN stays.
        worst = std::isnan(off_log) ? infinite : off_log;
        out.worst_row = entry / shape.n_cols;
        out.worst_column = entry % shape.n_cols;
        out.worst_gradient = value;
        out.worst_difference = derivative.value;
      }
    }
    out.gradient_norm = given.norm();
    out.difference_norm = found.norm();
    const Scaled larger =
        out.gradient_norm.log() >= out.difference_norm.log() ? out.gradient_norm : out.difference_norm;
    const auto relative = [&](Scaled a) { return a.mantissa == 0.0 ? 0.0 : (a / larger).value(); };
    out.relative_error = relative(difference.norm());
    out.difference_error = relative(error.norm());
    out.rounding_error = relative(noise.norm());
    out.norm_error = norm_error(gradient);
    out.passed =
        out.relative_error <= result_.tolerance + out.rounding_error && out.norm_error <= result_.tolerance;
    return out;
  }

  /// At which entries of the gradient's usual size change the loss by half of itself; only where the search
  /// begins.
  double sensible_step(const BlockGradient<T>& gradient, std::size_t size) const {
    const Scaled loss = is_positive(here_.loss_gap) ? here_.loss_gap : here_.loss_scaled;
    const double step =
        (size_of(loss) / gradient.norm_scaled()).value() * 0.5 * std::sqrt(static_cast<double>(size));
    return std::isfinite(step) && step > 0.0 &&
                   step < static_cast<double>(std::numeric_limits<T>::max()) * 1e-6
               ? step
               : 0.125;
  }

  const Model<T>& model_;
  Point<T> at_;
  const GradientCheckOptions& options_;
  std::unique_ptr<Workspace> space_;
  Evaluation<T> here_;
  GradientCheck result_;
};

std::string text_of(Scaled a) {
  if (a.mantissa == 0.0) return "0";
  const double log10 = size_of(a).log10();
  if (!std::isfinite(log10)) return data::number_text(a.mantissa);
  const double whole = std::floor(log10);
  const std::string sign = a.mantissa < 0.0 ? "-" : "";
  return sign + data::number_text(std::pow(10.0, log10 - whole)) +
         (whole == 0.0 ? "" : "e" + data::number_text(whole));
}

}  // namespace

void GradientCheckOptions::validate() const {
  if (!(tolerance >= 0.0) || !std::isfinite(tolerance))
    throw InvalidArgument("tolerance",
                          data::number_text(tolerance) + " (need 0 or a positive finite number)");
}

std::string GradientCheck::report() const {
  std::string out = passed ? "gradient: good" : "gradient: WRONG";
  if (blocks.empty()) return out + " (the model returned no gradient for its blocks)\n";
  out += " (differences of " + compared_with + ", tolerance " + data::number_text(tolerance) + ")\n";
  for (const BlockGradientCheck& block : blocks) {
    out += "  " + block.name + ": " + (block.passed ? "good" : "WRONG") + ", relative error " +
           data::number_text(block.relative_error) + " over " + std::to_string(block.n_entries) +
           " entries (the differences' own " + data::number_text(block.difference_error) + "), norm " +
           text_of(block.gradient_norm) + " against " + text_of(block.difference_norm) + "\n";
    if (!block.passed) {
      out += "    worst entry [" + std::to_string(block.worst_row) + ", " +
             std::to_string(block.worst_column) + "]: " + text_of(block.worst_gradient) + " against " +
             text_of(block.worst_difference) + "\n";
      if (!(block.norm_error <= tolerance))
        out += "    its norm is given wrong, by " + data::number_text(block.norm_error) + " of itself\n";
    }
  }
  return out;
}

template <NumberType T>
GradientCheck check_gradient(const Model<T>& model, Point<T> at, const GradientCheckOptions& options) {
  options.validate();
  return Checker<T>(model, at, options)();
}

template GradientCheck check_gradient(const Model<float>&, Point<float>, const GradientCheckOptions&);
template GradientCheck check_gradient(const Model<double>&, Point<double>, const GradientCheckOptions&);

}  // namespace softstep
