#pragma once

// What the program writes: numbers, JSON, files, and lines for people.

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

namespace softstep::program {

using Json = nlohmann::ordered_json;

/// The number, or null if it is not finite (JSON has no NaN and no infinity).
Json number(double value);

/// The shortest text that reads back as the same number; "nan", "inf", "-inf".
std::string shortest(double value);

/// `digits` significant digits, for people; "-" for NaN.
std::string rounded(double value, int digits = 4);

/// Line breaks and other control characters (C1 too) become spaces.
std::string one_line(const std::string& text);

/// Names joined by ", ".
std::string join(const std::vector<std::string>& names);

/// The outputs of one command. Each is looked at before any work is done, so that hours of work are not lost
/// to a misspelt directory.
class Outputs {
 public:
  /// Remembers an output, or nothing if the path is empty. Throws InvalidArgument if it cannot be written: a
  /// directory, a read-only file, in a directory that is not there or not ours, or a file that is also read
  /// or written under another option. Devices and pipes may be written under several.
  void add(const std::string& option, const std::string& path);
  /// Remembers an input, which no output may replace.
  void add_input(const std::string& option, const std::string& path);
  /// The same for a data set, with the shards that it names if it is an index. One that is damaged is refused
  /// when it is read.
  void add_data(const std::string& option, const std::string& path);

 private:
  void check_distinct(const std::string& option, const std::string& path) const;
  std::vector<std::pair<std::string, std::string>> inputs_, outputs_;
};

/// Calls write(). What it throws becomes a line on the standard error, and the program goes on: one output
/// that cannot be written, be it for a full disk, does not lose the others.
void try_output(const std::function<void()>& write);
/// The same for a whole file; nothing if the path is empty.
void try_output(const std::string& path, const std::string& contents);
/// Whether try_output has failed. The program then ends with exit_bad_input.
bool output_failed();

/// As it stands in a file.
std::string json_text(const Json& json);

/// Prints the text for people, and writes the JSON to `json_path` if there is one; "-" prints the JSON
/// instead of the text.
void publish(const std::string& text, const Json& json, const std::string& json_path);

/// "softstep: note: ..." on the standard error.
void note(const std::string& message);

/// Lines "name  value" with the values aligned.
std::string listing(const std::vector<std::pair<std::string, std::string>>& rows);

/// A table with its columns aligned; the first row is the head, and only the first column is aligned to the
/// left.
std::string table(const std::vector<std::vector<std::string>>& rows);

}  // namespace softstep::program
