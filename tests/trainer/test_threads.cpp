// A run inside a parallel region of the caller's has the bits of one outside, whether OpenMP may nest or not.

#include <omp.h>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include "trainer/runs.h"

using namespace softstep;
using softstep::test::same_bits;
using softstep::test::signal_noise;

namespace {

struct Levels {
  int before = omp_get_max_active_levels();
  explicit Levels(int levels) { omp_set_max_active_levels(levels); }
  ~Levels() { omp_set_max_active_levels(before); }
};

}  // namespace

TEMPLATE_TEST_CASE("a run inside a caller's parallel region has the same bits", "[trainer]", float, double) {
  // The second is large enough that threads start and that arrays are first written by them.
  const Dataset<double> small = signal_noise(8), large = signal_noise(9, 700, 9, 200);
  for (const Dataset<double>* chosen : {&small, &large})
    for (const Form form : {Form::dense, Form::query_span, Form::token_span}) {
      if (chosen == &large && form == Form::token_span) continue;  // its Gram matrix has 4e7 entries
      const Dataset<TestType> data = convert<TestType>(*chosen);
      TrainerOptions options;
      options.form = form;
      AttentionOptions one;
      one.n_threads = 1;
      const auto outside = softstep::test::run(data.view(), "ngd", 7, {}, one, options);
      for (const int levels : {1, 2}) {
        const Levels set(levels);
        constexpr int n_callers = 3;
        std::vector<std::vector<TestType>> weights(n_callers);
        std::vector<int> used(n_callers);
        int started = 0;
#pragma omp parallel for schedule(static) num_threads(n_callers) reduction(max : started)
        for (int k = 0; k < n_callers; ++k) {
          AttentionOptions several;
          several.n_threads = 2 + k % 2;
          const auto inside = softstep::test::run(data.view(), "ngd", 7, {}, several, options);
          weights[static_cast<std::size_t>(k)] = inside.state.blocks[0];
          used[static_cast<std::size_t>(k)] = inside.summary.threads_used;
          started = omp_get_num_threads();
        }
        INFO(to_string(form) << ", levels " << levels);
        CHECK(started == n_callers);
        CHECK(used == (chosen == &small ? std::vector<int>{1, 1, 1} : std::vector<int>{2, 3, 2}));
        for (const auto& inside : weights) CHECK(same_bits(inside, outside.state.blocks[0]));
      }
    }
}
