#pragma once

#include <cstdint>
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
      : printed_(is_printed(path)), path_(path), columns_(std::move(columns)) {
    if (!path.empty() && !printed_) file_ = std::make_unique<RowFile>(path);
  }

  /// The run goes on from that step: what the file has up to there stays, and rows of later steps, of a run
  /// that was killed after it had last been saved, are written anew. Throws InvalidArgument for a file with
  /// other columns.
  void go_on_from(std::int64_t step);
  static bool is_printed(const std::string& path) { return path == "-"; }
  void add(std::int64_t step, const std::string& row) {
    if (step == kept_to_) return;  // the start of a run that goes on is no row of one that was never stopped
    begin();
    put(row);
  }
  void sync() {
    if (file_ != nullptr) try_output([&] { file_->sync(); });
  }
  void finish();

 private:
  void begin() {
    if (!columns_.empty()) put(std::exchange(columns_, {}));
  }
  void put(const std::string& row) {
    if (printed_) std::cout << row << '\n' << std::flush;
    if (file_ == nullptr) return;
    cut_.clear();
    bool written = false;
    try_output([&] {
      file_->add(row);
      written = true;
    });
    if (!written) file_.reset();
  }

  bool printed_;
  std::string path_;
  std::int64_t kept_to_ = -1;
  std::string columns_;
  std::string cut_;  ///< what stays of an older file that had more, until a row is written behind it
  std::unique_ptr<RowFile> file_;
};

}  // namespace softstep::program
