#include "report/svg_style.h"

#include <algorithm>
#include <cctype>

#include "softstep/error.h"

namespace softstep::program {

namespace {

std::string trimmed(const std::string& text) {
  const char* const space = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(space);
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(space) + 1 - begin);
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::string without_comments(std::string css, const std::string& file) {
  for (std::size_t begin; (begin = css.find("/*")) != std::string::npos;) {
    const std::size_t end = css.find("*/", begin + 2);
    if (end == std::string::npos)
      throw InvalidArgument(file, "is damaged: a comment in its style has no end");
    css.replace(begin, end + 2 - begin, " ");
  }
  return css;
}

// Classes and ids in a selector get the prefix that they have in the elements.
std::string scoped_selector(const std::string& selector, const std::string& prefix) {
  std::string text = "#" + prefix + " ";
  for (const char c : selector) {
    text += c;
    if (c == '.' || c == '#') text += prefix + "-";
  }
  return text;
}

}  // namespace

std::string with_prefixed_urls(const std::string& value, const std::string& file, const std::string& prefix) {
  std::string text;
  const std::string small = lower(value);
  // Written with escapes, or by functions that take a bare string, a reference would not be seen.
  if (value.find('\\') != std::string::npos || small.find("image-set(") != std::string::npos ||
      small.find("src(") != std::string::npos)
    throw InvalidArgument(file, "cannot be put into a page: the value \"" + value + "\"");
  std::size_t position = 0;
  for (std::size_t found; (found = small.find("url(", position)) != std::string::npos;) {
    const std::size_t end = value.find(')', found);
    if (end == std::string::npos) throw InvalidArgument(file, "is damaged: \"" + value + "\" has no )");
    std::string target = trimmed(value.substr(found + 4, end - found - 4));
    if (target.size() >= 2 && (target[0] == '"' || target[0] == '\'') && target.back() == target[0])
      target = trimmed(target.substr(1, target.size() - 2));
    if (target.size() < 2 || target[0] != '#')
      throw InvalidArgument(file,
                            "refers to \"" + target + "\", which a page that needs nothing else cannot hold");
    text += value.substr(position, found - position) + "url(#" + prefix + "-" + target.substr(1) + ")";
    position = end + 1;
  }
  return text + value.substr(position);
}

std::string scoped_style(const std::string& css, const std::string& file, const std::string& prefix) {
  const std::string plain = without_comments(css, file);
  // @import, @font-face and the like reach outside; strings and attribute selectors could hide a brace.
  const std::size_t odd = plain.find_first_of("@\"'[]<\\");
  if (odd != std::string::npos)
    throw InvalidArgument(file, std::string("cannot be put into a page: its style has a ") + plain[odd]);
  std::string text;
  for (std::size_t position = 0;;) {
    const std::size_t open = plain.find('{', position);
    const std::string selectors =
        trimmed(plain.substr(position, open == std::string::npos ? open : open - position));
    if (open == std::string::npos) {
      if (!selectors.empty()) throw InvalidArgument(file, "is damaged: \"" + selectors + "\" in its style");
      return text;
    }
    const std::size_t close = plain.find('}', open);
    if (close == std::string::npos || selectors.find('}') != std::string::npos ||
        plain.find('{', open + 1) < close || selectors.empty())
      throw InvalidArgument(file, "is damaged: the braces of its style");
    std::string scoped;
    for (std::size_t begin = 0; begin <= selectors.size();) {
      const std::size_t comma = std::min(selectors.find(',', begin), selectors.size());
      scoped += (scoped.empty() ? "" : ",") +
                scoped_selector(trimmed(selectors.substr(begin, comma - begin)), prefix);
      begin = comma + 1;
    }
    text += scoped + "{" +
            with_prefixed_urls(trimmed(plain.substr(open + 1, close - open - 1)), file, prefix) + "}";
    position = close + 1;
  }
}

}  // namespace softstep::program
