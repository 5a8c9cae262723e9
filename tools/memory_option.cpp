#include "memory_option.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/App.hpp>
#include <algorithm>
#include <cmath>
#include <string_view>

#include "read_number.h"
#include "softstep/error.h"

namespace softstep::program {

namespace {

constexpr std::size_t mebi = std::size_t{1} << 20;
constexpr std::size_t of_program = 32 * mebi, least = 128 * mebi;

std::size_t of_files = 0;  // 0: no bound

}  // namespace

std::size_t MemoryOption::bytes() const {
  constexpr std::string_view units = "KMGT";
  const std::size_t unit = text.empty() ? std::string_view::npos : units.find(text.back());
  const bool has_unit = unit != std::string_view::npos;
  double value = 0.0;
  const bool is_number = read_number(has_unit ? text.substr(0, text.size() - 1) : text, value);
  const double size = has_unit ? std::ldexp(value, 10 * (static_cast<int>(unit) + 1)) : value;
  if (!is_number || !(size >= static_cast<double>(least) && size <= 0x1p53))
    throw InvalidArgument("--memory", fmt::format("{} (need bytes, or a number with K, M, G or T behind it, "
                                                  "from {}M on)",
                                                  text, least / mebi));
  return static_cast<std::size_t>(size);
}

bool MemoryOption::is_given() const { return given->count() != 0; }

// Counted by the system when memory is mapped or the heap grows; pages of files are not among it, as they are
// not writable.
void MemoryOption::bound_process() const {
  if (!is_given()) return;
  of_files = std::min(bytes() / 4, 256 * mebi);
  rlimit now = {};
  const rlim_t wanted = bytes() - of_files - of_program;
  const bool known = getrlimit(RLIMIT_DATA, &now) == 0;
  if (known && now.rlim_cur != RLIM_INFINITY && now.rlim_cur <= wanted) return;
  now.rlim_cur = wanted;
  if (!known || setrlimit(RLIMIT_DATA, &now) != 0)
    throw InvalidArgument("--memory", text + " (the system does not let a process bound its memory)");
}

ReadOptions read_options() { return {of_files}; }

void add_memory(CLI::App& app, MemoryOption& option) {
  option.given =
      app.add_option("--memory", option.text,
                     "Keep this process within so much resident memory, as in 1G: data files are read "
                     "in order and given back to the system behind the step; needs --reference none or "
                     "FILE");
  option.given->type_name("SIZE");
}

}  // namespace softstep::program
