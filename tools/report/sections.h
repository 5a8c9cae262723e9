#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "report/json_field.h"

namespace softstep::program {

/// A report in the making: its text, the files it was made from, and how many pictures and tables it holds.
struct Report {
  std::string title, body;
  std::vector<std::string> files;
  std::size_t n_figures = 0, n_tables = 0;

  void add_table(const std::string& html);
  /// Reads `file` and puts the picture in. `label` says in words what is to be seen.
  void add_figure(const std::string& file, const std::string& title, const std::string& caption,
                  const std::string& label);
};

/// What `compare` and `sweep` write: summary.json, and the plots of `compare`.
void add_comparison(Report& report, const std::string& directory);

/// One entry of `reproduce`: what its heading and its line in the contents say.
struct Verdict {
  std::string directory, name, title;
  bool passed = false;
  std::size_t n_checks = 0, n_passed = 0;
};

/// What `reproduce` writes, one folder an entry.
std::vector<Verdict> add_verdicts(Report& report, const std::string& heading,
                                  const std::vector<std::string>& directories);

}  // namespace softstep::program
