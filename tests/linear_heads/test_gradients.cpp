// The reference's gradients beside differences of its outputs, in many digits.

#include <catch2/catch_test_macros.hpp>

#include "linear_heads/linear_case.h"
#include "support/digits.h"

namespace softstep {
namespace {

using namespace test;
using Exact = Digits<100>;

TEST_CASE("The reference's gradients are those of its outputs", "[linear_heads]") {
  struct Kind {
    HeadGates gates;
    bool causal;
    std::size_t m, n;
  };
  // With a step of 1e-30, beside 100 digits, a central difference is off by 1e-60 times a third derivative
  // and 1e-70 for rounding; the derivatives are of size 1 here.
  const Exact step("1e-30");
  for (const Kind kind : {Kind{HeadGates::none, false, 4, 3}, Kind{HeadGates::none, true, 3, 5},
                          Kind{HeadGates::scalar, true, 5, 3}, Kind{HeadGates::vector, true, 4, 6}}) {
    const LinearSetup setup{.shape = {.n_queries = kind.m, .n_keys = kind.n, .dim = 3, .value_dim = 2},
                            .causal = kind.causal,
                            .gates = kind.gates,
                            .scale = 0.4};
    const LinearCase<double> in(setup);
    auto head = in.head<Exact>(0, 0);
    const auto slopes = in.slopes<Exact>(0, 0);
    const auto gradients = reference::linear_head_gradients(head, slopes);
    const auto loss = [&] {
      Exact sum(0);
      const auto outputs = reference::linear_head(head).outputs;
      for (std::size_t k = 0; k < outputs.size(); ++k) sum += outputs[k] * slopes[k];
      return sum;
    };
    using Numbers = std::vector<Exact>;
    for (const auto& [numbers, wanted] :
         {std::pair<Numbers*, const Numbers*>{&head.queries, &gradients.queries},
          {&head.keys, &gradients.keys},
          {&head.values, &gradients.values},
          {&head.log_gates, &gradients.log_gates}}) {
      REQUIRE(numbers->size() == wanted->size());
      for (std::size_t k = 0; k < numbers->size(); ++k) {
        const Exact x = (*numbers)[k];
        (*numbers)[k] = x + step;
        const Exact above = loss();
        (*numbers)[k] = x - step;
        const Exact below = loss();
        (*numbers)[k] = x;
        REQUIRE(abs(Exact((above - below) / (2 * step) - (*wanted)[k])) <= Exact("1e-55"));
      }
    }
  }
}

}  // namespace
}  // namespace softstep
