#include "core/data/text.h"

namespace softstep::data {
namespace {

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// Length of the character that begins at `at`, if a terminal would act on it in place of showing it; else 0.
// Those are ASCII's control characters, C1 (U+0080 to U+009F), and U+200E, U+200F, U+2028 to U+202E, U+2066
// to U+2069.
std::size_t unprintable(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t k) {
    return at + k < text.size() ? static_cast<unsigned char>(text[at + k]) : 0u;
  };
  if (byte(0) < 0x20 || byte(0) == 0x7f) return 1;
  if (byte(0) == 0xc2 && byte(1) >= 0x80 && byte(1) <= 0x9f) return 2;
  if (byte(0) != 0xe2) return 0;
  const bool marks =
      byte(1) == 0x80 && (byte(2) == 0x8e || byte(2) == 0x8f || (byte(2) >= 0xa8 && byte(2) <= 0xae));
  const bool isolates = byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9;
  return marks || isolates ? 3 : 0;
}

}  // namespace

std::string one_line(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t k = 0; k < text.size();) {
    const std::size_t hidden = unprintable(text, k);
    out += hidden == 0 ? text[k] : '?';
    k += hidden == 0 ? 1 : hidden;
  }
  return out;
}

std::string name_text(std::string_view name) {
  constexpr std::size_t longest = 80;
  std::size_t size = name.size();
  if (size > longest) {
    size = longest;
    while (size > 0 && continues(name[size])) --size;
  }
  return "`" + one_line(name.substr(0, size)) + (size < name.size() ? "...`" : "`");
}

std::string shape_text(const std::vector<std::size_t>& shape) {
  constexpr std::size_t most = 8;
  std::string out = "[";
  for (std::size_t k = 0; k < shape.size() && k < most; ++k)
    out += (k ? ", " : "") + std::to_string(shape[k]);
  if (shape.size() > most) out += ", ... (" + std::to_string(shape.size()) + " dimensions)";
  return out + "]";
}

}  // namespace softstep::data
