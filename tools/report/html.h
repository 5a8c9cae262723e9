#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "output.h"

namespace softstep::program {

/// UTF-8 text as it may stand between tags and in quoted attributes. Control characters become U+FFFD.
std::string escape(const std::string& text);

/// A number for people, `digits` significant ones: 0.001234, 1.234 × 10 to the -9. "–" for NaN.
std::string number_html(double value, int digits = 4);

/// A value of a JSON file: texts escaped, numbers for people, lists joined by commas, "–" for null.
std::string value_html(const Json& value);

struct Cell {
  std::string html;
  bool number = false;  ///< aligned to the right
};
Cell text_cell(const std::string& text);
Cell whole_cell(const std::string& text);  ///< a text that is not to be broken into lines on a screen
Cell number_cell(double value, int digits = 4);
Cell value_cell(const Json& value);

struct HtmlTable {
  std::string caption;            ///< plain text
  std::vector<std::string> head;  ///< HTML
  std::vector<std::vector<Cell>> rows;
};

/// The table in a box of its own, which scrolls where the page is too narrow. The first column heads its row.
/// A column is aligned as most of its cells are.
std::string table_html(const HtmlTable& table);

/// Names and values, those of inner objects by their path: "data.samples".
std::string settings_table(const std::string& caption, const Json& object);

/// A picture with its title and caption. `picture` is what picture_html() gives.
std::string figure_html(const std::string& picture, const std::string& title, const std::string& caption);

/// The whole page. Nothing in it is fetched from anywhere, and it forbids the browser to fetch anything.
std::string page_html(const std::string& title, const std::string& body);

}  // namespace softstep::program
