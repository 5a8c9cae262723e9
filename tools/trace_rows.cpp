#include "trace_rows.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "softstep/error.h"
#include "text_file.h"

namespace softstep::program {

void TraceRows::go_on_from(std::int64_t step) {
  if (file_ == nullptr || is_stream(path_) || !std::filesystem::exists(path_)) return;
  const std::optional<std::string> text = text_of_file(path_);
  if (!text) throw IoError(path_, "cannot be read, and a trace that goes on begins with what it holds");
  std::istringstream rows(*text);
  std::string row;
  std::getline(rows, row);
  if (row != columns_)
    throw InvalidArgument(
        "--trace", fmt::format("{} is no trace of this run: its first line is not {}", path_, columns_));
  std::string kept = row + "\n";
  // Without a line break behind it a row is not whole.
  while (std::getline(rows, row) && !rows.eof()) {
    std::int64_t at = 0;
    const auto [end, error] = std::from_chars(row.data(), row.data() + row.size(), at);
    if (error != std::errc() || end == row.data() + row.size() || *end != ',' || at > step) break;
    kept += row + "\n";
    kept_to_ = step;
  }
  if (kept_to_ < 0) return;
  columns_.clear();
  if (kept.size() != text->size()) cut_ = kept;
  file_->begin_with(std::move(kept));
}

void TraceRows::put(const std::string& row) {
  if (printed_) std::cout << row << '\n' << std::flush;
  if (file_ == nullptr) return;
  waiting_.push_back(row);
  if (is_stream(path_)) {  // what went out of a row cannot be taken back
    try_output([&] { write_waiting(); });
    if (!waiting_.empty()) file_.reset();
    return;
  }
  write_or_wait();
}

void TraceRows::write_or_wait() {
  try {
    write_waiting();
  } catch (const IoError& error) {
    if (!std::exchange(told_, true)) note(std::string(error.what()) + "; its rows wait until they can be");
  }
}

void TraceRows::write_waiting() {
  while (!waiting_.empty()) {
    file_->add(waiting_.front());
    waiting_.pop_front();
    cut_.clear();
  }
  told_ = false;
}

void TraceRows::sync() {
  if (file_ == nullptr) return;
  write_or_wait();
  try_output([&] { file_->sync(); });
}

void TraceRows::finish() {
  begin();
  if (file_ == nullptr) return;
  try_output([&] {
    write_waiting();
    if (!cut_.empty()) write_file(path_, cut_);
  });
  try_output([&] { file_->close(); });
  file_.reset();
}

}  // namespace softstep::program
