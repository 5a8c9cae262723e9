#include "train_report.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>
#include <vector>

#include "job.h"
#include "run_report.h"
#include "softstep/error.h"
#include "softstep/margin_certificate.h"
#include "softstep/metrics.h"
#include "trace_rows.h"

namespace softstep::program {

std::string train_columns(const ModelFlags& flags, const std::vector<Observable>& observables) {
  std::string text = trace_columns;
  if (!flags.any()) return text;
  text += ",log10_loss,accuracy";
  for (std::size_t k = 1; k < observables.size(); ++k)
    text += fmt::format(",{0}_norm,log10_{0}_gradient_norm,{0}_one_minus_cos", observables[k].name);
  return text;
}

std::string train_row(const ModelFlags& flags, const TraceRecord& record) {
  std::string text = trace_row(record);
  if (!flags.any()) return text;
  text += fmt::format(",{},{}", shortest(record.log10_loss), shortest(record.accuracy));
  for (const TraceRecord::Watched& watched : record.others)
    text += fmt::format(",{},{},{}", shortest(watched.norm), shortest(watched.log10_gradient_norm),
                        shortest(watched.one_minus_cos));
  return text;
}

namespace {

using Rows = std::vector<std::pair<std::string, std::string>>;

// What the batch's own decoder says of W, trained alone.
struct OfDecoder {
  double margin = std::numeric_limits<double>::quiet_NaN();
  double certified_share = std::numeric_limits<double>::quiet_NaN();  // of the largest margin, at least
  std::size_t n_not_unique = 0;
};

// What share of the largest margin W, n_rows x n_cols, has at least, by the gradient that `add` takes into a
// certificate. NaN where it says nothing: of a margin that is not positive, where scores of huge weights are
// no numbers, and over several ranks, whose gradients are each of their own samples.
template <class Add>
double share_if_any(double margin, std::size_t n_rows, std::size_t n_cols, const Add& add) {
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  const std::shared_ptr<Ranks> ranks = ranks_of_job();
  if (!(margin > 0.0) || (ranks != nullptr && ranks->size() > 1)) return none;
  MarginCertificate certificate(n_rows, n_cols);
  try {
    add(certificate);
  } catch (const InvalidArgument&) {
    return none;
  }
  return certificate.size() == 0 ? none : certificate.share(margin, MatrixNorm::frobenius);
}

// Of the samples of all ranks.
struct OfSamples {
  OfDecoder decoder;
  std::size_t n_queries = 0;
};
OfSamples over_ranks(OfSamples mine) {
  const std::vector<OfSamples> all = of_all_ranks(ranks_of_job().get(), mine);
  OfSamples out = all[0];
  for (std::size_t k = 1; k < all.size(); ++k) {
    const double margin = all[k].decoder.margin;
    if (margin < out.decoder.margin || std::isnan(margin)) out.decoder.margin = margin;
    out.decoder.n_not_unique += all[k].decoder.n_not_unique;
    out.n_queries += all[k].n_queries;
  }
  return out;
}

template <class T>
OfDecoder look(const EndedRun<T>& run) {
  const std::vector<double> weights = run.state.values(0);
  if (run.classes != nullptr) {
    const MulticlassData& classes = *run.classes;
    const double margin = multiclass_margin(classes, weights, MatrixNorm::frobenius);
    return {margin,
            share_if_any(margin, classes.n_classes, classes.dim,
                         [&](MarginCertificate& into) { add_multiclass_gradient(into, classes, weights); }),
            0};
  }
  if (run.options.model.any()) return {};
  const TokenScores& scores = dynamic_cast<const AttentionModel<T>&>(run.model).token_scores();
  const std::span<const double> w = weights;
  const double margin = normalized_margin(*run.batch, scores, w);
  const double share = share_if_any(margin, run.batch->dim, run.batch->dim, [&](MarginCertificate& into) {
    add_attention_gradient(into, *run.batch, scores, w);
  });
  return {margin, share, scores.not_unique.size()};
}

template <class T>
const char* master_of(const EndedRun<T>& run) {
  return run.state.has_masters() ? "float64" : "working";
}

Json blocks_json(const std::vector<BlockShape>& blocks) {
  Json out = Json::object();
  for (const BlockShape& block : blocks) out[block.name] = {block.n_rows, block.n_cols};
  return out;
}

template <class T>
Json json_of(const EndedRun<T>& run, const OfSamples& of_samples) {
  const OfDecoder& of_decoder = of_samples.decoder;
  const TrainOptions& options = run.options;
  const ModelFlags& flags = options.model;
  const TraceRecord& last = run.summary.last;
  const RuleSettings& rule = run.trainer.rules[0];
  const bool alone = !flags.any();
  Json json = Json::object();
  json["status"] = to_string(run.summary.status);
  if (!alone) json["model"] = flags.name();
  if (flags.rank != 0) json["rank"] = flags.rank;
  const std::string variant = variant_of(flags.kind, flags.file_model);
  if (!variant.empty()) json["variant"] = variant;
  if (!flags.has_reference()) json["blocks"] = blocks_json(run.model.blocks());
  json["rule"] = rule.rule;
  json["rule_options"] = rule_values(rule);
  if (flags.joint) json["decoder_rule"] = rule_label(run.trainer.rules.back());
  if (!alone) {
    json["normalization"] = flags.normalization;
    json["batch_size"] = run.trainer.batch_size == 0 ? run.model.n_samples() : run.trainer.batch_size;
  }
  json["precision"] = options.run.precision;
  json["master"] = master_of(run);
  if (alone) {
    json["form"] = to_string(run.summary.form);
    json["token_storage"] = options.run.token_storage;
  }
  json["isa"] = run.model.isa();
  json["threads"] = run.layer.n_threads;
  if (run.layer.ranks != nullptr) {
    json["ranks"] = run.layer.ranks->size();
    json["sum_order"] = to_string(run.layer.ranks->sum_order());
  }
  if (alone) json["threads_used"] = run.summary.threads_used;
  add_run(json, run.summary, of_decoder.margin);
  json["certified_share"] = number(of_decoder.certified_share);
  if (!alone) {
    json["log10_loss"] = number(last.log10_loss);
    json["accuracy"] = number(last.accuracy);
  }
  const std::vector<Observable> observables = run.model.observables();
  for (std::size_t k = 0; k < last.others.size(); ++k) {
    const std::string& name = observables[k + 1].name;
    json[name + "_norm"] = number(last.others[k].norm);
    json[fmt::format("log10_{}_gradient_norm", name)] = number(last.others[k].log10_gradient_norm);
    json[name + "_one_minus_cos"] = number(last.others[k].one_minus_cos);
  }
  json["optimal_loss"] = number(last.optimal_loss);
  json["loss_function"] = run.classes != nullptr   ? "cross entropy"
                          : flags.has_file_model() ? run.own_loss
                                                   : options.run.loss;
  json["lstar"] = flags.has_file_model() ? "model" : to_string(run.layer.optimal_loss);
  json[alone ? "reference" : "references"] = run.references.json;
  if (alone) json["unique_optimal_tokens"] = of_decoder.n_not_unique == 0;
  json["data"] = options.data.file;
  if (run.batch != nullptr) json["queries"] = of_samples.n_queries;
  if (run.classes != nullptr) json["classes"] = run.classes->n_classes;
  return json;
}

std::string steps_text(const TrainSummary& summary) {
  return fmt::format("{} in {} s ({} steps/s)", summary.steps, rounded(summary.seconds, 4),
                     rounded(steps_per_second(summary), 4));
}

std::string certified_text(const OfDecoder& of_decoder) {
  if (std::isnan(of_decoder.certified_share)) return "";
  return fmt::format(", at least {} of the largest", rounded(of_decoder.certified_share, 4));
}

template <class T>
Rows rows_of_weights(const EndedRun<T>& run, const OfDecoder& of_decoder) {
  const TrainSummary& summary = run.summary;
  const TraceRecord& last = summary.last;
  return {{"status", to_string(summary.status)},
          {"rule", rule_label(run.trainer.rules[0])},
          {"on", fmt::format("{}, master weights {}, {}, {}, threads {}", run.options.run.precision,
                             master_of(run), to_string(summary.form), run.model.isa(), run.layer.n_threads)},
          {"steps", steps_text(summary) +
                        (last.step != summary.steps ? fmt::format(", now at step {}", last.step) : "")},
          {"loss", rounded(last.loss, 6)},
          {"log10(L - L*)", rounded(last.log10_gap, 6)},
          {"norm of W", rounded(last.weight_norm, 6)},
          {"log10 norm of G", rounded(last.log10_gradient_norm, 6)},
          {"1 - cos(W, W_mm)", rounded(last.one_minus_cos, 4)},
          {"angle", rounded(last.angle, 4) + (std::isnan(last.angle) ? "" : " rad")},
          {"margin of W", rounded(of_decoder.margin, 6) + certified_text(of_decoder)},
          {"optimal attention",
           fmt::format("at least {}, log10(1 - it) {}", rounded(last.min_optimal_attention, 6),
                       rounded(last.log10_one_minus_optimal_attention, 6))}};
}

template <class T>
Rows rows_of_blocks(const EndedRun<T>& run) {
  const ModelFlags& flags = run.options.model;
  const TraceRecord& last = run.summary.last;
  Rows rows = {
      {"status", to_string(run.summary.status)},
      {"model", flags.name() + (flags.rank != 0 ? fmt::format(", rank {}", flags.rank) : "")},
      {"rule", rule_label(run.trainer.rules[0]) +
                   (flags.joint ? fmt::format(", decoder {}", rule_label(run.trainer.rules.back())) : "")},
      {"steps", steps_text(run.summary)},
      {"log10(loss)", rounded(last.log10_loss, 6)},
      {"accuracy", rounded(last.accuracy, 6)},
  };
  const std::vector<Observable> observables = run.model.observables();
  const bool own = !flags.has_reference();
  rows.emplace_back(own ? "norm of " + observables[0].name : "norm of W", rounded(last.weight_norm, 6));
  if (own)
    rows.emplace_back("log10(L - L*)", rounded(last.log10_gap, 6));
  else
    rows.emplace_back("1 - cos(W, W_mm)", rounded(last.one_minus_cos, 4));
  for (std::size_t k = 0; k < last.others.size(); ++k) {
    const std::string& name = observables[k + 1].name;
    rows.emplace_back("norm of " + name, rounded(last.others[k].norm, 6));
    if (!own) rows.emplace_back("1 - cos of " + name, rounded(last.others[k].one_minus_cos, 4));
  }
  return rows;
}

}  // namespace

template <class T>
void report_run(const EndedRun<T>& run) {
  const bool alone = !run.options.model.any();
  const OfSamples of_samples = over_ranks({look(run), run.batch == nullptr ? 0 : run.batch->total_queries()});
  const OfDecoder& of_decoder = of_samples.decoder;
  if (!is_first_rank()) return;
  const Rows rows = alone ? rows_of_weights(run, of_decoder) : rows_of_blocks(run);
  publish(TraceRows::is_printed(run.options.trace) ? "" : listing(rows), json_of(run, of_samples),
          run.options.json);
  for (const std::string& text : run.references.notes) note(text);
  if (run.summary.steps_below_rounding > 0)
    note(fmt::format("{} of {} steps were shorter than the rounding of the weights, which do not follow them",
                     run.summary.steps_below_rounding, run.summary.steps));
  if (of_decoder.n_not_unique != 0)
    note(fmt::format("the optimal tokens are not unique: {} samples have two tokens of the same best score",
                     of_decoder.n_not_unique));
  if (!alone && run.summary.status == TrainStatus::stationary && run.summary.steps == 0)
    note("the start is a stationary point: nothing moves from there");
}

template void report_run(const EndedRun<float>&);
template void report_run(const EndedRun<double>&);

}  // namespace softstep::program
