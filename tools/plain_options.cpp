#include "plain_options.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <charconv>
#include <cmath>
#include <optional>

#include "output.h"
#include "read_number.h"
#include "softstep/error.h"

namespace softstep::program {

namespace {

struct Whole {
  bool negative = false;
  std::uint64_t size = 0;
};

// "12", "+12", "1e6", "2.5e3", "3.0"; nothing for what is no whole number, or has a size of 2^64 or more.
std::optional<Whole> read_whole(const std::string& text) {
  Whole whole;
  std::size_t i = 0;
  const auto take_digits = [&] {
    const std::size_t begin = i;
    while (i < text.size() && text[i] >= '0' && text[i] <= '9') ++i;
    return text.substr(begin, i - begin);
  };
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) whole.negative = text[i++] == '-';
  std::string digits = take_digits();
  std::int64_t exponent = 0;
  if (i < text.size() && text[i] == '.') {
    ++i;
    const std::string fraction = take_digits();
    digits += fraction;
    exponent = -static_cast<std::int64_t>(fraction.size());
  }
  if (digits.empty()) return std::nullopt;
  if (i < text.size()) {
    if (text[i] != 'e' && text[i] != 'E') return std::nullopt;
    std::int64_t written = 0;
    if (!read_number(text.substr(i + 1), written) || written > 1000 || written < -1000) return std::nullopt;
    exponent += written;
  }
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  if (digits.empty()) return Whole{};
  for (; exponent < 0 && digits.back() == '0'; ++exponent) digits.pop_back();
  if (exponent < 0) return std::nullopt;
  digits.append(static_cast<std::size_t>(exponent), '0');
  if (!read_number(digits, whole.size)) return std::nullopt;
  return whole;
}

// The value as a signed number, if it is one.
std::optional<std::int64_t> as_signed(const std::optional<Whole>& whole) {
  if (!whole || whole->size > static_cast<std::uint64_t>(most_whole)) return std::nullopt;
  const auto size = static_cast<std::int64_t>(whole->size);
  return whole->negative ? -size : size;
}

template <class Number>
[[noreturn]] void refuse(const std::string& name, const std::string& text, const char* what, Number min,
                         Number max) {
  throw InvalidArgument(
      name, fmt::format("{} (need {} from {} to {})", text.empty() ? "nothing" : text, what, min, max));
}

}  // namespace

CLI::Option* add_whole(CLI::App& app, const std::string& name, std::int64_t& value, std::int64_t min,
                       std::int64_t max, const std::string& help) {
  const auto read = [&value, name, min, max](const std::string& text) {
    const std::optional<std::int64_t> whole = as_signed(read_whole(text));
    if (!whole || *whole < min || *whole > max) refuse(name, text, "a whole number", min, max);
    value = *whole;
  };
  return app.add_option_function<std::string>(name, read, help)
      ->type_name("N")
      ->default_str(std::to_string(value));
}

CLI::Option* add_seed(CLI::App& app, std::uint64_t& seed, const std::string& help) {
  const auto read = [&seed](const std::string& text) {
    const std::optional<Whole> whole = read_whole(text);
    if (!whole || (whole->negative && whole->size != 0))
      refuse("--seed", text, "a whole number", std::uint64_t{0}, most_seed);
    seed = whole->size;
  };
  return app.add_option_function<std::string>("--seed", read, help)
      ->type_name("N")
      ->default_str(std::to_string(seed));
}

void check_seeds(std::uint64_t first, std::int64_t n) {
  const std::uint64_t last = most_seed - static_cast<std::uint64_t>(n - 1);
  if (first > last)
    throw InvalidArgument("--seed", fmt::format("{} (need a whole number from 0 to {}: the {} seeds count up "
                                                "from it, and the largest is {})",
                                                first, last, n, most_seed));
}

CLI::Option* add_real(CLI::App& app, const std::string& name, double& value, const std::string& help) {
  const auto read = [&value, name](const std::string& text) {
    if (!read_number(text, value))
      throw InvalidArgument(name, fmt::format("{} (need a number within the range of double precision)",
                                              text.empty() ? "nothing" : text));
  };
  return app.add_option_function<std::string>(name, read, help)->type_name("X")->default_str(shortest(value));
}

CLI::Option* add_real(CLI::App& app, const std::string& name, double& value, double min, double max,
                      const std::string& help) {
  const auto read = [&value, name, min, max](const std::string& text) {
    if (!read_number(text, value) || !(value >= min && value <= max))
      refuse(name, text, "a number", min, max);
  };
  return app.add_option_function<std::string>(name, read, help)->type_name("X")->default_str(shortest(value));
}

CLI::Option* add_word(CLI::App& app, const std::string& name, std::string& value,
                      const std::vector<std::string>& known, const std::string& help) {
  return app.add_option(name, value, help)
      ->check(CLI::IsMember(known).description(""))
      ->type_name(fmt::format("{}", fmt::join(known, "|")))
      ->default_str(value);
}

CLI::Option* add_path(CLI::App& app, const std::string& name, std::string& value, const std::string& help,
                      const std::string& type) {
  const auto check = [](const std::string& text) -> std::string {
    return text.empty() ? "an empty name (need that of a file or directory)" : "";
  };
  return app.add_option(name, value, help)->check(check)->type_name(type)->default_str(value);
}

}  // namespace softstep::program
