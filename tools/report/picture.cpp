#include "report/picture.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>

#include "report/html.h"
#include "softstep/error.h"

namespace softstep::program {

namespace {

// RFC 4648, section 4.
std::string base64(const std::string& bytes) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k)
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k)
      text += i + k <= bytes.size() ? digits[group >> (18 - 6 * k) & 63U] : '=';
  }
  return text;
}

// A file that was cut off must not be shown as if it were whole.
void check_whole(const std::string& bytes, const std::string& file) {
  const std::string ending = "</svg>";
  if (bytes.find("<svg") == std::string::npos)
    throw InvalidArgument(file, "is damaged or no SVG picture: it has no <svg>");
  const std::size_t end = bytes.find_last_not_of(" \t\r\n") + 1;
  if (end < ending.size() || bytes.compare(end - ending.size(), ending.size(), ending) != 0)
    throw InvalidArgument(file, "is damaged: it does not end with " + ending);
}

}  // namespace

std::string picture_html(const std::string& bytes, const std::string& file, const std::string& label) {
  check_whole(bytes, file);
  return fmt::format("<img src=\"data:image/svg+xml;base64,{}\" alt=\"{}\"/>", base64(bytes), escape(label));
}

}  // namespace softstep::program
