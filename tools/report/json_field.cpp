#include "report/json_field.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "softstep/error.h"
#include "text_file.h"

namespace softstep::program {

std::string read_file(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) throw InvalidArgument(path, "is not there");
  if (!std::filesystem::is_regular_file(status)) throw InvalidArgument(path, "is not a plain file");
  if (const std::optional<std::string> text = text_of_file(path)) return *text;
  throw InvalidArgument(path, std::string("cannot be read: ") + std::strerror(errno));
}

Json read_json_file(const std::string& path) {
  const std::string text = read_file(path);
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    throw InvalidArgument(path, "is damaged: no JSON at byte " + std::to_string(error.byte));
  }
}

JsonField::JsonField(const Json& value, std::string file, std::string place)
    : value_(&value), file_(std::move(file)), place_(std::move(place)) {}

void JsonField::fail(const std::string& problem) const {
  throw InvalidArgument(file_, "is damaged: " + (place_.empty() ? "its value" : place_) + " " + problem);
}

bool JsonField::has(const std::string& key) const { return value_->is_object() && value_->contains(key); }

JsonField JsonField::operator[](const std::string& key) const {
  const JsonField inner(*value_, file_, place_.empty() ? key : place_ + "." + key);
  if (!value_->is_object()) fail("is not an object");
  const auto found = value_->find(key);
  if (found == value_->end()) inner.fail("is missing");
  return {*found, file_, inner.place_};
}

JsonField JsonField::operator[](std::size_t index) const {
  if (index >= size()) fail("has no item " + std::to_string(index));
  return {(*value_)[index], file_, place_ + "[" + std::to_string(index) + "]"};
}

std::size_t JsonField::size() const {
  if (!value_->is_array()) fail("is not a list");
  return value_->size();
}

std::string JsonField::text() const {
  if (!value_->is_string()) fail("is not a text");
  return value_->get<std::string>();
}

bool JsonField::flag() const {
  if (!value_->is_boolean()) fail("is not true or false");
  return value_->get<bool>();
}

double JsonField::number() const {
  if (value_->is_null()) return std::numeric_limits<double>::quiet_NaN();
  if (!value_->is_number()) fail("is not a number");
  return value_->get<double>();
}

const Json& JsonField::object() const {
  if (!value_->is_object()) fail("is not an object");
  return *value_;
}

const Json& JsonField::scalar() const {
  if (value_->is_structured()) fail("is not a single value");
  return *value_;
}

}  // namespace softstep::program
