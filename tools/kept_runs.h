#pragma once

// --keep DIR: the finished runs of a command, a file each, so that the same command goes on where it was
// stopped.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "output.h"
#include "softstep/step_rules.h"

namespace CLI {
class App;
}

namespace softstep::program {

/// --keep.
void add_keep(CLI::App& app, std::string& folder);

/// FNV-1a, 64 bits, in hexadecimal digits: against damage and mistakes, not against forgers.
std::string checksum(std::string_view bytes);

/// The number in a kept run, which comes back to the bit: JSON has neither NaN nor infinities, and these are
/// kept as texts.
Json exact_number(double value);
/// Throws Json::exception where it is no such number.
double exact_number(const Json& value);
/// The options of a rule, by name.
Json exact_options(const RuleSettings& rule);

/// A record's step and these numbers of it, to the bit.
template <class Record, std::size_t N>
Json exact_record(const Record& record, const std::array<double Record::*, N>& numbers) {
  Json json = Json::array({record.step});
  for (const auto number : numbers) json.push_back(exact_number(record.*number));
  return json;
}
/// The record again. Throws Json::exception.
template <class Record, std::size_t N>
Record exact_record_of(const Json& json, const std::array<double Record::*, N>& numbers) {
  Record record;
  record.step = json.at(0).get<std::int64_t>();
  for (std::size_t k = 0; k < N; ++k) record.*numbers[k] = exact_number(json.at(k + 1));
  return record;
}

/// Finished runs in a folder. A run is kept under the checksum of what it is of: a JSON value of everything
/// that its results depend on, data and options. So a command finds its own runs, and those of another
/// command line are left alone. A file appears whole or not at all. All members may be called from several
/// threads.
class KeptRuns {
 public:
  /// Takes the folder, and makes it if it is not there; the one above must be. An empty name: nothing is kept
  /// or found. Throws InvalidArgument.
  explicit KeptRuns(const std::string& folder);

  bool is_on() const { return !folder_.empty(); }
  /// Whether the run is there; read() is then given what was kept of it. A file that is damaged or cannot be
  /// read, or of which read() throws, is a note, and the run is made again.
  bool find(const Json& of, const std::function<void(const Json&)>& read);
  /// Keeps a run. Where it cannot be written, a line on the standard error says so, the program ends with
  /// exit_bad_input, and the runs after it are not kept.
  void keep(const Json& of, const Json& run);
  /// Tells how many of the command's runs were found, and whether the folder has runs of others.
  void note_found(std::size_t n_runs) const;

 private:
  std::string path_of(const Json& of) const;

  std::string folder_;
  std::mutex mutex_;
  std::size_t n_found_ = 0, n_damaged_ = 0;
  bool failed_ = false;
};

}  // namespace softstep::program
