// Even pairs by one attention layer and its decoder, trained together, and parity by a chain of thought that
// asks the same layer again and again.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "parallel.h"
#include "reproduce/fit.h"
#include "reproduce/runs.h"

namespace softstep::program::reproduce {

namespace {

constexpr std::size_t longest = 6, dim = 2 * longest;
constexpr double eta = 0.1;
constexpr std::int64_t n_steps = 30000;

// Two scalings of the scores: by the first the loss is looked at, by the second the attention that stays.
struct Setting {
  const char* label;
  double lambda;
  std::int64_t first_phase;  // steps in which the rate of W is lambda times as large
};
constexpr Setting settings[] = {{"lambda = 2", 2.0, 100}, {"lambda = 10", 10.0, 2000}};
constexpr std::size_t n_settings = std::size(settings);

using Sequence = std::vector<int>;

// All sequences of 0 and 1 of length 1 to 6. A sequence is found at its place again: those of a length
// follow one another in binary order.
struct Language {
  std::vector<Sequence> sequences;
  Language() {
    for (std::size_t length = 1; length <= longest; ++length)
      for (std::size_t bits = 0; bits < (std::size_t{1} << length); ++bits) {
        Sequence s;
        for (std::size_t l = length; l-- > 0;) s.push_back(static_cast<int>(bits >> l & 1));
        sequences.push_back(s);
      }
  }
  static std::size_t place(std::span<const int> s) {
    std::size_t bits = 0;
    for (const int symbol : s) bits = 2 * bits + static_cast<std::size_t>(symbol);
    return (std::size_t{1} << s.size()) - 2 + bits;
  }
};

int parity(std::span<const int> s) {
  int sum = 0;
  for (const int symbol : s) sum ^= symbol;
  return sum;
}
std::int8_t even_pairs_label(const Sequence& s) { return s.front() == s.back() ? 1 : -1; }
std::int8_t parity_label(const Sequence& s) { return parity(s) == 0 ? 1 : -1; }

// The tokens of a sequence are the unit vectors of (place, symbol), its query is the last. The loss of the
// paper is a sum over lengths of means over the sequences of a length: 2^(6 - length) copies of each make it
// six times the mean over all.
struct Samples {
  std::vector<double> tokens;
  std::vector<std::int64_t> offsets{0}, query_index;
  std::vector<std::int8_t> labels;
  std::vector<std::size_t> sample;  // the first of each sequence
  BatchView<double> view() const {
    BatchView<double> batch;
    batch.tokens = tokens.data();
    batch.n_samples = labels.size();
    batch.dim = dim;
    batch.offsets = offsets.data();
    batch.labels = labels.data();
    batch.query_index = query_index.data();
    return batch;
  }
};

Samples samples_of(const Language& language, std::int8_t (*label)(const Sequence&)) {
  Samples out;
  for (std::size_t k = 0; k < language.sequences.size(); ++k) {
    const Sequence& s = language.sequences[k];
    out.sample.push_back(out.labels.size());
    for (std::size_t copy = 0; copy < (std::size_t{1} << (longest - s.size())); ++copy) {
      for (std::size_t l = 0; l < s.size(); ++l) {
        out.tokens.resize(out.tokens.size() + dim, 0.0);
        out.tokens[out.tokens.size() - dim + 2 * l + static_cast<std::size_t>(s[l])] = 1.0;
      }
      out.offsets.push_back(out.offsets.back() + static_cast<std::int64_t>(s.size()));
      out.query_index.push_back(static_cast<std::int64_t>(s.size()) - 1);
      out.labels.push_back(label(s));
    }
  }
  return out;
}

// What is looked at on the way.
struct Row {
  double step = 0.0, loss = 0.0, decoder_norm = 0.0, weights_norm = 0.0, first_score = 0.0, later_score = 0.0,
         right = 0.0, attention_positive = 0.0, attention_negative = 0.0,
         turned = 0.0;  // share of the sequences of length 6 that attend most to the token of the law
};

double norm_of(std::span<const double> x) {
  double squared = 0.0;
  for (const double value : x) squared += value * value;
  return std::sqrt(squared);
}

// Mean of u over some tokens; 0 where it is but what rounding leaves of scores that cancel.
double mean_score(std::span<const double> decoder, std::size_t first, std::size_t end) {
  double sum = 0.0;
  for (std::size_t j = first; j < end; ++j) sum += decoder[j];
  return std::fabs(sum) <= 1e-12 * norm_of(decoder) ? 0.0 : sum / static_cast<double>(end - first);
}

// 1 - cos(u, u_mm) and the margin of u_mm, of the attention as it stands; NaN if no decoder tells the
// sequences apart.
struct Limit {
  double distance = std::numeric_limits<double>::quiet_NaN(), margin = distance;
};

struct Outcome {
  std::vector<Row> rows;
  std::vector<std::vector<double>> weights;      // of each row
  std::vector<std::pair<double, Limit>> limits;  // by step
  std::vector<double> outputs;                   // T of every sequence, in the end
  bool is_interrupted = false;
  const Row& at(double step) const {
    for (const Row& row : rows)
      if (row.step == step) return row;
    return rows.back();
  }
  Limit limit_at(double step) const {
    for (const auto& [at, limit] : limits)
      if (at == step) return limit;
    return {};
  }
  std::vector<double> steps() const { return column(&Row::step); }
  std::vector<double> column(double Row::*value) const {
    std::vector<double> out;
    for (const Row& row : rows)
      if (row.step > 0.0) out.push_back(row.*value);
    return out;
  }
};

// Attended means of all sequences, from which the decoder reads.
std::vector<double> attended(const Samples& samples, const std::vector<double>& attention) {
  std::vector<double> out(samples.sample.size() * dim, 0.0);
  for (std::size_t k = 0; k < samples.sample.size(); ++k) {
    const std::size_t i = samples.sample[k];
    for (auto t = static_cast<std::size_t>(samples.offsets[i]);
         t < static_cast<std::size_t>(samples.offsets[i + 1]); ++t)
      for (std::size_t j = 0; j < dim; ++j) out[k * dim + j] += attention[t] * samples.tokens[t * dim + j];
  }
  return out;
}

double output(std::span<const double> mean, std::span<const double> decoder) {
  double sum = 0.0;
  for (std::size_t j = 0; j < dim; ++j) sum += mean[j] * decoder[j];
  return sum;
}

Limit limit_of(const Samples& samples, const std::vector<double>& means, std::span<const double> decoder) {
  std::vector<std::int8_t> labels;
  for (const std::size_t i : samples.sample) labels.push_back(samples.labels[i]);
  const MaxMarginResult solved = solve_linear_max_margin(means, labels, dim);
  if (solved.status != MaxMarginStatus::optimal) return {};
  return {compare_direction(decoder, std::span<const double>(solved.weights)).one_minus_cos, solved.margin};
}

// Steps at which a row is made: all up to 10, then 20 a decade, and those that the checks name.
std::vector<std::int64_t> rows_of(const Setting& setting) {
  std::vector<std::int64_t> out;
  for (std::int64_t step = 0; step <= 10; ++step) out.push_back(step);
  for (int k = 21;; ++k) {
    const auto step = std::llround(std::pow(10.0, k / 20.0));
    if (step > n_steps) break;
    out.push_back(step);
  }
  for (const std::int64_t step : {std::int64_t{300}, std::int64_t{3000}, n_steps, setting.first_phase})
    out.push_back(step);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Outcome trained(const Samples& samples, const Setting& setting) {
  AttentionOptions options;
  options.train_decoder = true;
  options.optimal_loss = OptimalLoss::zero;
  AttentionModel<double> model(samples.view(), options);
  TrainState<double> state = initial_state(model);
  Outcome out;
  for (const std::int64_t step : rows_of(setting)) {
    // The softmax is of scores over lambda, so that W here is the paper's over lambda, and its rate the
    // paper's over lambda^2; 6 makes a mean a sum over lengths.
    const double faster = state.step < setting.first_phase ? setting.lambda : 1.0;
    const double rate = static_cast<double>(longest) * eta;
    TrainerOptions trainer;
    trainer.rules = {{"gd", {{"step-size", rate * faster / (setting.lambda * setting.lambda)}}},
                     {"gd", {{"step-size", rate}}}};
    trainer.n_steps = step - state.step;
    trainer.trace_rows_per_decade = 0;
    const Trace trace = run_model(model, state, trainer);
    if (interrupted_run({trace})) {
      out.is_interrupted = true;
      return out;
    }
    const std::span<const double> decoder(state.blocks[1]);
    const std::vector<double> attention = model.attention(views_of(state.blocks));
    const std::vector<double> means = attended(samples, attention);
    Row row;
    row.step = static_cast<double>(step);
    row.loss = static_cast<double>(longest) * trace.last().loss;
    row.decoder_norm = norm_of(decoder);
    row.weights_norm = setting.lambda * norm_of(state.blocks[0]);
    row.first_score = mean_score(decoder, 0, 2);
    row.later_score = mean_score(decoder, 4, dim);
    out.outputs.clear();
    double positive = 0.0, negative = 0.0;
    for (std::size_t k = 0; k < samples.sample.size(); ++k) {
      const std::size_t i = samples.sample[k];
      const auto first = static_cast<std::size_t>(samples.offsets[i]),
                 length = static_cast<std::size_t>(samples.offsets[i + 1]) - first;
      const double label = samples.labels[i];
      out.outputs.push_back(output(std::span(means).subspan(k * dim, dim), decoder));
      row.right += label * out.outputs.back() > 0.0 ? 1.0 : 0.0;
      if (length != longest) continue;
      const std::size_t wanted = label > 0.0 ? 0 : 1;
      std::size_t most = 0;
      for (std::size_t l = 1; l < length; ++l)
        if (attention[first + l] > attention[first + most]) most = l;
      row.turned += most == wanted ? 1.0 : 0.0;
      (label > 0.0 ? row.attention_positive : row.attention_negative) += attention[first + wanted];
      (label > 0.0 ? positive : negative) += 1.0;
    }
    row.right /= static_cast<double>(samples.sample.size());
    row.turned /= positive + negative;
    row.attention_positive /= positive;
    row.attention_negative /= negative;
    out.rows.push_back(row);
    out.weights.push_back(state.blocks[0]);
    if (step == 1000 || step == 10000 || step == n_steps)
      out.limits.emplace_back(row.step, limit_of(samples, means, decoder));
  }
  return out;
}

// Parity by the layer alone: it says whether the ends of what it sees are equal, that is their sum modulo 2,
// which is put behind, and the first token is dropped. After length - 1 answers the last is the parity.
double parity_by_thought(const Language& language, const Outcome& outcome) {
  double right = 0.0, all = 0.0;
  for (const Sequence& s : language.sequences) {
    if (s.size() < 2) continue;
    Sequence window = s;
    for (std::size_t k = 1; k < s.size(); ++k) {
      const int answer = outcome.outputs[Language::place(window)] > 0.0 ? 0 : 1;
      window.erase(window.begin());
      window.push_back(answer);
    }
    right += window.back() == parity(s) ? 1.0 : 0.0;
    all += 1.0;
  }
  return right / all;
}

void add_figures(const std::vector<Outcome>& outcomes, Result& result) {
  const Outcome& first = outcomes[0];
  Figure loss{"loss", "Even pairs: the loss", "All 126 sequences of length 1 to 6, W = 0, u = 0, gd.", "step",
              "$L$"};
  for (std::size_t k = 0; k < n_settings; ++k)
    loss.series.push_back({fmt::format("$\\lambda = {}$", settings[k].lambda), outcomes[k].steps(),
                           outcomes[k].column(&Row::loss)});
  Series guide{"$\\propto 1/t$", {3e2, 3e4}, {}};
  for (const double t : guide.x) guide.y.push_back(60.0 / t);
  guide.is_guide = true;
  loss.series.push_back(guide);

  Figure norms{"norms", "Even pairs: the decoder grows like log t, the attention stays",
               "The first phase, in which W moves faster, ends at step 100 (lambda = 2) and 2000.", "step",
               "norm"};
  norms.y_scale = Scale::linear;
  for (std::size_t k = 0; k < n_settings; ++k) {
    norms.series.push_back({fmt::format("$\\Vert u \\Vert$, $\\lambda = {}$", settings[k].lambda),
                            outcomes[k].steps(), outcomes[k].column(&Row::decoder_norm)});
    Series weights{fmt::format("$\\Vert W \\Vert / \\lambda$, $\\lambda = {}$", settings[k].lambda),
                   outcomes[k].steps(), outcomes[k].column(&Row::weights_norm)};
    for (double& norm : weights.y) norm /= settings[k].lambda;
    norms.series.push_back(weights);
  }

  Figure attention{"attention", "Even pairs: where the sequences of length 6 look",
                   "lambda = 2. The first token where the ends are equal, the second where they are not.",
                   "step", "attention"};
  attention.y_scale = Scale::linear;
  attention.series = {{"first token, $y = +1$", first.steps(), first.column(&Row::attention_positive)},
                      {"second token, $y = -1$", first.steps(), first.column(&Row::attention_negative)}};
  result.figures = {loss, norms, attention};
}

void add_data(const std::vector<Outcome>& outcomes, Result& result) {
  DataFile file{"curves.csv",
                {"lambda", "step", "loss", "decoder_norm", "weights_norm", "first_score", "later_score",
                 "accuracy", "attention_first_positive", "attention_second_negative"},
                {}};
  Table table{"On the way", {"setting", "step", "L t", "norm(u)", "norm(W)", "accuracy"}, {}};
  for (std::size_t k = 0; k < n_settings; ++k) {
    for (const Row& row : outcomes[k].rows) {
      file.rows.push_back({shortest(settings[k].lambda)});
      for (const double value : {row.step, row.loss, row.decoder_norm, row.weights_norm, row.first_score,
                                 row.later_score, row.right, row.attention_positive, row.attention_negative})
        file.rows.back().push_back(shortest(value));
    }
    for (const double step : {300.0, 3e3, 1e4, 3e4}) {
      const Row& row = outcomes[k].at(step);
      table.rows.push_back({settings[k].label, shortest(step), rounded(row.loss * step, 4),
                            rounded(row.decoder_norm, 4), rounded(row.weights_norm, 4),
                            rounded(row.right, 4)});
    }
  }
  result.tables.push_back(table);
  result.data.push_back(file);
}

Result run(const Context& context) {
  const Language language;
  const Samples samples = samples_of(language, context.broken ? parity_label : even_pairs_label);
  std::vector<Outcome> outcomes(n_settings);
  parallel_for(n_settings, context.n_threads,
               [&](std::size_t k) { outcomes[k] = trained(samples, settings[k]); });
  Result result;
  result.configuration = {{"longest", longest},
                          {"sequences", language.sequences.size()},
                          {"step_size", eta},
                          {"steps", n_steps},
                          {"lambda", {settings[0].lambda, settings[1].lambda}},
                          {"first_phase", {settings[0].first_phase, settings[1].first_phase}}};
  for (const Outcome& outcome : outcomes)
    if (outcome.is_interrupted) return result;
  const Outcome &faster = outcomes[0], &stays = outcomes[1];
  const Row& last = faster.rows.back();
  const double steps = static_cast<double>(n_steps);

  result.checks.push_back({"share of the 126 sequences that are told apart", "1", last.right, 1.0, 1.0});
  result.checks.push_back({"share of the 124 parities found by chain of thought, never trained for", "1",
                           parity_by_thought(language, faster), 1.0, 1.0});
  result.checks.push_back(
      {"sequences of length 6 that look at the law's token most", "1", last.turned, 1.0, 1.0});
  // Until step 20 no score passes 0.43, so that -l' lies between sigma(-0.43) = 0.39 and 1/2: the rate of u
  // falls by at most a fifth. Later tokens have this twice, and 1 + 2 + ... + (t - 1) in place of t^2 / 2.
  result.checks.push_back({"exponent of the first token's score over 1..10", "1",
                           fitted_exponent(faster.steps(), faster.column(&Row::first_score), 1.0, 10.0), 0.79,
                           1.0});
  std::vector<double> later = faster.column(&Row::later_score);
  for (double& score : later) score = -score;
  result.checks.push_back({"exponent of minus the later tokens' scores over 10..20", "2",
                           fitted_exponent(faster.steps(), later, 10.0, 20.0), 1.58, 2.1});
  // With margin g of the attended means, d(1/L)/dt goes to eta g^2 as u turns to u_mm, so that L g^2 falls
  // like 1/t. What is not yet there is of the order of 1 / log t.
  const double rest = 1.0 / std::log(steps);
  for (std::size_t k = 0; k < n_settings; ++k) {
    const Outcome& outcome = outcomes[k];
    const auto at = [&](double step) {
      return std::log(outcome.at(step).loss) + 2.0 * std::log(outcome.limit_at(step).margin);
    };
    result.checks.push_back(
        {fmt::format("{}: exponent of L times the squared margin, 1e4..3e4", settings[k].label), "-1",
         (at(steps) - at(1e4)) / std::log(steps / 1e4), -1.0 - rest, -1.0 + rest});
  }
  // u -> u_mm log t + O(1) turns like 1 / log t, so that 1 - cos falls at least as its square.
  const double turned = std::log(1e3) / std::log(steps);
  result.checks.push_back(
      {"lambda = 2: 1 - cos(u, u_mm) at 3e4 steps over that at 1e3", "at most (log 1e3 / log 3e4)^2",
       faster.limit_at(steps).distance / faster.limit_at(1e3).distance, 0.0, turned * turned});
  const auto growth = [&](double from, double to) {
    return (stays.at(to).decoder_norm - stays.at(from).decoder_norm) / std::log(to / from);
  };
  result.checks.push_back({"lambda = 10: growth of norm(u) by log t over 1e4..3e4, over that over 3e3..1e4",
                           "1 in the limit", growth(1e4, steps) / growth(3e3, 1e4), 0.75, 1.25});
  const Row &begin = stays.at(static_cast<double>(settings[1].first_phase)), &end = stays.rows.back();
  std::vector<double> moved = stays.weights.back();
  const std::vector<double>& start = stays.weights[static_cast<std::size_t>(&begin - stays.rows.data())];
  for (std::size_t j = 0; j < moved.size(); ++j) moved[j] -= start[j];
  result.checks.push_back(
      {"lambda = 10: how far W moves in the second phase over how far u grows, relative", "goes to 0",
       norm_of(moved) / norm_of(start) / (end.decoder_norm / begin.decoder_norm - 1.0), 0.0, 0.2});
  add_figures(outcomes, result);
  add_data(outcomes, result);
  return result;
}

}  // namespace

const Entry even_pairs_entry = {
    "even_pairs",
    "Regular languages: even pairs in two phases, and parity by a chain of thought",
    "All 126 sequences of length 1 to 6, their ends equal or not, one layer and its decoder by gradient "
    "descent "
    "(Huang, Liang, Yang, arXiv 2505.00926, their setting): attention moves first, then stays while the "
    "decoder grows like log t towards its max-margin direction and the loss falls like 1/t. Asked again and "
    "again it finds parities that it was never trained for.",
    "the labels are parities: one layer does not tell them apart without a chain of thought",
    run,
    "arXiv 2505.00926",
    "attention first, then the decoder like log t to its max margin, loss O(1/t), parity by a chain of "
    "thought",
    "holds; attention stays only relative to the decoder, with lambda = 10; the constant of 1/t is ours"};

}  // namespace softstep::program::reproduce
