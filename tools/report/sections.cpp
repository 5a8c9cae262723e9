#include "report/sections.h"

#include "report/html.h"
#include "report/svg.h"

namespace softstep::program {

void Report::add_table(const std::string& html) {
  body += html;
  ++n_tables;
}

void Report::add_figure(const std::string& file, const std::string& figure_title, const std::string& caption,
                        const std::string& label) {
  files.push_back(file);
  const std::string prefix = "f" + std::to_string(++n_figures);
  body += figure_html(inline_svg(read_file(file), file, prefix, label), figure_title, caption);
}

}  // namespace softstep::program
