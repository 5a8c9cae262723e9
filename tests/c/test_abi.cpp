// The binary face of C: functions, sizes and offsets as they were announced in abi.txt. A change that
// programs would have to be compiled anew for raises SOFTSTEP_C_ABI, and then abi.txt is written anew:
// SOFTSTEP_WRITE_ABI=1 softstep_tests "[c]".

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>

#include "softstep/c/softstep.h"

namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Every declaration of a function in a header, its white space made plain.
std::string functions(const char* header = "/core/include/softstep/c/softstep.h") {
  std::string text = text_of(SOFTSTEP_SOURCE_DIR + std::string(header));
  text = std::regex_replace(text, std::regex("/\\*[^*]*\\*+([^/*][^*]*\\*+)*/"), "");
  text = std::regex_replace(text, std::regex("\\s+"), " ");
  text = std::regex_replace(text, std::regex("\\( "), "(");
  std::string out;
  const std::regex declaration("SOFTSTEP_EXPORT ([^;]*);");
  for (std::sregex_iterator found(text.begin(), text.end(), declaration), end; found != end; ++found)
    out += (*found)[1].str() + "\n";
  return out;
}

#define SIZE(type) out << #type << " " << sizeof(type) << "\n"
#define FIELD(type, field) out << "  " << #field << " " << offsetof(type, field) << "\n"

std::string sizes() {
  std::ostringstream out;
  SIZE(softstep_scaled);
  SIZE(softstep_batch);
  FIELD(softstep_batch, type);
  FIELD(softstep_batch, tokens);
  FIELD(softstep_batch, offsets);
  FIELD(softstep_batch, query_stride);
  FIELD(softstep_batch, n_query_weights);
  SIZE(softstep_generate_options);
  FIELD(softstep_generate_options, equal_scores);
  SIZE(softstep_own_loss);
  FIELD(softstep_own_loss, is_decreasing);
  SIZE(softstep_attention_options);
  FIELD(softstep_attention_options, optimal_loss_value);
  FIELD(softstep_attention_options, isa);
  FIELD(softstep_attention_options, token_storage);
  FIELD(softstep_attention_options, ranks);
  SIZE(softstep_own_ranks);
  FIELD(softstep_own_ranks, gather);
  FIELD(softstep_own_ranks, destroy);
  FIELD(softstep_own_ranks, sum_order);
  FIELD(softstep_own_ranks, sum);
  FIELD(softstep_own_ranks, begin_sum);
  SIZE(softstep_linear_options);
  FIELD(softstep_linear_options, isa);
  SIZE(softstep_next_token_data);
  FIELD(softstep_next_token_data, labels);
  SIZE(softstep_multiclass_data);
  FIELD(softstep_multiclass_data, classes);
  SIZE(softstep_relu_options);
  FIELD(softstep_relu_options, optimal_loss_value);
  FIELD(softstep_relu_options, isa);
  SIZE(softstep_gaussian_clusters);
  FIELD(softstep_gaussian_clusters, sigma);
  SIZE(softstep_in_context_options);
  FIELD(softstep_in_context_options, type);
  FIELD(softstep_in_context_options, isa);
  SIZE(softstep_sentence_data);
  FIELD(softstep_sentence_data, labels);
  SIZE(softstep_vocabulary_options);
  FIELD(softstep_vocabulary_options, type);
  FIELD(softstep_vocabulary_options, isa);
  SIZE(softstep_multitask_regression);
  FIELD(softstep_multitask_regression, noise);
  SIZE(softstep_induction_data);
  FIELD(softstep_induction_data, targets);
  SIZE(softstep_variational_options);
  FIELD(softstep_variational_options, isa);
  SIZE(softstep_diagonal_options);
  FIELD(softstep_diagonal_options, isa);
  FIELD(softstep_diagonal_options, n_threads);
  SIZE(softstep_evaluation);
  FIELD(softstep_evaluation, accuracy);
  SIZE(softstep_log_gap_result);
  FIELD(softstep_log_gap_result, gap);
  SIZE(softstep_plain_loss_result);
  FIELD(softstep_plain_loss_result, gradient_underflows);
  SIZE(softstep_gradient_check_options);
  FIELD(softstep_gradient_check_options, n_samples);
  SIZE(softstep_gradient_check_result);
  FIELD(softstep_gradient_check_result, gradient_norm);
  FIELD(softstep_gradient_check_result, worst_difference);
  SIZE(softstep_step_context);
  FIELD(softstep_step_context, weights);
  SIZE(softstep_step);
  FIELD(softstep_step, length);
  SIZE(softstep_own_rule);
  FIELD(softstep_own_rule, propose);
  SIZE(softstep_trace_row);
  FIELD(softstep_trace_row, seconds);
  SIZE(softstep_train_options);
  FIELD(softstep_train_options, max_seconds);
  FIELD(softstep_train_options, progress);
  FIELD(softstep_train_options, checkpoint_failed);
  SIZE(softstep_train_summary);
  FIELD(softstep_train_summary, last);
  SIZE(softstep_max_margin_options);
  FIELD(softstep_max_margin_options, progress);
  FIELD(softstep_max_margin_options, n_selected);
  FIELD(softstep_max_margin_options, multipliers);
  FIELD(softstep_max_margin_options, equality_multipliers);
  FIELD(softstep_max_margin_options, ranks);
  SIZE(softstep_max_margin_result);
  FIELD(softstep_max_margin_result, sweeps);
  FIELD(softstep_max_margin_result, equality_rank);
  SIZE(softstep_sparsity);
  FIELD(softstep_sparsity, fraction_below);
  SIZE(softstep_heads_array);
  FIELD(softstep_heads_array, strided);
  SIZE(softstep_heads_options);
  FIELD(softstep_heads_options, soft_cap);
  FIELD(softstep_heads_options, isa);
  SIZE(softstep_linear_heads_options);
  FIELD(softstep_linear_heads_options, gates);
  FIELD(softstep_linear_heads_options, before);
  FIELD(softstep_linear_heads_options, isa);
  return out.str();
}

}  // namespace

TEST_CASE("The program in C, for sanitizers and valgrind, calls every function", "[c]") {
  std::string program;
  for (const auto& entry : std::filesystem::directory_iterator(SOFTSTEP_SOURCE_DIR "/tests/c/program"))
    if (entry.path().extension() == ".c") program += text_of(entry.path().string());
  const std::string declared = functions();
  const std::regex name("(softstep_\\w+)\\(");
  std::size_t n_functions = 0;
  for (std::sregex_iterator found(declared.begin(), declared.end(), name), end; found != end; ++found) {
    ++n_functions;
    CAPTURE((*found)[1].str());
    CHECK(program.find((*found)[0].str()) != std::string::npos);
  }
  CHECK(n_functions > 40);
}

TEST_CASE("The binary face of C is the announced one", "[c]") {
  if (sizeof(void*) != 8) SKIP("abi.txt is that of 64 bits");
  const std::string path = SOFTSTEP_SOURCE_DIR "/tests/c/abi.txt";
  const std::string now = "abi " + std::to_string(SOFTSTEP_C_ABI) + "\n" + functions() +
                          functions("/mpi/include/softstep/c/softstep_mpi.h") + sizes();
  if (std::getenv("SOFTSTEP_WRITE_ABI") != nullptr) std::ofstream(path) << now;
  CHECK(text_of(path) == now);
}
