#pragma once

// Adam for runs side by side. Of g, the gradient times its units,
//   m' = keep_mean m rescale + take_mean g,   r' = sqrt((keep_root r rescale)^2 + (take_root g)^2),
// and the direction is m' mean_share / (r' root_share + eps), 0/0 := 0. r is the root of the mean of squares,
// and nothing is lost to the squares: where one is too small, the larger of the two times sqrt(1 + ratio^2)
// stands for the root.
//
// Shapes and order of sums: run_rule.h. Error, u = 2^-53: m' errs by 5 u (|keep_mean m rescale| + |take_mean
// g|), r' by 8 u r', the direction by 13 u of the same two terms over its denominator
// (tests/simd/test_run_rules.cpp). Infinity and NaN as in the plain formula.

#include "simd/kernels/run_rule.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
struct AdamOfRuns {
  using W = Vec<double>;
  SOFTSTEP_INLINE AdamOfRuns(const RunRuleArgs<T>& args, std::size_t r)
      : in(args),
        keep_mean(W::load(args.keep_mean + r)),
        keep_root(W::load(args.keep_root + r)),
        rescale(W::load(args.rescale + r)),
        take_mean(W::load(args.take_mean + r)),
        take_root(W::load(args.take_root + r)),
        mean_share(W::load(args.mean_share + r)),
        root_share(W::load(args.root_share + r)),
        eps(W::load(args.eps + r)) {}
  SOFTSTEP_INLINE W operator()(std::size_t at, W g) {
    const W zero = W::all(0), one = W::all(1);
    const W mean = fma(take_mean, g, W::load(in.mean + at) * keep_mean * rescale);
    const W root = hypotenuse(W::load(in.root + at) * keep_root * rescale, take_root * absolute(g));
    mean.store(in.next_mean + at);
    root.store(in.next_root + at);
    largest_mean = max(largest_mean, absolute(mean));
    largest_root = max(largest_root, root);
    const W denominator = fma(root, root_share, eps);
    const auto is_zero = equal(denominator, zero);
    return select(is_zero, zero, mean * mean_share / select(is_zero, one, denominator));
  }
  SOFTSTEP_INLINE void finish(std::size_t r) const {
    largest_mean.store(in.largest_mean + r);
    largest_root.store(in.largest_root + r);
  }

  // sqrt(a^2 + b^2) for a, b >= 0.
  SOFTSTEP_INLINE static W hypotenuse(W a, W b) {
    // The smaller of two squares counts where the larger is this large, as far as it is not lost.
    const W zero = W::all(0), one = W::all(1), smallest = W::all(1e-270), squared = fma(a, a, b * b);
    const W looked_at = select(less(zero, a + b), squared, one);
    if (any(less(looked_at, smallest))) {
      const W larger = max(a, b), smaller = select(less(a, b), a, b);
      const W ratio = smaller / select(equal(larger, zero), one, larger);
      return select(less(looked_at, smallest), larger * square_root(fma(ratio, ratio, one)),
                    square_root(squared));
    }
    return square_root(squared);
  }

  const RunRuleArgs<T>& in;
  const W keep_mean, keep_root, rescale, take_mean, take_root, mean_share, root_share, eps;
  W largest_mean = W::all(0), largest_root = W::all(0);
};

template <class T>
void run_adam(const RunRuleArgs<T>& args) {
  run_rule<AdamOfRuns<T>>(args);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
