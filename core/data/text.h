#pragma once

// Numbers, names and sizes as text: the same in every locale, and in messages one short line whatever a file
// holds. (printf and std::to_string(double) write the decimal point of the process's locale.)

#include <charconv>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace softstep::data {

/// `digits` significant digits, as printf's %.*g writes them in the locale "C"; "nan", "inf", "-inf".
inline std::string number_text(double x, int digits = 9) {
  if (std::isnan(x)) return "nan";
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, x, std::chars_format::general, digits).ptr;
  return std::string(text, end);
}

/// Enough digits to read the same number back (at most 17).
inline std::string exact_text(double x) { return number_text(x, 17); }

/// Reads the whole text as a number. False, and `value` as it was, if it is none or out of range.
template <class Number>
bool read_number(std::string_view text, Number& value) {
  Number read{};
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, read);
  if (result.ec != std::errc() || result.ptr != end) return false;
  value = read;
  return true;
}

/// Text from outside in backticks: control characters and the marks that turn the direction of writing become
/// ?, and long text is cut, not within a character of UTF-8.
std::string name_text(std::string_view name);

/// All of a text in one line: control characters and the marks that turn the direction of writing become ?.
std::string one_line(std::string_view text);

/// "[2, 3]"; of many dimensions the first ones.
std::string shape_text(const std::vector<std::size_t>& shape);

}  // namespace softstep::data
