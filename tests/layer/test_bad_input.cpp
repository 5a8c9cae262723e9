// Arguments that cannot be used are refused by name; weights that are not finite give results that are not.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/self_check/self_check_parts.h"
#include "simd/dispatch.h"
#include "softstep/attention_model.h"
#include "softstep/isa.h"
#include "softstep/self_check.h"
#include "support/batches.h"
#include "support/isas.h"

using namespace softstep;
using namespace softstep::test;

namespace {

template <class Body>
std::string refusal(Body body) {
  try {
    body();
  } catch (const InvalidArgument& e) {
    CHECK(std::string(e.what()).rfind(e.argument() + ": ", 0) == 0);
    CHECK(std::string(e.what()).find('\n') == std::string::npos);
    return e.argument() + "|" + e.what();
  }
  return "accepted";
}

bool contains(const std::string& text, const std::string& word) {
  return text.find(word) != std::string::npos;
}

template <class T>
bool nothing_is_finite(const Evaluation<T>& out) {
  bool bad = !std::isfinite(out.gradients[0].norm) && !std::isfinite(out.loss) &&
             !std::isfinite(out.loss_gap.mantissa) && std::isnan(out.min_optimal_attention) &&
             std::isnan(out.log10_one_minus_optimal_attention);
  for (const T g : out.gradients[0].values) bad = bad && std::isnan(g);
  return bad;
}

}  // namespace

TEMPLATE_TEST_CASE("weights that are not finite give results that are not, and no crash", "[layer]", float,
                   double) {
  using T = TestType;
  constexpr T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  for (const std::size_t n_tokens : {1, 2, 9}) {
    // Positive queries: an infinite weight makes every score of every sample infinite or NaN.
    TestBatch<T> batch({{n_tokens, n_tokens, n_tokens}, 5, 0, true}, 1);
    for (T& z : batch.queries) z = std::fabs(z) + T(0.1);
    for_each_isa([&](const simd::Isa& isa) {
      for (const OptimalLoss mode :
           {OptimalLoss::optimal, OptimalLoss::selected, OptimalLoss::value, OptimalLoss::zero})
        for (const Loss loss : {Loss::logistic, Loss::exponential})
          for (const T bad : {nan, infinity, -infinity}) {
            AttentionOptions options;
            options.isa = isa.name;
            options.optimal_loss = mode;
            options.loss = loss;
            AttentionModel<T> model(batch.view, options);
            Evaluation<T> out;
            std::vector<T> w(25, T(0.5));
            w[7] = bad;
            model.evaluate(w, out);
            INFO(isa.name << ": weight " << bad << ", " << n_tokens << " tokens, " << to_string(mode));
            REQUIRE(nothing_is_finite(out));
            // And the object is as good as new.
            w[7] = T(0);
            model.evaluate(w, out);
            REQUIRE(std::isfinite(out.gradients[0].norm));
          }
    });
  }
}

TEST_CASE("scores that overflow are not taken for a zero gradient", "[layer]") {
  const TestBatch<float> batch({{4, 4}, 5}, 1);
  AttentionModel<float> model(batch.view);
  Evaluation<float> out;
  model.evaluate(weights_toward(batch.view, Toward::optimal, 3e38), out);
  const bool truth_or_nan = !std::isfinite(out.gradients[0].norm) || out.gradients[0].norm > 0.0;
  CHECK(truth_or_nan);
}

TEST_CASE("arguments that cannot be used are refused by name", "[layer]") {
  const TestBatch<double> batch({{3, 3}, 4}, 1);
  AttentionModel<double> model(batch.view);
  Evaluation<double> out;
  const double* nowhere = nullptr;
  const std::vector<double> short_of_one(15, 0.5);
  for (const std::span<const double> bad :
       {std::span(nowhere, 16), std::span(nowhere, 0), std::span(short_of_one)}) {
    for (const std::string& refused :
         {refusal([&] { model.evaluate(bad, out); }), refusal([&] { model.attention(bad); })}) {
      CHECK(refused.rfind("at|", 0) == 0);
      CHECK(contains(refused, "weights"));
    }
  }

  BatchView<double> view = batch.view;
  view.decoder = nullptr;
  CHECK(refusal([&] { AttentionModel<double> o(view); }).rfind("decoder|", 0) == 0);
  view = batch.view;
  view.n_samples = 0;
  CHECK(refusal([&] { AttentionModel<double> o(view); }).rfind("n_samples|", 0) == 0);

  const auto with = [&](auto change) {
    AttentionOptions options;
    change(options);
    return refusal([&] { AttentionModel<double> o(batch.view, options); });
  };
  const std::string unknown = with([](AttentionOptions& o) { o.isa = "sse9"; });
  CHECK(unknown.rfind("isa|", 0) == 0);
  CHECK(contains(unknown, "sse9"));
  for (const IsaInfo& isa : isas()) {
    if (isa.runnable) CHECK(contains(unknown, isa.name));
    if (!isa.runnable) CHECK(contains(with([&](AttentionOptions& o) { o.isa = isa.name; }), isa.name));
  }
  CHECK(with([](AttentionOptions& o) { o.n_threads = -1; }).rfind("n_threads|", 0) == 0);
  CHECK(with([](AttentionOptions& o) { o.optimal_loss_value = NAN; }).rfind("optimal_loss_value|", 0) == 0);
  CHECK(with([](AttentionOptions& o) { o.optimal_loss_value = INFINITY; }).rfind("optimal_loss_value|", 0) ==
        0);
  CHECK(with([](AttentionOptions&) {}) == "accepted");
}

TEST_CASE("names are read and written alike", "[layer]") {
  for (const Loss loss : {Loss::logistic, Loss::exponential, Loss::squared})
    CHECK(parse_loss(to_string(loss)) == loss);
  for (const OptimalLoss mode :
       {OptimalLoss::optimal, OptimalLoss::selected, OptimalLoss::value, OptimalLoss::zero})
    CHECK(parse_optimal_loss(to_string(mode)) == mode);
  const std::string loss = refusal([] { parse_loss("hinge"); });
  CHECK((contains(loss, "hinge") && contains(loss, "logistic") && contains(loss, "exponential")));
  CHECK(contains(refusal([] { parse_optimal_loss("Optimal"); }), "selected"));
  CHECK(refusal([] { parse_loss(""); }) != "accepted");
}

TEST_CASE("what is not wanted is left alone", "[layer]") {
  const TestBatch<double> batch({{3, 3}, 4}, 1);
  AttentionModel<double> model(batch.view);
  const auto w = weights_toward(batch.view, Toward::optimal, 2.0);
  Evaluation<double> all, some;
  model.evaluate(w, all);
  some.loss = some.min_optimal_attention = -7.0;
  model.evaluate(w, some, want_gradient);
  CHECK(some.gradients[0].values == all.gradients[0].values);
  CHECK(some.loss == -7.0);
  CHECK(some.min_optimal_attention == -7.0);
  Evaluation<double> gap;
  gap.gradients.resize(1);
  gap.loss = gap.gradients[0].norm = -7.0;
  model.evaluate(w, gap, want_loss_gap);
  CHECK(gap.loss == -7.0);
  model.evaluate(w, gap, want_loss);
  CHECK(gap.loss_gap.mantissa == all.loss_gap.mantissa);
  CHECK(gap.loss == all.loss);
  CHECK(gap.gradients[0].values.empty());
  CHECK(gap.gradients[0].norm == -7.0);
}

TEST_CASE("an attention model can be moved and tells what it was made of", "[layer]") {
  const TestBatch<double> batch({{3, 3}, 4}, 1);
  AttentionOptions options;
  options.loss = Loss::exponential;
  options.isa = "scalar";
  AttentionModel<double> first(batch.view, options);
  AttentionModel<double> second = std::move(first);
  CHECK(second.isa() == "scalar");
  CHECK(second.options().loss == Loss::exponential);
  CHECK(second.batch().tokens == batch.tokens.data());
  CHECK(second.token_scores().optimal.size() == 2);
}

TEST_CASE("an instruction set can be forced and given back", "[layer]") {
  const std::string before = active_isa();
  force_isa("scalar");
  CHECK(active_isa() == "scalar");
  const TestBatch<double> batch({{3, 3}, 4}, 1);
  CHECK(AttentionModel<double>(batch.view).isa() == "scalar");
  CHECK(refusal([] { force_isa("sse9"); }).rfind("isa|", 0) == 0);
  CHECK(refusal([] { force_isa(std::string("scalar\0x", 8)); }).rfind("isa|", 0) == 0);
  CHECK(active_isa() == "scalar");
  force_isa("auto");
  CHECK(active_isa() == before);
}

TEST_CASE("the self check passes, names what it checked, and repeats itself", "[layer]") {
  const auto rows = self_check();
  for (const simd::Isa* isa : runnable_isas()) {
    std::size_t n_rows = 0;
    for (const CheckRow& row : rows) {
      if (row.isa != isa->name) continue;
      ++n_rows;
      INFO(row.isa << ' ' << row.type << ' ' << row.what << ": " << row.error << ", bound " << row.bound);
      CHECK(row.ok);
      CHECK(row.error <= row.bound);
    }
    CHECK(n_rows >= 2 * 10);
    // Every kernel has its rows, in both types.
#define SOFTSTEP_KERNEL(name, result, arguments) #name,
    for (const std::string kernel : {
#include "simd/kernels.def"
         })
#undef SOFTSTEP_KERNEL
      for (const char* type : {"float32", "float64"}) {
        INFO(isa->name << ' ' << type << ' ' << kernel);
        CHECK(std::any_of(rows.begin(), rows.end(), [&](const CheckRow& row) {
          return row.isa == isa->name && row.type == type && row.what.rfind(kernel + ' ', 0) == 0;
        }));
      }
    const auto alone = self_check(isa->name);
    REQUIRE(alone.size() == n_rows);
    std::size_t k = 0;
    for (const CheckRow& row : rows)
      if (row.isa == isa->name) {
        CHECK((alone[k].what == row.what && alone[k].error == row.error && alone[k].bound == row.bound));
        ++k;
      }
  }
  CHECK(contains(refusal([] { self_check("sse9"); }), "sse9"));
}

// Each plant spoils one output of a kernel of the scalar instruction set, in a table of its own.
TEST_CASE("the self check sees a fault in every output of a kernel", "[layer]") {
  namespace parts = self_check_parts;
  using Table = simd::Kernels<double>;
  static const Table& good = *simd::find_isa("scalar")->f64;
  static const std::size_t w = good.vector_width;
  const auto n_red = [](auto check, auto plant) {
    Table table = good;
    plant(table);
    simd::Isa isa = *simd::find_isa("scalar");
    isa.f64 = &table;
    std::vector<CheckRow> rows;
    check(isa, rows);
    return std::count_if(rows.begin(), rows.end(), [](const CheckRow& row) { return !row.ok; });
  };
  using Rule = simd::RunRuleArgs<double>;
  const auto rules = parts::check_run_rules<double>;
  CHECK(n_red(rules, [](Table&) {}) == 0);
  CHECK(n_red(rules, [](Table& t) {
          t.run_adam = [](const Rule& in) {
            good.run_adam(in);
            for (std::size_t k = 0; k < in.size * w; ++k) in.next_mean[k] *= 1.5;
          };
        }) > 0);
  CHECK(n_red(rules, [](Table& t) {
          t.run_adam = [](const Rule& in) {
            good.run_adam(in);
            for (std::size_t k = 0; k < in.size * w; ++k) in.next_root[k] *= 1.5;
          };
        }) > 0);
  CHECK(n_red(rules, [](Table& t) {
          t.run_momentum = [](const Rule& in) {
            good.run_momentum(in);
            for (std::size_t k = 0; k < in.size * w; ++k) in.next_mean[k] *= 1.5;
          };
        }) > 0);
  CHECK(n_red(rules, [](Table& t) {
          t.run_descent = [](const Rule& in) {
            good.run_descent(in);
            in.squared[0] *= 2.0;
          };
        }) > 0);
  CHECK(n_red(rules, [](Table& t) {
          t.run_product = [](const simd::RunProductArgs<double>& in) {
            good.run_product(in);
            if (in.squared != nullptr) in.squared[0] *= 2.0;
          };
        }) > 0);
  const auto runs = parts::check_runs<double>;
  CHECK(n_red(runs, [](Table&) {}) == 0);
  CHECK(n_red(runs, [](Table& t) {
          t.run_factors = [](const simd::RunFactorsArgs<double>& in) {
            good.run_factors(in);
            in.top[0] += 1.0;
          };
        }) > 0);
  CHECK(n_red(runs, [](Table& t) {
          t.run_factors = [](const simd::RunFactorsArgs<double>& in) {
            good.run_factors(in);
            in.sum_of_sizes[0] *= 2.0;
          };
        }) > 0);
  using Softmax = simd::SoftmaxRowsArgs<double>;
  const auto blocks = parts::check_blocks<double>;
  CHECK(n_red(blocks, [](Table&) {}) == 0);
  CHECK(n_red(blocks, [](Table& t) {
          t.softmax_rows = [](const Softmax& in) {
            good.softmax_rows(in);
            for (std::size_t r = 0; r < in.n_rows; ++r) in.decay[r] *= 0.5;
          };
        }) > 0);
  CHECK(n_red(blocks, [](Table& t) {
          t.softmax_rows = [](const Softmax& in) {
            good.softmax_rows(in);
            for (std::size_t r = 0; r < in.n_rows; ++r) in.former_weight[r] *= 0.5;
          };
        }) > 0);
  CHECK(n_red(blocks, [](Table& t) {
          t.softmax_rows = [](const Softmax& in) {
            good.softmax_rows(in);
            for (std::size_t k = 0; k < in.n_rows * in.ld; ++k) in.scores[k] *= 0.5;
          };
        }) > 0);
  static double simd::AttentionStats<double>::*field = nullptr;
  const auto attention = parts::check_attention<double>;
  using Stats = simd::AttentionStats<double>;
  CHECK(n_red(attention, [](Table&) {}) == 0);
  for (double Stats::*const one :
       {&Stats::pivot_attention, &Stats::mean_gap, &Stats::rest, &Stats::optimal_score, &Stats::largest}) {
    field = one;
    CHECK(n_red(attention, [](Table& t) {
            t.attention = [](const simd::AttentionArgs<double>* in, std::size_t n, Stats* out) {
              good.attention(in, n, out);
              for (std::size_t i = 0; i < n; ++i) out[i].*field *= 0.75;
            };
          }) > 0);
  }
  CHECK(n_red(attention, [](Table& t) {
          t.attention_lanes = [](const simd::LanesArgs<double>& in) {
            good.attention_lanes(in);
            for (std::size_t i = 0; i < in.n_lanes; ++i) in.rest[i] *= 0.75;
          };
        }) > 0);
}
