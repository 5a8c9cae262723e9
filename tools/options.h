#pragma once

// Options that several commands share.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "plain_options.h"
#include "softstep/attention_model.h"
#include "softstep/dataset.h"
#include "softstep/step_rules.h"
#include "softstep/trainer.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace softstep::program {

/// --json FILE.
void add_json(CLI::App& app, std::string& path);
/// --threads K: 0 means all.
void add_threads(CLI::App& app, std::int64_t& threads, const std::string& what);
/// What 0 threads means on this machine.
int resolved_threads(std::int64_t threads);

// ---- data

/// Where a generated data set comes from.
struct GeneratorFlags {
  GeneratorOptions options;
  std::int64_t n_samples = 10, n_tokens = 6, dim = 60;
  /// The options as the library takes them.
  GeneratorOptions with_seed(std::uint64_t seed) const;
};
/// --generator.
CLI::Option* add_generator(CLI::App& app, GeneratorFlags& flags, const std::string& help);
/// The options of a generator but for its name and its seed; returns them.
std::vector<CLI::Option*> add_generator_options(CLI::App& app, GeneratorFlags& flags);
/// Throws InvalidArgument for one of these options that was given and that the generator does not look at.
void check_generator_options(const GeneratorFlags& flags, const std::vector<CLI::Option*>& options);

struct DataOptions {
  std::string file, decoder, queries = "data";
  CLI::Option* queries_option = nullptr;
};
/// --data, --decoder and --queries; returns the first.
CLI::Option* add_data(CLI::App& app, DataOptions& data);
/// The data with the queries that the options choose: their own, or every token of a sample.
template <class T>
Dataset<T> with_queries(const Dataset<T>& data, const DataOptions& options);
/// The samples of the file; of several ranks those of this one.
template <class T>
Dataset<T> load_samples(const std::string& file);
/// Reads the file, with the decoder from its own file if one is given and the queries that are chosen. Throws
/// InvalidArgument, also if there is no decoder at all.
template <class T>
Dataset<T> load_data(const DataOptions& data);

// ---- rules

/// --rule, and one option for every option that some rule has.
struct RuleFlags {
  std::string rule = "ngd";
  std::map<std::string, double> values;  ///< by option name, without the dashes
  std::map<std::string, CLI::Option*> options;
  /// The rule with the options that were given. Throws InvalidArgument for an option that the rule does not
  /// have.
  RuleSettings settings() const;
};
void add_rule(CLI::App& app, RuleFlags& flags);
/// One line per rule: name, formula, source and what to know before use.
std::string rule_table();
/// "ngd:step-size=1,schedule-power=0.5", as parse_rule reads it; options in the rule's own order.
std::string rule_label(const RuleSettings& settings);
/// The value of every option of the rule, given or default.
std::map<std::string, double> rule_values(const RuleSettings& settings);

// ---- runs

/// What is the same for `train` and for each run of `compare`.
struct RunOptions {
  std::string precision = "f64", master = "working", loss = "logistic", lstar = "optimal", init = "zero",
              form = "auto", token_storage = "working", isa = "auto";
  double lstar_value = 0.0;
  CLI::Option* lstar_value_option = nullptr;
  std::int64_t n_steps = 1000, trace_rows_per_decade = 20;
  std::uint64_t seed = 0;

  /// Throws InvalidArgument; also forces the instruction set.
  AttentionOptions layer(int n_threads) const;
  MasterWeights master_weights() const;
};
void add_run_options(CLI::App& app, RunOptions& run);

/// zero, normal:STD or a file.
struct Init {
  enum class Kind { zero, normal, file } kind = Kind::zero;
  double std = 0.0;
  std::string file;
  std::vector<double> weights(std::size_t dim, std::uint64_t seed) const;
};
Init parse_init(const std::string& text);

}  // namespace softstep::program
