#pragma once

#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "output.h"
#include "softstep/files.h"

namespace softstep::program {

/// The trace of `train`: every row goes to the file of --trace, or with --trace - to the standard output, as
/// the run goes, so that a run that is killed leaves its trace. An older file is replaced when the first row
/// comes. A trace that cannot be written on ends with a line on the standard error, and the run goes on.
class TraceRows {
 public:
  TraceRows(const std::string& path, std::string columns)
      : printed_(is_printed(path)), columns_(std::move(columns)) {
    if (!path.empty() && !printed_) file_ = std::make_unique<RowFile>(path);
  }

  static bool is_printed(const std::string& path) { return path == "-"; }
  void add(const std::string& row) {
    begin();
    put(row);
  }
  void finish() {
    begin();
    if (file_ != nullptr) try_output([&] { file_->close(); });
    file_.reset();
  }

 private:
  void begin() {
    if (!columns_.empty()) put(std::exchange(columns_, {}));
  }
  void put(const std::string& row) {
    if (printed_) std::cout << row << '\n' << std::flush;
    if (file_ == nullptr) return;
    bool written = false;
    try_output([&] {
      file_->add(row);
      written = true;
    });
    if (!written) file_.reset();
  }

  bool printed_;
  std::string columns_;
  std::unique_ptr<RowFile> file_;
};

}  // namespace softstep::program
