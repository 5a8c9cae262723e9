#include "output.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <new>
#include <nlohmann/json.hpp>
#include <set>

#include "job.h"
#include "softstep/error.h"
#include "softstep/files.h"

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
  const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::general, digits).ptr;
  return std::string(text, end);
}

std::string one_line(const std::string& text) {
  std::string line = text;
  for (std::size_t k = 0; k < line.size(); ++k) {
    const auto byte = static_cast<unsigned char>(line[k]);
    const auto next = k + 1 < line.size() ? static_cast<unsigned char>(line[k + 1]) : 0u;
    if (byte < 0x20 || byte == 0x7f) line[k] = ' ';
    if (byte == 0xc2 && next >= 0x80 && next <= 0x9f) line[k] = line[k + 1] = ' ';  // U+0080 to U+009F
  }
  return line;
}

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

namespace {

bool any_output_failed = false;

fs::path absolute(const std::string& path) {
  std::error_code error;
  // First made absolute: a relative path of which nothing exists would stay relative.
  const fs::path result = fs::weakly_canonical(fs::absolute(path, error), error);
  return error ? fs::path(path) : result;
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
  try {
    if (!is_stream(path)) check_distinct(option, path);
    require_writable(path);
  } catch (const InvalidArgument& error) {
    if (error.argument() == option) throw;
    throw InvalidArgument(option, error.what());
  }
  outputs_.emplace_back(option, path);
}

void Outputs::add_input(const std::string& option, const std::string& path) {
  if (!path.empty()) inputs_.emplace_back(option, path);
}

void Outputs::add_data(const std::string& option, const std::string& path) {
  add_input(option, path);
  std::error_code error;
  if (!path.ends_with(".json") || !fs::is_regular_file(path, error)) return;
  std::ifstream text(path, std::ios::binary);
  const Json index = Json::parse(text, nullptr, false);
  if (!index.is_object() || !index.contains("weight_map")) return;
  std::set<std::string> shards;
  for (const auto& name : index["weight_map"])
    if (name.is_string()) shards.insert(name.get<std::string>());
  for (const std::string& shard : shards) add_input(option, (fs::path(path).parent_path() / shard).string());
}

void try_output(const std::function<void()>& write) {
  try {
    write();
  } catch (const std::bad_alloc&) {  // nothing else will be written either
    throw;
  } catch (const std::exception& error) {
    any_output_failed = true;
    std::cerr << "softstep: " << one_line(error.what()) << std::endl;
  }
}

void try_output(const std::string& path, const std::string& contents) {
  if (!path.empty()) try_output([&] { write_file(path, contents); });
}

bool output_failed() { return any_output_failed; }

std::string json_text(const Json& json) {
  // Names from outside (file names) need not be UTF-8.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

void publish(const std::string& text, const Json& json, const std::string& json_path) {
  if (json_path == "-") {
    std::cout << json_text(json);
    return;
  }
  try_output(json_path, json_text(json));
  std::cout << text;
}

void note(const std::string& message) {
  if (is_first_rank()) std::cerr << "softstep: note: " << one_line(message) << std::endl;
}

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
