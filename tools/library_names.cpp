#include "library_names.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cctype>

#include "softstep/error.h"

namespace softstep::program {

namespace {

// Every option that sets a field of another name. A field may stand in several rows: commands differ.
const struct {
  const char* field;
  const char* option;
} rows[] = {
    {"n_threads", "--threads"},
    {"n_steps", "--steps"},
    {"n_samples", "--samples"},
    {"n_tokens", "--tokens"},
    {"dim", "--dim"},
    {"generator", "--generator"},
    {"seed", "--seed"},
    {"signal", "--signal"},
    {"noise", "--noise"},
    {"loss", "--loss"},
    {"optimal_loss", "--lstar"},
    {"optimal_loss_value", "--lstar-value"},
    {"token_storage", "--token-storage"},
    {"isa", "--isa"},
    {"master_weights", "--master"},
    {"form", "--form"},
    {"trace_rows_per_decade", "--trace-rows-per-decade"},
    {"stop_one_minus_cos", "--stop-one-minus-cos"},
    {"reference", "--reference"},
    {"references", "--reference"},
    {"rule", "--rule"},
    {"rule", "--rules"},
    {"rules", "--rules"},
    {"normalization", "--normalization"},
    {"batch_size", "--batch-size"},
    {"rank", "--factored"},
    {"key_query", "--prompt"},
    {"std", "--init"},
    {"state", "--resume"},
    {"norm", "--norm"},
    {"p", "--p"},
    {"tolerance", "--tolerance"},
    {"max_sweeps", "--max-sweeps"},
    {"selected", "--selected"},
    {"resident_bytes", "--memory"},
    {"n_shards", "--shards"},
    {"path", "--out"},
};

std::string option_of(const std::string& field, const CLI::App& command) {
  for (const auto& row : rows)
    if (field == row.field && command.get_option_no_throw(row.option) != nullptr) return row.option;
  // The options of step rules are called as the library calls them; they may also stand in --rule.
  const CLI::Option* own =
      field.empty() || field[0] == '-' ? nullptr : command.get_option_no_throw("--" + field);
  return own != nullptr && own->count() != 0 ? own->get_name() : field;
}

}  // namespace

std::string with_option_names(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    // Words as they stand in names of files too, so that a part of such a name is not replaced.
    std::size_t end = i;
    const auto in_word = [&](std::size_t k) {
      const auto is_alnum = [&](std::size_t at) {
        return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at])) != 0;
      };
      if (text[k] == '.') return is_alnum(k + 1);  // not the end of a sentence
      return is_alnum(k) || text[k] == '_' || text[k] == '-' || text[k] == '/';
    };
    while (end < text.size() && in_word(end)) ++end;
    std::string word = text.substr(i, std::max<std::size_t>(end - i, 1));
    for (const auto& row : rows)
      if (word == row.field && word.find('_') != std::string::npos) {
        word = row.option;
        break;
      }
    result += word;
    i = std::max(end, i + 1);
  }
  return result;
}

std::string message_of(const InvalidArgument& error, const CLI::App& command) {
  const std::string whole = error.what();
  const std::string problem = whole.substr(std::min(error.argument().size(), whole.size()));
  return option_of(error.argument(), command) + with_option_names(problem);
}

}  // namespace softstep::program
