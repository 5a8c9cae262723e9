#include "report/svg.h"

#include <algorithm>
#include <initializer_list>
#include <set>

#include "report/html.h"
#include "report/svg_style.h"
#include "report/xml.h"
#include "softstep/error.h"

namespace softstep::program {

namespace {

bool is_one_of(const std::string& name, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [&](const char* other) { return name == other; });
}

bool starts_with(const std::string& text, const char* beginning) { return text.rfind(beginning, 0) == 0; }

// What draws, and nothing that acts, links or loads.
bool is_drawing(const std::string& name) {
  return is_one_of(
      name, {"svg",     "g",      "defs",           "symbol",         "use",  "path",  "rect",     "circle",
             "ellipse", "line",   "polyline",       "polygon",        "text", "tspan", "clipPath", "mask",
             "pattern", "marker", "linearGradient", "radialGradient", "stop", "image", "style"});
}

// Says something about the file; with namespaces of its own in it.
bool is_description(const std::string& name) {
  return is_one_of(name, {"metadata", "title", "desc"}) || name.find(':') != std::string::npos;
}

class Inliner {
 public:
  Inliner(const std::string& bytes, const std::string& file, const std::string& prefix,
          const std::string& label)
      : reader_(bytes, file), file_(file), prefix_(prefix), label_(label) {}

  std::string run() {
    for (XmlToken token = reader_.next(); token.kind != XmlToken::Kind::end; token = reader_.next()) {
      if (token.kind == XmlToken::Kind::open) open(token);
      if (token.kind == XmlToken::Kind::close) close(token);
      if (token.kind == XmlToken::Kind::text) text(token);
    }
    return html_;
  }

 private:
  void open(const XmlToken& token) {
    if (skipped_ > 0 || is_description(token.name)) {
      if (!token.empty) ++skipped_;
      return;
    }
    if (depth_ == 0 && token.name != "svg")
      throw InvalidArgument(file_, "is no SVG picture: its outermost element is <" + token.name + ">");
    if (!is_drawing(token.name))
      throw InvalidArgument(file_, "cannot be put into a page: <" + token.name + "> is not allowed there");
    html_ += "<" + token.name;
    if (depth_ == 0) root(token);
    for (const XmlToken::Attribute& attribute : token.attributes) add(token, attribute);
    html_ += token.empty ? "/>" : ">";
    if (token.empty) return;
    ++depth_;
    if (token.name == "style") in_style_ = true;
    if (is_one_of(token.name, {"text", "tspan"})) ++in_text_;
  }

  void close(const XmlToken& token) {
    if (skipped_ > 0) {
      --skipped_;
      return;
    }
    --depth_;
    if (is_one_of(token.name, {"text", "tspan"})) --in_text_;
    if (in_style_) html_ += escape(scoped_style(style_, file_, prefix_));
    in_style_ = false;
    style_.clear();
    html_ += "</" + token.name + ">";
  }

  // Between the elements that draw there is only the indentation of the file.
  void text(const XmlToken& token) {
    if (skipped_ > 0) return;
    if (in_style_)
      style_ += token.text;
    else if (in_text_ > 0)
      html_ += escape(token.text);
  }

  // The page scales the picture, so it must say in which coordinates it is drawn.
  void root(const XmlToken& token) {
    std::string box, width, height;
    for (const auto& [name, value] : token.attributes) {
      if (name == "viewBox") box = value;
      if (name == "width") width = value;
      if (name == "height") height = value;
    }
    const auto plain = [](const std::string& size) {
      return !size.empty() && (size.find_first_not_of("0123456789.") == std::string::npos ||
                               size.find_first_not_of("0123456789.") + 2 == size.size());
    };
    // Lengths like 12, 12pt or 12px; both in the same unit, or the shape would not be known.
    if (box.empty() && plain(width) && plain(height))
      box = "0 0 " + width.substr(0, width.find_first_not_of("0123456789.")) + " " +
            height.substr(0, height.find_first_not_of("0123456789."));
    if (box.empty())
      throw InvalidArgument(file_, "cannot be put into a page: it has neither viewBox nor size");
    html_ += " id=\"" + prefix_ + "\" role=\"img\" aria-label=\"" + escape(label_) + "\" viewBox=\"" +
             escape(box) + "\"";
  }

  void add(const XmlToken& token, const XmlToken::Attribute& attribute) {
    const std::string& name = attribute.name;
    if (depth_ == 0 &&
        is_one_of(name, {"id", "width", "height", "x", "y", "viewBox", "version", "baseProfile"}))
      return;
    if (starts_with(name, "xmlns") || starts_with(name, "aria-") ||
        is_one_of(name, {"role", "lang", "tabindex"}))
      return;
    if (starts_with(name, "on"))
      throw InvalidArgument(file_, "cannot be put into a page: <" + token.name + "> has " + name);
    if (name == "id") {
      if (ids_.insert(attribute.value).second) put(name, prefix_ + "-" + attribute.value);
    } else if (name == "href" || name == "xlink:href") {
      put("href", reference(token, attribute.value));
    } else if (name == "class") {
      put(name, prefixed_words(attribute.value));
    } else if (name.find(':') == std::string::npos || name == "xml:space") {
      put(name, with_prefixed_urls(attribute.value, file_, prefix_));
    }
  }

  std::string reference(const XmlToken& token, const std::string& value) const {
    if (value.size() > 1 && value[0] == '#') return "#" + prefix_ + "-" + value.substr(1);
    if (token.name == "image" &&
        (starts_with(value, "data:image/png;base64,") || starts_with(value, "data:image/jpeg;base64,")))
      return value;
    throw InvalidArgument(file_, "refers to \"" + value.substr(0, 200) +
                                     "\", which a page that needs nothing else cannot hold");
  }

  std::string prefixed_words(const std::string& words) const {
    std::string result;
    for (std::size_t begin = 0; begin < words.size();) {
      const std::size_t end = std::min(words.find(' ', begin), words.size());
      if (end > begin)
        result += (result.empty() ? "" : " ") + prefix_ + "-" + words.substr(begin, end - begin);
      begin = end + 1;
    }
    return result;
  }

  void put(const std::string& name, const std::string& value) {
    html_ += " " + name + "=\"" + escape(value) + "\"";
  }

  XmlReader reader_;
  const std::string &file_, &prefix_, &label_;
  std::string html_, style_;
  std::set<std::string> ids_;
  int depth_ = 0, skipped_ = 0, in_text_ = 0;
  bool in_style_ = false;
};

}  // namespace

std::string inline_svg(const std::string& bytes, const std::string& file, const std::string& prefix,
                       const std::string& label) {
  return Inliner(bytes, file, prefix, label).run();
}

}  // namespace softstep::program
