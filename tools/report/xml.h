#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace softstep::program {

/// A piece of an XML file. Names are as written, texts and values decoded (no entities are left in them).
struct XmlToken {
  enum class Kind { open, close, text, end };
  struct Attribute {
    std::string name, value;
  };
  Kind kind = Kind::end;
  std::string name;  ///< of an element
  std::vector<Attribute> attributes;
  bool empty = false;  ///< open: written as <name/>, no close follows
  std::string text;
};

/// Reads what SVG files hold, one token after the other: prolog, document type and comments are passed over, CDATA is text.
/// Throws InvalidArgument naming the file and the line for anything that is not well-formed UTF-8 XML: a file
/// that was cut off must not be shown as if it were whole.
class XmlReader {
 public:
  XmlReader(const std::string& bytes, std::string file);
  XmlToken next();

 private:
  [[noreturn]] void fail(const std::string& what) const;
  bool at(const char* text) const;
  std::size_t find(const char* text) const;
  void skip_space();
  void skip_document_type();
  std::string read_name();
  std::string decode(std::size_t begin, std::size_t end) const;
  XmlToken read_tag();
  XmlToken read_end();

  const std::string& bytes_;
  std::string file_;
  std::size_t position_ = 0;
  std::vector<std::string> open_;  ///< elements not closed yet
  bool root_seen_ = false;
};

/// Whether the bytes are UTF-8 without control characters other than tab and line breaks.
bool is_plain_utf8(const std::string& bytes);

/// Appends a code point as UTF-8.
void append_utf8(std::string& text, unsigned long code);

}  // namespace softstep::program
