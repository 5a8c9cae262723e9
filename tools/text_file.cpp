#include "text_file.h"

#include <fstream>
#include <sstream>

namespace softstep::program {

std::optional<std::string> text_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  // An empty file puts nothing into the stream, which is no failure here; what fails within sets that of
  // `text`.
  if (file && file.peek() != std::ifstream::traits_type::eof()) text << file.rdbuf();
  if (file.bad() || !file.is_open() || !text) return {};
  return text.str();
}

}  // namespace softstep::program
