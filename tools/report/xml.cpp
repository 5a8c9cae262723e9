#include "report/xml.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "softstep/error.h"

namespace softstep::program {

namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Anything beyond ASCII may stand in a name; which of it is no matter here.
bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' || c == '_' ||
         c == '-' || c == '.' || (static_cast<unsigned char>(c) & 0x80U) != 0;
}

}  // namespace

XmlReader::XmlReader(const std::string& bytes, std::string file) : bytes_(bytes), file_(std::move(file)) {
  if (!is_plain_utf8(bytes)) throw InvalidArgument(file_, "is damaged: not UTF-8 text");
  if (at("\xEF\xBB\xBF")) position_ = 3;
}

void XmlReader::fail(const std::string& what) const {
  const auto end = bytes_.begin() + static_cast<std::ptrdiff_t>(std::min(position_, bytes_.size()));
  const auto line = 1 + std::count(bytes_.begin(), end, '\n');
  throw InvalidArgument(file_, "is damaged: " + what + " in line " + std::to_string(line));
}

bool XmlReader::at(const char* text) const { return bytes_.compare(position_, std::strlen(text), text) == 0; }

std::size_t XmlReader::find(const char* text) const {
  const std::size_t found = bytes_.find(text, position_);
  if (found == std::string::npos) fail(std::string("no ") + text + " to what begins");
  return found;
}

void XmlReader::skip_space() {
  while (position_ < bytes_.size() && is_space(bytes_[position_])) ++position_;
}

// <!DOCTYPE svg PUBLIC "..." "..." [...]>
void XmlReader::skip_document_type() {
  char quote = '\0';
  int depth = 0;
  for (std::size_t i = position_; i < bytes_.size(); ++i) {
    const char c = bytes_[i];
    if (quote != '\0') {
      if (c == quote) quote = '\0';
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '[') {
      ++depth;
    } else if (c == ']') {
      --depth;
    } else if (c == '>' && depth == 0) {
      position_ = i + 1;
      return;
    }
  }
  fail("no end to the document type");
}

std::string XmlReader::read_name() {
  const std::size_t begin = position_;
  while (position_ < bytes_.size() && is_name(bytes_[position_])) ++position_;
  if (begin == position_) fail("no name where one belongs");
  return bytes_.substr(begin, position_ - begin);
}

std::string XmlReader::decode(std::size_t begin, std::size_t end) const {
  static const struct {
    const char* name;
    char value;
  } known[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
  std::string text;
  for (std::size_t i = begin; i < end; ++i) {
    if (bytes_[i] != '&') {
      text += bytes_[i];
      continue;
    }
    const std::size_t semicolon = bytes_.find(';', i);
    if (semicolon == std::string::npos || semicolon >= end) fail("an & that begins no entity");
    const std::string name = bytes_.substr(i + 1, semicolon - i - 1);
    if (name.size() > 1 && name[0] == '#') {
      const bool hexadecimal = name[1] == 'x';
      char* rest = nullptr;
      const unsigned long code =
          std::strtoul(name.c_str() + (hexadecimal ? 2 : 1), &rest, hexadecimal ? 16 : 10);
      const bool character = code == '\t' || code == '\n' || code == '\r' ||
                             (code >= 0x20 && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF));
      if (*rest != '\0' || !character) fail("&" + name + "; is no character");
      append_utf8(text, code);
    } else {
      const auto* found = std::find_if(std::begin(known), std::end(known),
                                       [&](const auto& entity) { return name == entity.name; });
      if (found == std::end(known)) fail("the unknown entity &" + name + ";");
      text += found->value;
    }
    i = semicolon;
  }
  return text;
}

XmlToken XmlReader::read_tag() {
  XmlToken token;
  token.kind = XmlToken::Kind::open;
  if (open_.empty() && root_seen_) fail("a second outermost element");
  root_seen_ = true;
  ++position_;
  token.name = read_name();
  for (;;) {
    const std::size_t before = position_;
    skip_space();
    if (at("/>")) {
      position_ += 2;
      token.empty = true;
      return token;
    }
    if (at(">")) {
      ++position_;
      open_.push_back(token.name);
      return token;
    }
    if (position_ == before || position_ >= bytes_.size()) fail("<" + token.name + "> does not end");
    XmlToken::Attribute attribute;
    attribute.name = read_name();
    for (const XmlToken::Attribute& other : token.attributes)
      if (other.name == attribute.name) fail("the attribute " + attribute.name + " is there twice");
    skip_space();
    if (!at("=")) fail("the attribute " + attribute.name + " has no value");
    ++position_;
    skip_space();
    if (!at("\"") && !at("'")) fail("the attribute " + attribute.name + " has no quoted value");
    const char quote[] = {bytes_[position_++], '\0'};
    const std::size_t end = find(quote);
    if (bytes_.find('<', position_) < end) fail("a < in the attribute " + attribute.name);
    attribute.value = decode(position_, end);
    for (char& c : attribute.value)
      if (is_space(c)) c = ' ';
    position_ = end + 1;
    token.attributes.push_back(std::move(attribute));
  }
}

XmlToken XmlReader::read_end() {
  XmlToken token;
  token.kind = XmlToken::Kind::close;
  position_ += 2;
  token.name = read_name();
  skip_space();
  if (!at(">")) fail("</" + token.name + "> does not end");
  if (open_.empty() || open_.back() != token.name) fail("</" + token.name + "> closes nothing");
  open_.pop_back();
  ++position_;
  return token;
}

XmlToken XmlReader::next() {
  for (;;) {
    if (position_ >= bytes_.size()) {
      if (!open_.empty()) fail("<" + open_.back() + "> is not closed: cut off");
      if (!root_seen_) fail("nothing");
      return {};
    }
    if (at("<?")) {
      position_ = find("?>") + 2;
    } else if (at("<!--")) {
      position_ = find("-->") + 3;
    } else if (at("<![CDATA[")) {
      position_ += 9;
      XmlToken token;
      token.kind = XmlToken::Kind::text;
      const std::size_t end = find("]]>");
      token.text = bytes_.substr(position_, end - position_);
      position_ = end + 3;
      return token;
    } else if (at("<!")) {
      skip_document_type();
    } else if (at("</")) {
      return read_end();
    } else if (at("<")) {
      return read_tag();
    } else {
      XmlToken token;
      token.kind = XmlToken::Kind::text;
      const std::size_t end = std::min(bytes_.find('<', position_), bytes_.size());
      token.text = decode(position_, end);
      if (open_.empty() && !std::all_of(token.text.begin(), token.text.end(), is_space))
        fail("text outside of any element");
      position_ = end;
      if (!open_.empty()) return token;
    }
  }
}

}  // namespace softstep::program
