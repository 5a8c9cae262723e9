#include "kept_runs.h"

#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <exception>
#include <filesystem>
#include <limits>
#include <optional>

#include "options.h"
#include "plain_options.h"
#include "softstep/error.h"
#include "softstep/files.h"
#include "text_file.h"

namespace softstep::program {

namespace fs = std::filesystem;

namespace {

constexpr int file_version = 1;
const std::string name_begins = "run-", name_ends = ".json";

// Names of files in it need not be UTF-8.
std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

bool is_kept_run(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with(name_begins) && name.ends_with(name_ends);
}

}  // namespace

std::string checksum(std::string_view bytes) {
  std::uint64_t sum = 0xcbf29ce484222325u;
  for (const char byte : bytes) sum = (sum ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
  return fmt::format("{:016x}", sum);
}

void add_keep(CLI::App& app, std::string& folder) {
  add_path(app, "--keep", folder,
           "Keep finished runs in this folder; the same command takes them from there and makes the others",
           "DIR");
}

Json exact_number(double value) { return std::isfinite(value) ? Json(value) : Json(shortest(value)); }

double exact_number(const Json& value) {
  if (!value.is_string()) return value.get<double>();
  const double inf = std::numeric_limits<double>::infinity();
  const auto text = value.get<std::string>();
  return text == "inf" ? inf : text == "-inf" ? -inf : std::numeric_limits<double>::quiet_NaN();
}

Json exact_options(const RuleSettings& rule) {
  Json json = Json::object();
  for (const auto& [name, value] : rule_values(rule)) json[name] = exact_number(value);
  return json;
}

KeptRuns::KeptRuns(const std::string& folder) : folder_(folder) {
  if (!is_on()) return;
  while (folder_.size() > 1 && folder_.back() == '/') folder_.pop_back();
  std::error_code error;
  if (!fs::exists(folder_, error) && !fs::create_directory(folder_, error))
    throw InvalidArgument("--keep", folder_ + " cannot be made: " + error.message());
  if (!fs::is_directory(folder_, error)) throw InvalidArgument("--keep", folder_ + " is not a directory");
  Outputs().add("--keep", path_of({}));
}

std::string KeptRuns::path_of(const Json& of) const {
  return folder_ + "/" + name_begins + checksum(text_of(of)) + name_ends;
}

bool KeptRuns::find(const Json& of, const std::function<void(const Json&)>& read) {
  if (!is_on()) return false;
  const std::string path = path_of(of);
  std::error_code error;
  if (!fs::exists(path, error)) return false;
  errno = 0;
  const std::optional<std::string> text = text_of_file(path);
  const std::string problem =
      text ? "is damaged"
           : fmt::format("cannot be read ({})", errno == 0 ? "no more is known" : std::strerror(errno));
  bool good = false;
  try {
    const Json kept = Json::parse(text.value_or(""));
    const Json& run = kept.at("run");
    if (kept.at("softstep_kept_run") == file_version && text_of(kept.at("of")) == text_of(of) &&
        kept.at("checksum") == checksum(text_of(run))) {
      read(run);
      good = true;
    }
  } catch (const std::exception&) {  // of JSON, or of what is read from it
    good = false;
  }
  const std::lock_guard lock(mutex_);
  ++(good ? n_found_ : n_damaged_);
  if (!good) note(path + ": " + problem + "; its run is made again");
  return good;
}

void KeptRuns::keep(const Json& of, const Json& run) {
  if (!is_on()) return;
  {
    const std::lock_guard lock(mutex_);
    if (failed_) return;
  }
  const Json kept = {
      {"softstep_kept_run", file_version}, {"of", of}, {"checksum", checksum(text_of(run))}, {"run", run}};
  std::exception_ptr problem;
  try {
    write_file(path_of(of), text_of(kept) + "\n");
  } catch (const std::exception&) {
    problem = std::current_exception();
  }
  if (!problem) return;
  const std::lock_guard lock(mutex_);
  if (!failed_) try_output([&] { std::rethrow_exception(problem); });
  failed_ = true;
}

void KeptRuns::note_found(std::size_t n_runs) const {
  if (!is_on()) return;
  std::size_t n_files = 0;
  std::error_code error;
  for (fs::directory_iterator entry(folder_, error), end; !error && entry != end; entry.increment(error))
    n_files += is_kept_run(entry->path()) ? 1 : 0;
  if (n_found_ > 0) note(fmt::format("{} of {} runs are taken from {}", n_found_, n_runs, folder_));
  if (n_files > n_found_ + n_damaged_)
    note(fmt::format("{} has {} runs of other data, options or versions, which are left alone", folder_,
                     n_files - n_found_ - n_damaged_));
}

}  // namespace softstep::program
