// A run raises no floating-point flag but inexact and underflow on clean data, whatever its rule and form: a
// host may have turned the others into traps. Flags belong to a thread, so one thread computes.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <vector>

#include "softstep/attention_model.h"
#include "softstep/isa.h"
#include "softstep/trainer.h"
#include "support/batches.h"
#include "support/floating_point_flags.h"

using namespace softstep;
using softstep::test::flags_raised_by;
using softstep::test::Layout;
using softstep::test::TestBatch;
using softstep::test::Toward;

namespace {

template <class T>
void check_run(const TestBatch<T>& batch, const std::string& isa, const RuleInfo& rule, Form form,
               double start_norm) {
  TrainStatus status = TrainStatus::not_run;
  INFO(isa << ", " << rule.name << ", " << to_string(form) << ", " << batch.view.tokens_of(0)
           << " tokens, from norm " << start_norm);
  CHECK(flags_raised_by([&] {
          const AttentionModel<T> model(batch.view, {.isa = isa});
          const auto start = softstep::test::weights_toward(batch.view, Toward::optimal, start_norm);
          auto state = initial_state(model, {{start.begin(), start.end()}});
          TrainerOptions options;
          options.rules = {parse_rule(rule.name)};
          options.form = form;
          options.n_steps = 12;
          options.references = {normal_weights(batch.view.dim, 1.0, 5)};
          status = train(model, state, options).status;
        }) == "");
  const bool ended = status == TrainStatus::max_iterations || status == TrainStatus::stationary ||
                     status == TrainStatus::gap_not_positive;
  CHECK(ended);
}

}  // namespace

TEMPLATE_TEST_CASE("train raises no flag on clean data with any rule, on any instruction set", "[trainer]",
                   float, double) {
  using T = TestType;
  for (const std::size_t n_tokens : {1, 6}) {
    Layout layout;
    layout.n_tokens = {n_tokens, n_tokens, n_tokens, n_tokens};
    const TestBatch<T> batch(layout, 4);
    for (const IsaInfo& isa : isas())
      if (isa.runnable)
        for (const RuleInfo& rule : step_rules()) {
          const bool any_form = make_step_rule<T>(parse_rule(rule.name))->moves_along_gradient();
          for (const double start_norm : {0.0, 1e3}) {
            check_run(batch, isa.name, rule, Form::dense, start_norm);
            if (!any_form) continue;
            check_run(batch, isa.name, rule, Form::query_span, start_norm);
            check_run(batch, isa.name, rule, Form::token_span, start_norm);
          }
        }
  }
}
