#include "report/sections.h"

#include "report/html.h"
#include "report/picture.h"

namespace softstep::program {

void Report::add_table(const std::string& html) {
  body += html;
  ++n_tables;
}

void Report::add_figure(const std::string& file, const std::string& figure_title, const std::string& caption,
                        const std::string& label) {
  files.push_back(file);
  ++n_figures;
  body += figure_html(picture_html(read_file(file), file, label), figure_title, caption);
}

}  // namespace softstep::program
