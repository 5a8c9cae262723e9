#include "report/html.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "report/style.h"

namespace softstep::program {

namespace {

constexpr const char* replacement = "\xEF\xBF\xBD";
constexpr const char* none = "–";

}  // namespace

std::string escape(const std::string& text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '&')
      result += "&amp;";
    else if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else if (c == '"')
      result += "&quot;";
    else if ((byte < 0x20 && c != '\t' && c != '\n' && c != '\r') || byte == 0x7F)
      result += replacement;
    else
      result += c;
  }
  return result;
}

std::string number_html(double value, int digits) {
  if (std::isnan(value)) return none;
  if (std::isinf(value)) return value > 0 ? "∞" : "−∞";
  std::string text = rounded(value, digits);
  const bool negative = text[0] == '-';
  if (negative) text.erase(0, 1);
  const std::size_t e = text.find('e');
  if (e != std::string::npos) {
    const int exponent = std::stoi(text.substr(e + 1));
    const std::string power = (exponent < 0 ? "−" : "") + std::to_string(std::abs(exponent));
    text.replace(e, std::string::npos, " × 10<sup>" + power + "</sup>");
  }
  return (negative ? "−" : "") + text;
}

std::string value_html(const Json& value) {
  if (value.is_null()) return none;
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  // Counts in full; anything else need not be longer than what can be read.
  if (value.is_number_integer()) return escape(value.dump());
  if (value.is_number()) {
    const double number = value.get<double>();
    return std::floor(number) == number && std::abs(number) < 1e7 ? number_html(number, 7)
                                                                  : number_html(number, 6);
  }
  if (value.is_string()) return escape(value.get<std::string>());
  std::string text;
  if (value.is_array())
    for (const Json& item : value) text += (text.empty() ? "" : ", ") + value_html(item);
  else
    for (const auto& [key, item] : value.items())
      text += (text.empty() ? "" : ", ") + escape(key) + " " + value_html(item);
  return text.empty() ? none : text;
}

Cell text_cell(const std::string& text) { return {escape(text), false}; }
Cell whole_cell(const std::string& text) {
  return {"<span class=\"whole\">" + escape(text) + "</span>", false};
}
Cell number_cell(double value, int digits) { return {number_html(value, digits), true}; }
Cell value_cell(const Json& value) { return {value_html(value), value.is_number() || value.is_null()}; }

std::string table_html(const HtmlTable& table) {
  std::vector<bool> number(table.head.size());
  for (std::size_t c = 0; c < number.size(); ++c) {
    std::size_t count = 0;
    for (const std::vector<Cell>& row : table.rows) count += c < row.size() && row[c].number ? 1 : 0;
    number[c] = 2 * count > table.rows.size();
  }
  // The box can be scrolled with the keyboard, so it takes the focus and has a name.
  std::string html = fmt::format(
      "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{0}\">\n<table>\n"
      "<caption>{0}</caption>\n<thead><tr>",
      escape(table.caption));
  const auto kind = [&](std::size_t c) { return number[c] ? " class=\"number\"" : ""; };
  for (std::size_t c = 0; c < table.head.size(); ++c)
    html += fmt::format("<th scope=\"col\"{}>{}</th>", kind(c), table.head[c]);
  html += "</tr></thead>\n<tbody>\n";
  for (const std::vector<Cell>& row : table.rows) {
    html += "<tr>";
    for (std::size_t c = 0; c < table.head.size(); ++c) {
      const std::string& cell = row.at(c).html;
      html += c == 0 ? fmt::format("<th scope=\"row\"{}>{}</th>", kind(c), cell)
                     : fmt::format("<td{}>{}</td>", kind(c), cell);
    }
    html += "</tr>\n";
  }
  return html + "</tbody>\n</table>\n</div>\n";
}

namespace {

void add_settings(HtmlTable& table, const std::string& path, const Json& value) {
  if (!value.is_object() || value.empty()) {
    table.rows.push_back({text_cell(path), {value_html(value), false}});
    return;
  }
  for (const auto& [key, item] : value.items())
    add_settings(table, path.empty() ? key : path + "." + key, item);
}

}  // namespace

std::string settings_table(const std::string& caption, const Json& object) {
  HtmlTable table = {caption, {"setting", "value"}, {}};
  if (!object.empty()) add_settings(table, "", object);
  return table_html(table);
}

std::string figure_html(const std::string& picture, const std::string& title, const std::string& caption) {
  return fmt::format("<figure>\n{}\n<figcaption><strong>{}</strong>{}{}</figcaption>\n</figure>\n", picture,
                     escape(title), caption.empty() ? "" : " ", escape(caption));
}

std::string page_html(const std::string& title, const std::string& body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "img-src data:\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      "<meta name=\"color-scheme\" content=\"light dark\"/>\n"
      "<link rel=\"icon\" "
      "href=\"data:,\"/>\n<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n"
      "{}</main>\n</body>\n</html>\n",
      escape(title), page_style, body);
}

}  // namespace softstep::program
