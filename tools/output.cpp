#include "output.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "softstep/error.h"

namespace softstep::program {

namespace fs = std::filesystem;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

std::string shortest(double value) {
  if (std::isnan(value)) return "nan";
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return std::string(text, end);
}

std::string rounded(double value, int digits) {
  if (std::isnan(value)) return "-";
  char text[64];
  std::snprintf(text, sizeof text, "%.*g", digits, value);
  return text;
}

std::string one_line(const std::string& text) {
  std::string line = text;
  for (char& c : line)
    if (std::iscntrl(static_cast<unsigned char>(c)) != 0) c = ' ';
  return line;
}

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

namespace {

// Makes an empty file beside `path` and opens it; the name is left in `name`.
int open_beside(const fs::path& path, std::string& name) {
  name = path.string() + ".XXXXXX";
  return mkstemp(name.data());
}

std::string reason() { return std::strerror(errno); }

fs::path absolute(const std::string& path) {
  std::error_code error;
  // First made absolute: a relative path of which nothing exists would stay relative.
  const fs::path result = fs::weakly_canonical(fs::absolute(path, error), error);
  return error ? fs::path(path) : result;
}

void check_writable(const std::string& option, const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status)) throw InvalidArgument(option, path + " is a directory");
  // Renaming onto a device would replace it by a plain file.
  if (fs::exists(status) && !fs::is_regular_file(status))
    throw InvalidArgument(option, path + " is not a plain file");
  const fs::path parent = fs::path(path).parent_path();
  if (!parent.empty() && !fs::is_directory(parent, error))
    throw InvalidArgument(option, path + " cannot be written: no directory " + parent.string());
  std::string probe;
  const int file = open_beside(path, probe);
  if (file < 0) throw InvalidArgument(option, path + " cannot be written: " + reason());
  ::close(file);
  ::unlink(probe.c_str());
}

}  // namespace

void Outputs::check_distinct(const std::string& option, const std::string& path) const {
  const fs::path self = absolute(path);
  for (const auto& [other_option, other] : inputs_)
    if (absolute(other) == self)
      throw InvalidArgument(option, path + " is what " + other_option + " reads; choose another file");
  for (const auto& [other_option, other] : outputs_)
    if (absolute(other) == self)
      throw InvalidArgument(option, path + " is what " + other_option + " writes; choose another file");
}

void Outputs::add(const std::string& option, const std::string& path) {
  if (path.empty()) return;
  check_distinct(option, path);
  check_writable(option, path);
  outputs_.emplace_back(option, path);
}

void Outputs::add_input(const std::string& option, const std::string& path) {
  if (!path.empty()) inputs_.emplace_back(option, path);
}

void write_file(const std::string& path, const std::string& contents) {
  std::string beside;
  const int descriptor = open_beside(path, beside);
  if (descriptor < 0) throw InvalidArgument(path, "cannot be written: " + reason());
  // mkstemp makes files that only their owner can read; these are as public as any other.
  const mode_t mask = ::umask(0);
  ::umask(mask);
  bool good = ::fchmod(descriptor, static_cast<mode_t>(0666) & ~mask) == 0;
  std::FILE* file = ::fdopen(descriptor, "wb");
  good = good && file != nullptr && std::fwrite(contents.data(), 1, contents.size(), file) == contents.size();
  if (file != nullptr)
    good = std::fclose(file) == 0 && good;
  else
    ::close(descriptor);
  good = good && std::rename(beside.c_str(), path.c_str()) == 0;
  if (good) return;
  const std::string why = reason();
  ::unlink(beside.c_str());
  throw InvalidArgument(path, "cannot be written: " + why);
}

std::string json_text(const Json& json) {
  // Names from outside (file names) need not be UTF-8.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

void publish(const std::string& text, const Json& json, const std::string& json_path) {
  if (json_path == "-") {
    std::cout << json_text(json);
    return;
  }
  if (!json_path.empty()) write_file(json_path, json_text(json));
  std::cout << text;
}

void note(const std::string& message) { std::cerr << "softstep: note: " << one_line(message) << std::endl; }

std::string listing(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::size_t width = 0;
  for (const auto& [name, value] : rows) width = std::max(width, name.size());
  std::string text;
  for (const auto& [name, value] : rows)
    text += name + std::string(width + 2 - name.size(), ' ') + value + "\n";
  return text;
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows)
    for (std::size_t c = 0; c < row.size(); ++c) {
      if (c == widths.size()) widths.push_back(0);
      widths[c] = std::max(widths[c], row[c].size());
    }
  std::string text;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t c = 0; c < rows[r].size(); ++c) {
      const std::string pad(widths[c] - rows[r][c].size(), ' ');
      text += c == 0 ? rows[r][c] + pad : "  " + pad + rows[r][c];
    }
    while (!text.empty() && text.back() == ' ') text.pop_back();
    text += "\n";
    if (r == 0) {
      std::size_t total = 0;
      for (const std::size_t width : widths) total += width + 2;
      text += std::string(total - 2, '-') + "\n";
    }
  }
  return text;
}

}  // namespace softstep::program
