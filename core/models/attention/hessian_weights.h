#pragma once

// One query of a sample in a Hessian-vector product, given its scores and how they change along the
// direction: what each token weighs in its rows. Slope and curvature of the loss are those of the sample, at
// its margin; so a query is opened first, for its part of the margin, and closed when the margin is known. In
// double, whatever the tokens are. docs/mathematics.md, section 10; the names are those of that page.
//
// The changes of the scores are split in two, as the result is linear in them: those of B and those of the
// pivot's ties. Each part has an exponent of its own, c or c + b with b = max over the ties of s_t - s_a, so
// that neither underflows beside the other.

#include <cstddef>
#include <vector>

#include "core/losses/loss_of.h"
#include "softstep/scaled.h"

namespace softstep {

/// values[t] e^exponent. The exponent is -infinity where all are zero, NaN where one is no number.
struct TokenWeights {
  std::vector<double> values;
  double exponent = 0.0;
};

/// A sum of such, each part with a factor: on the exponent of the largest part.
class WeightSum {
 public:
  void clear(std::size_t n_tokens);
  /// Zeros to be filled in; valid until the next call.
  std::vector<double>& add(Scaled factor);
  void put_into(TokenWeights& out);

 private:
  struct Part {
    std::vector<double> weights;
    Scaled factor;
  };
  std::size_t n_tokens_ = 0, n_parts_ = 0;
  std::vector<Part> parts_;
};

class HessianWeights {
 public:
  /// What is given of a sample beside the scores.
  struct Sample {
    std::size_t n_tokens;
    double gap_unit;     ///< a power of two
    bool train_decoder;  ///< tau is given and `decoder` wanted
  };

  // In, [n_tokens]: s_t, sigma_t, gamma_opt - gamma_t, and tau_t = y du^T x_t.
  std::vector<double> scores, sigma, gaps, tau;
  /// sigma and tau are in units of 2 to these powers.
  int sigma_power = 0, tau_power = 0;

  // Out, in the query's own terms, without 1/n.
  TokenWeights gradient;  ///< r_t
  TokenWeights change;    ///< dr_t
  TokenWeights decoder;   ///< d(l' p_t), without y

  /// A query's part of the margin.
  struct Margin {
    double pivot_gap = 0.0;  ///< gamma_opt - gamma_a
    Scaled shift, change;    ///< m - gamma_a and dm
    double poison = 0.0;     ///< NaN where something is no number
  };
  /// l' and l'' dm of the sample; of a query times its weight.
  struct Slopes {
    Scaled slope, curved_change;
    bool are_numbers = true;
    bool has_curvature = true;  ///< false: the margin is a number and the loss has no second derivative there
  };

  explicit HessianWeights(std::size_t longest);
  Margin open(const Sample& sample);
  void close(const Sample& sample, const Slopes& slopes);

 private:
  // Numbers x_t against their attention-weighted mean: the parts x^B, in units of 2^power_b, and x^A, in
  // units of 2^power_a e^b.
  struct Moved {
    std::vector<double> inside;     // delta_t in B, in 2^power_b
    std::vector<double> tied;       // w_t eta_t e^-b in A, in 2^power_a
    double alpha = 0.0;             // of the ties, e^-b, in 2^power_a
    double nu_b = 0.0, nu_a = 0.0;  // in the same units
    int power_b = 0, power_a = 0;
  };
  void set_pivot(const Sample& sample);
  void move(const std::vector<double>& x, int power, Moved& out) const;
  // p_t (x_t - mean of x) times factor, in two parts.
  void add_attention_change(const Moved& moved, Scaled factor, WeightSum& sum) const;

  std::size_t n_ = 0, pivot_ = 0;
  std::vector<char> in_a_;
  std::vector<double> e_, v_, d_, rho_;  // e_t in B, w_t in A; e^(s_t - s_a - b) of ties; D_t in units; rho_t
  double c_ = 0.0, b_ = 0.0, shrink_ = 0.0, tie_shrink_ = 0.0;  // shrink: e^c, e^b
  double p_a_ = 0.0, rest_ = 0.0, ties_ = 0.0, mu_ = 0.0;
  double kappa_b_ = 0.0, kappa_a_ = 0.0;
  Moved score_change_, token_change_;
  WeightSum sum_;
};

}  // namespace softstep
