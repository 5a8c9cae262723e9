#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "output.h"
#include "softstep/files.h"

namespace softstep::program {

/// The trace of `train`: every row goes to the file of --trace, or with --trace - to the standard output, as
/// the run goes, so that a run that is killed leaves its trace. An older file is replaced when the first row
/// comes. Rows that cannot be written, be it for a full disk, wait until they can, with a note; the run goes
/// on.
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
  /// Makes the rows so far safe on the disk.
  void sync();
  /// Rows that still cannot be written are an error of the output.
  void finish();

 private:
  void begin() {
    if (!columns_.empty()) put(std::exchange(columns_, {}));
  }
  void put(const std::string& row);
  void write_or_wait();
  void write_waiting();

  bool printed_;
  std::string path_;
  std::int64_t kept_to_ = -1;
  std::string columns_;
  std::string cut_;  ///< what stays of an older file that had more, until a row is written behind it
  std::deque<std::string> waiting_;  ///< rows that are not in the file yet
  bool told_ = false;
  std::unique_ptr<RowFile> file_;
};

}  // namespace softstep::program
