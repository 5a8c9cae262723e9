#include "report/sections.h"

#include <filesystem>

#include "report/html.h"
#include "report/picture.h"
#include "softstep/error.h"

namespace softstep::program {

void Report::add_table(const std::string& html) {
  body += html;
  ++n_tables;
}

void Report::add_figure(const std::string& file, const std::string& figure_title, const std::string& caption,
                        const std::string& label) {
  std::error_code error;
  const auto status = std::filesystem::status(file, error);
  if (status.type() == std::filesystem::file_type::not_found)
    throw InvalidArgument(file,
                          "is not there (tools/plot of the sources, or share/softstep/plot of what is "
                          "installed, draws the figures of that folder)");
  files.push_back(file);
  ++n_figures;
  body += figure_html(picture_html(read_file(file), file, label), figure_title, caption);
}

}  // namespace softstep::program
