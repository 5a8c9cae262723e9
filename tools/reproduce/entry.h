#pragma once

// One reproduction: a declared configuration, what came out of it, and its verdict. A verdict has laws, each
// with the value that was measured and the interval in which it must lie.

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "output.h"

namespace softstep::program::reproduce {

/// How a reproduction is run.
struct Context {
  int n_threads = 1;
  /// Run a system that must not obey the laws. Then every check has to fail. Each entry says which system it
  /// runs.
  bool broken = false;
  /// A folder with train.safetensors and test.safetensors, for the entries that need it; or empty.
  std::string data = {};
};

/// A law and its measurement; what is not finite passes nothing.
struct Check {
  std::string law;       ///< "fitted exponent of 1 - cos against t, ngd"
  std::string expected;  ///< as the theory says it: "-2"
  double measured, lowest, highest;
  bool passed() const { return std::isfinite(measured) && measured >= lowest && measured <= highest; }
};

struct Table {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};

/// A line of a figure. Values that cannot be drawn are left out: not finite, or not positive on a logarithmic
/// axis.
struct Series {
  std::string label;
  std::vector<double> x, y;
  std::vector<double> spread = {};  ///< one standard deviation of log10(y) or y, if there are several seeds
  bool is_guide = false;            ///< what the theory says, not a measurement: drawn thin and dashed
};

enum class Scale {
  linear,
  logarithmic,
  tower  ///< y is a log10 that runs to -2000: its own logarithm is drawn, labelled with the value
};

struct Figure {
  std::string file;  ///< without ending
  std::string title, caption;
  std::string x_label = "step", y_label = {};  ///< mathematics between dollar signs
  Scale x_scale = Scale::logarithmic, y_scale = Scale::logarithmic;
  std::vector<Series> series = {};
};

/// A CSV file of what was measured.
struct DataFile {
  std::string file;  ///< with ending
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};

struct Result {
  Json configuration = Json::object();
  std::vector<Check> checks;
  std::vector<Table> tables;
  std::vector<Figure> figures;
  std::vector<DataFile> data;
  bool passed() const;
};

struct Entry {
  const char* name;
  const char* title;
  const char* summary;  ///< what is done and which law it checks, with its source
  const char* broken;   ///< what `--broken` breaks
  Result (*run)(const Context&);
  const char* paper;   ///< whose law it is
  const char* claim;   ///< the law in a line
  const char* status;  ///< "holds", what of it is ours, what is not checked
  /// Runs on data of the user's (Context::data), and is left out of `all` where there are none.
  bool needs_data = false;
};

#define SOFTSTEP_REPRODUCTION(name) extern const Entry name##_entry;
#include "reproduce/catalogue.def"
#undef SOFTSTEP_REPRODUCTION

/// Every row of catalogue.def.
const std::vector<Entry>& catalogue();

}  // namespace softstep::program::reproduce
