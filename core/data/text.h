#pragma once

// How numbers and names of tensors are written in messages: one line, whatever the file holds.

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

namespace softstep::data {

inline std::string number_text(double x) {
  if (std::isnan(x)) return "nan";
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", x);
  return text;
}

/// The shortest text that reads back as the same number.
inline std::string exact_text(double x) {
  char text[40];
  const auto end = std::to_chars(text, text + sizeof text, x).ptr;
  return {text, end};
}

/// A name in backticks, control characters replaced and long names shortened.
inline std::string name_text(const std::string& name) {
  constexpr std::size_t longest = 80;
  std::string out = "`";
  for (const char c : name.substr(0, longest))
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return out + (name.size() > longest ? "...`" : "`");
}

inline std::string shape_text(const std::vector<std::size_t>& shape) {
  std::string out = "[";
  for (std::size_t k = 0; k < shape.size(); ++k) out += (k ? ", " : "") + std::to_string(shape[k]);
  return out + "]";
}

}  // namespace softstep::data
