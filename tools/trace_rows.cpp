#include "trace_rows.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <optional>
#include <sstream>

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

void TraceRows::finish() {
  begin();
  if (file_ != nullptr && !cut_.empty()) try_output([&] { write_file(path_, cut_); });
  if (file_ != nullptr) try_output([&] { file_->close(); });
  file_.reset();
}

}  // namespace softstep::program
