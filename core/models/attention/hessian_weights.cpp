#include "core/models/attention/hessian_weights.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/layer/units.h"

namespace softstep {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
const double log_two = std::log(2.0);

double largest_of(const std::vector<double>& x, std::size_t n) {
  double largest = 0.0, poison = 0.0;
  for (std::size_t t = 0; t < n; ++t) {
    largest = std::max(largest, std::fabs(x[t]));
    poison += x[t] * 0.0;
  }
  return largest + poison;
}

// factor times 2^power e^exponent
Scaled times(Scaled factor, int power, double exponent) {
  if (factor.mantissa == 0.0) return {0.0, 0.0};
  return {factor.mantissa, factor.exponent + exponent + power * log_two};
}

}  // namespace

void WeightSum::clear(std::size_t n_tokens) {
  n_tokens_ = n_tokens;
  n_parts_ = 0;
}

std::vector<double>& WeightSum::add(Scaled factor) {
  if (n_parts_ == parts_.size()) parts_.emplace_back();
  Part& part = parts_[n_parts_++];
  part.factor = factor;
  part.weights.assign(n_tokens_, 0.0);
  return part.weights;
}

void WeightSum::put_into(TokenWeights& out) {
  double top = -infinity, poison = 0.0;
  for (std::size_t k = 0; k < n_parts_; ++k) {
    Part& part = parts_[k];
    const double largest = largest_of(part.weights, n_tokens_);
    Scaled& f = part.factor;
    // A part without weight has an exponent that means nothing.
    if (largest == 0.0 || f.mantissa == 0.0) {
      f = {0.0, -infinity};
      continue;
    }
    f.exponent += std::log(std::fabs(f.mantissa)) + std::log(largest);
    f.mantissa = std::copysign(1.0 / largest, f.mantissa);
    poison += f.exponent * 0.0;
    top = std::max(top, f.exponent);
  }
  out.values.assign(n_tokens_, 0.0);
  out.exponent = top + poison;
  if (!std::isfinite(out.exponent)) {
    if (out.exponent > 0.0) out.exponent = std::numeric_limits<double>::quiet_NaN();
    return;
  }
  for (std::size_t k = 0; k < n_parts_; ++k) {
    const Scaled f = parts_[k].factor;
    if (f.mantissa == 0.0) continue;
    const double factor = std::exp(f.exponent - top);
    for (std::size_t t = 0; t < n_tokens_; ++t) out.values[t] += parts_[k].weights[t] * f.mantissa * factor;
  }
}

HessianWeights::HessianWeights(std::size_t longest) {
  for (auto* values : {&scores, &sigma, &gaps, &tau, &e_, &v_, &d_, &rho_}) values->assign(longest, 0.0);
  in_a_.assign(longest, 0);
  for (Moved* moved : {&score_change_, &token_change_}) {
    moved->inside.assign(longest, 0.0);
    moved->tied.assign(longest, 0.0);
  }
}

// Section 2.4.
void HessianWeights::set_pivot(const Sample& sample) {
  n_ = sample.n_tokens;
  pivot_ = 0;
  for (std::size_t t = 1; t < n_; ++t)
    if (scores[t] > scores[pivot_]) pivot_ = t;
  const double top = scores[pivot_];
  c_ = b_ = -infinity;
  for (std::size_t t = 0; t < n_; ++t) {
    d_[t] = (gaps[pivot_] - gaps[t]) / sample.gap_unit;
    in_a_[t] = d_[t] == 0.0;
    if (!in_a_[t])
      c_ = std::max(c_, scores[t] - top);
    else if (t != pivot_)
      b_ = std::max(b_, scores[t] - top);
  }
  shrink_ = std::exp(c_);
  tie_shrink_ = std::exp(b_);
  rest_ = ties_ = 0.0;
  for (std::size_t t = 0; t < n_; ++t) {
    e_[t] = std::exp(scores[t] - top - (in_a_[t] ? 0.0 : c_));
    v_[t] = in_a_[t] && t != pivot_ ? std::exp(scores[t] - top - b_) : 0.0;
    (in_a_[t] ? ties_ : rest_) += e_[t];
  }
  p_a_ = 1.0 / (ties_ + shrink_ * rest_);
  mu_ = 0.0;
  for (std::size_t t = 0; t < n_; ++t)
    if (!in_a_[t]) mu_ += e_[t] * d_[t];
  mu_ *= p_a_;
  for (std::size_t t = 0; t < n_; ++t)
    rho_[t] = in_a_[t] ? -p_a_ * e_[t] * mu_ : p_a_ * e_[t] * (d_[t] - shrink_ * mu_);
}

void HessianWeights::move(const std::vector<double>& x, int power, Moved& out) const {
  const double base = x[pivot_];
  double largest_b = 0.0, largest_a = 0.0;
  for (std::size_t t = 0; t < n_; ++t) {
    const double difference = x[t] - base;
    out.inside[t] = in_a_[t] ? 0.0 : difference;
    out.tied[t] = in_a_[t] ? difference : 0.0;
    largest_b = std::max(largest_b, std::fabs(out.inside[t]));
    largest_a = std::max(largest_a, std::fabs(out.tied[t]));
  }
  const int p_b = power_of(largest_b), p_a = power_of(largest_a);
  out.power_b = power + p_b;
  out.power_a = power + p_a;
  out.nu_b = out.alpha = 0.0;
  for (std::size_t t = 0; t < n_; ++t) {
    out.inside[t] = std::ldexp(out.inside[t], -p_b);
    out.tied[t] = std::ldexp(out.tied[t], -p_a);
    out.alpha += v_[t] * out.tied[t];
    if (!in_a_[t]) out.nu_b += e_[t] * out.inside[t];
  }
  out.nu_b *= p_a_;
  out.alpha /= ties_;
  out.nu_a = -out.alpha * p_a_ * rest_;
  for (std::size_t t = 0; t < n_; ++t)
    if (in_a_[t]) out.tied[t] = t == pivot_ ? -out.alpha : v_[t] * (out.tied[t] - tie_shrink_ * out.alpha);
}

void HessianWeights::add_attention_change(const Moved& moved, Scaled factor, WeightSum& sum) const {
  std::vector<double>& of_b = sum.add(times(factor, moved.power_b, c_));
  for (std::size_t t = 0; t < n_; ++t)
    of_b[t] = p_a_ * e_[t] * (in_a_[t] ? -moved.nu_b : moved.inside[t] - shrink_ * moved.nu_b);
  if (b_ == -infinity) return;
  std::vector<double>& of_a = sum.add(times(factor, moved.power_a, b_));
  for (std::size_t t = 0; t < n_; ++t)
    of_a[t] = in_a_[t] ? p_a_ * (moved.tied[t] - e_[t] * shrink_ * moved.nu_a)
                       : -p_a_ * shrink_ * e_[t] * (moved.alpha + shrink_ * moved.nu_a);
}

HessianWeights::Margin HessianWeights::open(const Sample& sample) {
  set_pivot(sample);
  const double log_unit = std::log(sample.gap_unit);
  Margin out;
  out.pivot_gap = gaps[pivot_];
  if (mu_ != 0.0) out.shift = {mu_, c_ + log_unit};
  out.poison =
      (largest_of(scores, n_) + largest_of(sigma, n_) + (sample.train_decoder ? largest_of(tau, n_) : 0.0)) *
      0.0;
  if (!(out.poison == 0.0)) return out;

  const Moved& moved = score_change_;
  move(sigma, sigma_power, score_change_);
  kappa_b_ = 0.0;
  double rho_b = 0.0;
  for (std::size_t t = 0; t < n_; ++t)
    if (!in_a_[t]) {
      kappa_b_ += rho_[t] * moved.inside[t];
      rho_b += rho_[t];
    }
  kappa_a_ = -moved.alpha * rho_b;

  // dm: the mean of tau, and what the changing attention adds.
  Scaled terms[6] = {times({kappa_b_, 0.0}, moved.power_b, c_ + log_unit),
                     times({kappa_a_, 0.0}, moved.power_a, c_ + b_ + log_unit)};
  std::size_t n_terms = 2;
  if (sample.train_decoder) {
    const Moved& token = token_change_;
    move(tau, tau_power, token_change_);
    terms[n_terms++] = times({tau[pivot_], 0.0}, tau_power, 0.0);
    terms[n_terms++] = times({token.alpha, 0.0}, token.power_a, b_);
    terms[n_terms++] = times({token.nu_b, 0.0}, token.power_b, c_);
    terms[n_terms++] = times({token.nu_a, 0.0}, token.power_a, b_ + c_);
  }
  out.change = sum_scaled(terms, n_terms);
  return out;
}

void HessianWeights::close(const Sample& sample, const Slopes& slopes) {
  if (!slopes.are_numbers) {
    for (TokenWeights* out : {&gradient, &change, &decoder}) {
      out->values.assign(n_, 0.0);
      out->exponent = std::numeric_limits<double>::quiet_NaN();
    }
    return;
  }
  const double log_unit = std::log(sample.gap_unit);
  const Scaled slope = slopes.slope;
  sum_.clear(n_);
  std::vector<double>& of_gradient = sum_.add(times(slope, 0, c_ + log_unit));
  std::copy_n(rho_.begin(), n_, of_gradient.begin());
  sum_.put_into(gradient);

  const Moved& moved = score_change_;
  sum_.clear(n_);
  std::vector<double>& of_b = sum_.add(times(slope, moved.power_b, c_ + log_unit));
  for (std::size_t t = 0; t < n_; ++t)
    of_b[t] = in_a_[t]
                  ? -rho_[t] * shrink_ * moved.nu_b - p_a_ * e_[t] * kappa_b_
                  : rho_[t] * (moved.inside[t] - shrink_ * moved.nu_b) - p_a_ * shrink_ * e_[t] * kappa_b_;
  if (b_ > -infinity) {
    std::vector<double>& of_a = sum_.add(times(slope, moved.power_a, c_ + b_ + log_unit));
    for (std::size_t t = 0; t < n_; ++t)
      of_a[t] = in_a_[t]
                    ? -p_a_ * (mu_ * (moved.tied[t] - e_[t] * shrink_ * moved.nu_a) + e_[t] * kappa_a_)
                    : -rho_[t] * (moved.alpha + shrink_ * moved.nu_a) - p_a_ * shrink_ * e_[t] * kappa_a_;
  }
  std::vector<double>& of_margin = sum_.add(times(slopes.curved_change, 0, c_ + log_unit));
  std::copy_n(rho_.begin(), n_, of_margin.begin());
  if (sample.train_decoder) add_attention_change(token_change_, slope, sum_);
  sum_.put_into(change);
  if (!sample.train_decoder) return;

  sum_.clear(n_);
  std::vector<double>& of_mean = sum_.add(slopes.curved_change);
  for (std::size_t t = 0; t < n_; ++t) of_mean[t] = p_a_ * (in_a_[t] ? 1.0 : shrink_) * e_[t];
  add_attention_change(moved, slope, sum_);
  sum_.put_into(decoder);
}

}  // namespace softstep
