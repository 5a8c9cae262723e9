#pragma once

#include <iostream>
#include <string>
#include <utility>

#include "output.h"

namespace softstep::program {

/// The trace of `train`: kept for the file of --trace, or with --trace - printed row by row as the run goes.
class TraceRows {
 public:
  TraceRows(std::string path, const std::string& columns) : path_(std::move(path)) { add(columns); }

  static bool is_printed(const std::string& path) { return path == "-"; }
  void add(const std::string& row) {
    if (is_printed(path_))
      std::cout << row << '\n' << std::flush;
    else if (!path_.empty())
      text_ += row + "\n";
  }
  void write() const {
    if (!path_.empty() && !is_printed(path_)) write_file(path_, text_);
  }

 private:
  std::string path_, text_;
};

}  // namespace softstep::program
