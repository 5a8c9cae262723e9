// Runs each hot kernel and a whole step of each rule between two requests to callgrind, once and `extra`
// times more: check.py takes the difference, in which start-up, set-up and the requests themselves cancel.
//   valgrind --tool=callgrind ... softstep_instruction_counts ISA     (without valgrind it only runs)
//   softstep_instruction_counts --compiler                            the compiler this was built with

#include <valgrind/callgrind.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>
#include <list>
#include <string>
#include <vector>

#include "softstep/softstep.h"

#include "simd/dispatch.h"

namespace softstep::instruction_counts {
namespace {

constexpr std::size_t few = 2, many = 12;  // calls; check.py divides by the difference

// callgrind reads the text of a request when it next has time.
const char* kept(const std::string& text) {
  static std::list<std::string> all;
  return all.emplace_back(text).c_str();
}

template <class Body>
void record(const std::string& name, Body body) {
  for (const std::size_t calls : {few, many}) {
    [[maybe_unused]] const char* label = kept(name + "#" + std::to_string(calls));
    CALLGRIND_ZERO_STATS;
    for (std::size_t k = 0; k < calls; ++k) body();
    CALLGRIND_DUMP_STATS_AT(label);
  }
}

template <class T>
std::vector<T> numbers(std::size_t size, double low, double high) {
  std::vector<T> out(size);
  unsigned state = 1;
  for (T& x : out) {
    state = state * 1664525u + 1013904223u;
    x = static_cast<T>(low + (high - low) * (state >> 8) / (1u << 24));
  }
  return out;
}

// Runs side by side, as many as a vector has lanes.
template <class T>
void runs(const simd::Isa& isa, const std::string& type) {
  const auto& k = isa.kernels<T>();
  const std::size_t n = 7, d = 10, w = k.vector_width, columns = simd::round_up_to_lanes<T>(n * w);
  const std::vector<T> exponent = numbers<T>(n * w, -20, 0), ones(n * w, T(1)),
                       gram = numbers<T>(n * n * w, -1, 1), step(w, T(1) / 1024);
  const std::vector<double> zero(n * w, 0.0), one(n * w, 1.0);
  std::vector<T> rows = numbers<T>(d * columns, -1, 1), image(d * columns), sum(d * columns), v(d * columns);
  std::vector<double> scale(n * w), factor(n * w), size(n * w), top(w), sizes(w), squared(w);
  record("run_factors/" + type, [&] {
    k.run_factors({n, true, exponent.data(), exponent.data(), ones.data(), zero.data(), one.data(),
                   zero.data(), zero.data(), one.data(), one.data(), scale.data(), factor.data(), top.data(),
                   sizes.data(), size.data()});
  });
  std::vector<double> work(2 * n * w);
  record("run_gaps/" + type, [&] {
    k.run_gaps({n, true, exponent.data(), exponent.data(), exponent.data(), zero.data(), one.data(),
                one.data(), zero.data(), top.data(), sizes.data(), work.data()});
  });
  record("run_gram/" + type, [&] {
    k.run_gram({n, d, columns, gram.data(), rows.data(), image.data(), squared.data()});
  });
  record("run_move/" + type, [&] {
    k.run_move({d * columns, step.data(), rows.data(), image.data(), sum.data(), v.data()});
  });
}

// The same of those that keep W itself.
template <class T>
void dense_runs(const simd::Isa& isa, const std::string& type) {
  const auto& k = isa.kernels<T>();
  const std::size_t n = 7, d = 10, w = k.vector_width, columns = simd::round_up_to_lanes<T>(n * w),
                    size = d * d;
  const std::vector<T> weights = numbers<T>(size * w, -1, 1), queries = numbers<T>(d * columns, -1, 1),
                       remainder(size * w, T(0));
  std::vector<T> out(d * columns), next(size * w), next_remainder(size * w);
  const std::vector<double> mean = numbers<double>(size * w, -1, 1), root = numbers<double>(size * w, 1, 2),
                            one(w, 1.0), part(w, 0.5), none(w, 0.0);
  std::vector<double> next_mean(size * w), next_root(size * w), squared(w), largest_mean(w), largest_root(w);
  record("run_product/" + type, [&] {
    k.run_product(
        {d, n, d, weights.data(), d * w, w, queries.data(), columns, w, out.data(), columns, w, nullptr});
  });
  simd::RunRuleArgs<T> args{};
  args.size = size;
  args.gradient = args.weights = weights.data();
  args.remainder = sizeof(T) == 4 ? remainder.data() : nullptr;
  args.next_weights = next.data();
  args.next_remainder = next_remainder.data();
  args.step = args.unit = args.unit_again = args.rescale = args.mean_share = args.root_share = one.data();
  args.squared = squared.data();
  args.mean = mean.data();
  args.root = root.data();
  args.next_mean = next_mean.data();
  args.next_root = next_root.data();
  args.keep_mean = args.keep_root = args.take_mean = args.take_root = part.data();
  args.eps = none.data();
  args.largest_mean = largest_mean.data();
  args.largest_root = largest_root.data();
  record("run_descent/" + type, [&] { k.run_descent(args); });
  record("run_sign/" + type, [&] { k.run_sign(args); });
  record("run_momentum/" + type, [&] { k.run_momentum(args); });
  record("run_adam/" + type, [&] { k.run_adam(args); });
}

// Sizes with whole vectors and a rest on every instruction set.
template <class T>
void kernels(const simd::Isa& isa, const std::string& type) {
  const auto& k = isa.kernels<T>();
  const std::size_t n = 20, tokens = 19, d = 67;
  const std::vector<T> x = numbers<T>(tokens * d, -1, 1), v = numbers<T>(d, -1, 1),
                       z = numbers<T>(n * d, -1, 1);
  const std::vector<T> weights = numbers<T>(d * d, -1, 1), below = numbers<T>(1003, -20, 0);
  std::vector<T> gaps = numbers<T>(tokens, 0.1, 2), y(1003), row(d), scores(tokens), r(tokens), g(d * d),
                 out(n * d);
  gaps[3] = 0;
  record("exp_nonpositive/" + type, [&] { k.exp_nonpositive(below.data(), y.data(), below.size()); });
  record("attention/" + type, [&] {
    k.attention_of({x.data(), d, tokens, d, v.data(), gaps.data(), 3, row.data(), scores.data(), r.data()});
  });
  record("attention_small/" + type, [&] {
    k.attention_of({x.data(), 10, 5, 10, v.data(), gaps.data(), 3, row.data(), scores.data(), r.data()});
  });
  record("product_nt/" + type, [&] {
    k.product_nt({n, d, d, z.data(), d, weights.data(), d, out.data(), d});
  });
  record("product_nn/" + type, [&] {
    k.product_nn({n, d, d, z.data(), d, weights.data(), d, out.data(), d});
  });
  record("product_tn/" + type, [&] { k.product_tn({d, d, n, z.data(), d, z.data(), d, g.data(), d}); });
  record("axpy/" + type, [&] { k.axpy(d * d, T(1) / 1024, weights.data(), g.data()); });
  std::vector<T> low(d * d);
  record("axpy_compensated/" + type,
         [&] { k.axpy_compensated(d * d, T(1) / 1024, weights.data(), g.data(), low.data()); });
  // 32 samples of 5 tokens in 10 dimensions, one to a lane.
  constexpr std::size_t lanes = 32;
  const std::vector<T> packed = numbers<T>(5 * 10 * lanes, -1, 1), queries = numbers<T>(10 * lanes, -1, 1);
  std::vector<T> lane_gaps = numbers<T>(5 * lanes, 0.1, 2), best(lanes, T(2)), rows(10 * lanes), p(5 * lanes),
                 stats(8 * lanes);
  std::fill_n(lane_gaps.begin() + 2 * lanes, lanes, T(0));
  T* s = stats.data();
  record("attention_lanes/" + type, [&] {
    k.attention_lanes({packed.data(), lanes, 5, 10, 0, lanes, queries.data(), lane_gaps.data(), best.data(),
                       rows.data(), p.data(), s, s + lanes, s + 2 * lanes, s + 3 * lanes, s + 4 * lanes,
                       s + 5 * lanes, s + 6 * lanes, s + 7 * lanes});
  });
  const std::vector<T> ones(lanes, T(1)), zeros(lanes, T(0));
  std::vector<T> scale(lanes), factor(lanes), size(lanes);
  record("row_factors/" + type, [&] {
    k.row_factors({lanes, true, s + lanes, s + 3 * lanes, zeros.data(), s + 7 * lanes, ones.data(),
                   ones.data(), zeros.data(), ones.data(), scale.data(), factor.data(), size.data()});
  });
  record("scale_row/" + type, [&] { k.scale_row(d * d, T(2), T(0.5), g.data()); });
  const std::vector<double> twice(lanes, 2.0), half(lanes, 0.5);
  record("scale_lanes/" + type, [&] {
    k.scale_lanes({10, lanes, 0, lanes, twice.data(), half.data(), rows.data()});
  });
  runs<T>(isa, type);
  dense_runs<T>(isa, type);
  double sum = 0;
  record("dot/" + type, [&] { sum += k.dot(d * d, weights.data(), weights.data()); });
  if (sum == 0.0) std::puts("");  // used
}

// The kernels of attention over heads: 19 keys of 67 numbers for 13 queries, where nothing moves from call to
// call that sets how long a call takes.
template <class T>
void block_kernels(const simd::Isa& isa, const std::string& type) {
  const auto& k = isa.kernels<T>();
  constexpr std::size_t queries = 13, keys = 19, d = 67;
  const std::vector<T> x = numbers<T>(keys * d, -1, 1), q = numbers<T>(queries * d, -1, 1),
                       scores = numbers<T>(queries * keys, -9, 9);
  std::vector<T> packed(keys * d), block(queries * keys), slopes(queries * keys), row(d), weights(keys);
  record("pack_rows/" + type, [&] {
    k.pack_rows({keys, d, x.data(), d, StoredType::working, nullptr, T(0.3), packed.data(), d});
  });
  record("transpose/" + type, [&] { k.transpose({keys, d, x.data(), d, packed.data(), keys}); });
  const std::size_t columns = (keys + k.tile_columns - 1) / k.tile_columns * k.tile_columns;
  const std::vector<T> panels = numbers<T>(columns * d, -1, 1);
  record("product_panels/" + type, [&] {
    k.product_panels({queries, keys, d, q.data(), d, false, panels.data(), d, block.data(), keys, false});
  });
  simd::AttentionArgs<T> pass{x.data(),     d, keys, d, q.data(), nullptr, 0, row.data(), weights.data(),
                              packed.data()};
  record("row_scores/" + type, [&] { k.row_scores(pass); });
  record("weighted_rows/" + type, [&] { k.weighted_rows(pass); });
  // Every row has seen nothing yet.
  constexpr T hidden = -std::numeric_limits<T>::infinity();
  std::vector<T> top(queries), second(queries), rest(queries), decay(queries), former_weight(queries);
  std::vector<std::size_t> pivot(queries), former(queries);
  record("softmax_rows/" + type, [&] {
    std::copy(scores.begin(), scores.end(), block.begin());
    std::fill(top.begin(), top.end(), hidden);
    std::fill(second.begin(), second.end(), hidden);
    std::fill(pivot.begin(), pivot.end(), simd::no_pivot);
    k.softmax_rows({queries, keys, block.data(), keys, nullptr, nullptr, 0, top.data(), second.data(),
                    pivot.data(), rest.data(), decay.data(), former_weight.data(), former.data()});
  });
  const std::vector<T> ones(queries, T(1));
  record("softmax_gradient/" + type, [&] {
    std::copy(scores.begin(), scores.end(), block.begin());
    k.softmax_gradient({queries, keys, block.data(), slopes.data(), keys, nullptr, nullptr, 0, second.data(),
                        pivot.data(), ones.data(), ones.data(), ones.data(), ones.data()});
  });
  record("soft_cap/" + type, [&] {
    std::copy(scores.begin(), scores.end(), block.begin());
    k.soft_cap({queries, keys, T(5), block.data(), keys, slopes.data()});
  });
}

// 100 steps count as one call; data on which every rule goes on for as long.
constexpr std::int64_t steps_per_call = 100;

template <class T>
bool steps(const std::string& type) {
  const Dataset<T> data =
      convert<T>(generate({.n_samples = 20, .n_tokens = 5, .dim = 10, .equal_scores = true}));
  for (const RuleInfo& rule : step_rules()) {
    AttentionModel<T> objective(data.view());
    TrainerOptions options;
    options.rules = {parse_rule(rule.name)};
    options.trace_rows_per_decade = 0;
    for (const std::size_t calls : {few, many}) {
      [[maybe_unused]] const char* label =
          kept("steps_100/" + rule.name + "/" + type + "#" + std::to_string(calls));
      TrainState<T> state = initial_state(objective);
      options.n_steps = steps_per_call * static_cast<std::int64_t>(calls);
      CALLGRIND_ZERO_STATS;
      const TrainSummary summary = train(objective, state, options);
      CALLGRIND_DUMP_STATS_AT(label);
      if (summary.steps != options.n_steps) {
        std::fprintf(stderr, "%s: %s\n", rule.name.c_str(), to_string(summary.status));
        return false;
      }
    }
  }
  return true;
}

int run(const char* name) {
  const simd::Isa* isa = simd::find_isa(name);
  if (isa == nullptr || !isa->runnable) {
    std::fprintf(stderr, "instruction set %s cannot run here\n", name);
    return 3;
  }
  force_isa(name);
  kernels<float>(*isa, "f32");
  block_kernels<float>(*isa, "f32");
  kernels<double>(*isa, "f64");
  block_kernels<double>(*isa, "f64");
  return steps<float>("f32") && steps<double>("f64") ? 0 : 1;
}

}  // namespace
}  // namespace softstep::instruction_counts

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s ISA | --compiler\n", argv[0]);
    return 2;
  }
  if (std::strcmp(argv[1], "--compiler") != 0) return softstep::instruction_counts::run(argv[1]);
#if defined(__clang__)
  std::printf("clang-%d\n", __clang_major__);
#else
  std::printf("gcc-%d\n", __GNUC__);
#endif
  return 0;
}
