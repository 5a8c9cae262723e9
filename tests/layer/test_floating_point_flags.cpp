// An evaluation raises no floating-point flag but inexact and underflow on clean data: a host may have turned
// the others into traps. Flags belong to a thread, so one thread computes.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <vector>

#include "softstep/attention_model.h"
#include "softstep/isa.h"
#include "support/batches.h"
#include "support/floating_point_flags.h"

using namespace softstep;
using softstep::test::flags_raised_by;
using softstep::test::Layout;
using softstep::test::TestBatch;
using softstep::test::Toward;

TEMPLATE_TEST_CASE("evaluate raises no flag on clean data, however far the weights have gone", "[layer]",
                   float, double) {
  using T = TestType;
  const std::vector<std::vector<std::size_t>> shapes = {
      {6, 6, 6, 6}, {1, 1}, {1, 6, 3}, std::vector<std::size_t>(19, 6), std::vector<std::size_t>(5, 40)};
  for (const IsaInfo& isa : isas()) {
    if (!isa.runnable) continue;
    for (const auto& shape : shapes)
      for (const bool ties : {false, true}) {
        Layout layout;
        layout.n_tokens = shape;
        layout.ragged = shape.size() == 3;
        TestBatch<T> batch(layout, 3);
        if (ties)  // two tokens of each sample are one
          for (std::size_t i = 0; i < batch.view.n_samples; ++i)
            if (batch.view.tokens_of(i) > 2) {
              T* rows = batch.tokens.data() + (batch.view.sample(i) - batch.tokens.data());
              for (std::size_t j = 0; j < layout.dim; ++j) rows[j] = rows[layout.dim + j];
            }
        for (const Toward toward : {Toward::optimal, Toward::other, Toward::anywhere})
          for (const double norm : {0.0, 1.0, 1e3, 1e6})
            for (const Loss loss : {Loss::logistic, Loss::exponential}) {
              const std::vector<T> weights = weights_toward(batch.view, toward, norm);
              INFO(isa.name << ", " << shape.size() << " samples, first of " << shape[0] << " tokens"
                            << (ties ? ", ties" : "") << ", norm " << norm << ", " << to_string(loss));
              CHECK(flags_raised_by([&] {
                      AttentionModel<T> model(batch.view, {.loss = loss, .isa = isa.name});
                      Evaluation<T> out;
                      model.evaluate(std::span<const T>(weights), out);
                    }) == "");
            }
      }
  }
}
