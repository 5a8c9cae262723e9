// The index of shards, read as one pass over its JSON text.

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/data/files/shards.h"
#include "core/data/text.h"

namespace softstep::data {
namespace {

using Json = nlohmann::json;

constexpr int deepest = 32;  // of members that are passed over

// Depth 1 is the index, 2 its members. Members other than weight_map are passed over.
class IndexReader : public nlohmann::json_sax<Json> {
 public:
  explicit IndexReader(WeightMap& map) : map_(map) {}
  const std::string& problem() const { return problem_; }
  bool has_map() const { return has_map_; }

  bool null() override { return other(); }
  bool boolean(bool) override { return other(); }
  bool number_integer(number_integer_t) override { return other(); }
  bool number_unsigned(number_unsigned_t) override { return other(); }
  bool number_float(number_float_t, const string_t&) override { return other(); }
  bool binary(binary_t&) override { return other(); }
  bool string(string_t& value) override {
    if (!in_map_) return other();
    map_.emplace_back(std::move(key_), std::move(value));
    return true;
  }
  bool start_object(std::size_t) override {
    if (in_map_) return other();
    if (depth_ == 1 && key_ == "weight_map") in_map_ = has_map_ = true;
    return deeper();
  }
  bool start_array(std::size_t) override {
    if (depth_ <= 1 && (depth_ == 0 || key_ == "weight_map")) return other();
    if (in_map_) return other();
    return deeper();
  }
  bool end_object() override {
    if (--depth_ == 1) in_map_ = false;
    return true;
  }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool key(string_t& name) override {
    if (depth_ == 1 && name == "weight_map" && has_map_) return refuse("has `weight_map` twice");
    if (depth_ == 1 || in_map_) key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return refuse("is not JSON");
  }

 private:
  bool refuse(const std::string& problem) {
    if (problem_.empty()) problem_ = problem;
    return false;
  }
  bool deeper() { return depth_ == deepest ? refuse("is nested too deeply") : (++depth_, true); }
  bool other() {
    if (in_map_) return refuse("has no file name for tensor " + name_text(key_) + " (need a string)");
    if (depth_ == 0 || (depth_ == 1 && key_ == "weight_map"))
      return refuse(depth_ == 0 ? "is no JSON object" : "has a `weight_map` that is no JSON object");
    return true;
  }

  WeightMap& map_;
  std::string problem_, key_;
  int depth_ = 0;
  bool in_map_ = false, has_map_ = false;
};

// What is wrong with the name of a shard, or nothing.
std::string name_problem(const std::string& name) {
  if (name.empty() || name == "." || name == "..") return "no file name";
  if (name.find('/') != std::string::npos || name.find('\\') != std::string::npos)
    return "not in the folder of the index (need a plain file name)";
  for (const char c : name)
    if (static_cast<unsigned char>(c) < 0x20) return "no file name: it has a control character";
  if (!name.ends_with(".safetensors")) return "no safetensors file by its name";
  return {};
}

}  // namespace

WeightMap parse_index(const std::string& path, const char* text, std::size_t size) {
  WeightMap map;
  IndexReader reader(map);
  // The parser takes a NUL for the end of the text.
  if (std::memchr(text, '\0', size) != nullptr)
    throw BadFile(path, "is no index of shards: it is not JSON, as it holds a NUL");
  if (!Json::sax_parse(text, text + size, &reader))
    throw BadFile(path, "is no index of shards: it " + reader.problem());
  if (!reader.has_map()) throw BadFile(path, "is no index of shards: it has no `weight_map`");
  if (map.empty()) throw BadFile(path, "is an index of no tensors");
  std::sort(map.begin(), map.end());
  for (std::size_t k = 0; k < map.size(); ++k) {
    if (k > 0 && map[k].first == map[k - 1].first)
      throw BadFile(path, "has tensor " + name_text(map[k].first) + " twice");
    const std::string problem = name_problem(map[k].second);
    if (!problem.empty())
      throw BadFile(path, "has tensor " + name_text(map[k].first) + " in " + name_text(map[k].second) +
                              ", which is " + problem);
  }
  return map;
}

}  // namespace softstep::data
