#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "output.h"

namespace softstep::program {

/// The bytes of a file. Throws InvalidArgument naming it.
std::string read_file(const std::string& path);

/// The JSON in a file. Throws InvalidArgument naming it, in one line.
Json read_json_file(const std::string& path);

/// A value in a JSON file that knows the file and its place there. What is missing or of another type is an
/// InvalidArgument that says where: "DIR/summary.json: rules[0].label is not a text". Does not own the value.
class JsonField {
 public:
  JsonField(const Json& value, std::string file, std::string place = "");

  bool has(const std::string& key) const;
  JsonField operator[](const std::string& key) const;
  JsonField operator[](std::size_t index) const;
  std::size_t size() const;  ///< of a list

  std::string text() const;
  bool flag() const;
  double number() const;  ///< NaN for null
  const Json& object() const;
  const Json& scalar() const;  ///< a text, a number, a truth value or null
  const Json& value() const { return *value_; }

  [[noreturn]] void fail(const std::string& problem) const;

 private:
  const Json* value_;
  std::string file_, place_;
};

}  // namespace softstep::program
