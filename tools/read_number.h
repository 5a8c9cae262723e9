#pragma once

#include <charconv>
#include <string>
#include <system_error>

namespace softstep::program {

/// Whether the whole text is a number, with nothing else before or after; then its value.
template <class Number>
bool read_number(const std::string& text, Number& value) {
  const char* begin = text.data();
  const char* end = begin + text.size();
  // from_chars takes a minus, and no plus: one sign is enough.
  if (text.starts_with('+')) ++begin;
  if (text.starts_with("+-")) return false;
  const auto [stop, error] = std::from_chars(begin, end, value);
  return error == std::errc() && stop == end && begin != end;
}

}  // namespace softstep::program
