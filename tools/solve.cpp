// softstep solve: the max-margin direction of a data set, with its certificate.

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "commands.h"
#include "interrupt.h"
#include "job.h"
#include "max_margin_progress.h"
#include "options.h"
#include "output.h"
#include "softstep/error.h"
#include "softstep/max_margin.h"

namespace softstep::program {

namespace {

struct Options {
  DataOptions data;
  std::string out, json, selected, norm = to_string(MatrixNorm::frobenius),
                                   sum_order = to_string(SumOrder::samples);
  double tolerance = MaxMarginOptions{}.tolerance, p = 0.0;
  CLI::Option *p_option = nullptr, *tolerance_option = nullptr;
  std::int64_t threads = 1, max_sweeps = static_cast<std::int64_t>(MaxMarginOptions{}.max_sweeps);
};

int exit_code(MaxMarginStatus status) {
  if (status == MaxMarginStatus::interrupted) return interrupt_exit_code();
  const bool solved = status == MaxMarginStatus::optimal || status == MaxMarginStatus::no_constraints;
  return solved ? exit_success : exit_ending;
}

// How many of something the ranks before this one have, and all of them.
struct Place {
  std::size_t before = 0, of_all = 0;
};
Place place_of(std::size_t mine) {
  Ranks* const ranks = ranks_of_job().get();
  const std::vector<std::size_t> all = of_all_ranks(ranks, mine);
  const std::size_t rank = ranks == nullptr ? 0 : ranks->rank();
  return {std::accumulate(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(rank), std::size_t{0}),
          std::accumulate(all.begin(), all.end(), std::size_t{0})};
}

// The tokens that a file chooses: tensor `selected` [n], or those that its `weights` attend to. Over ranks a
// tensor has an entry for each sample, or query, of all, and each takes those of its own.
template <class T>
std::vector<std::size_t> read_selected(const std::string& file, const BatchView<T>& batch,
                                       const Place& samples, const Place& queries) {
  std::vector<std::size_t> selected = load_selected(file);
  if (selected.empty()) return selected_tokens(batch, load_weights(file, batch.dim));
  const bool by_query = selected.size() == queries.of_all && queries.of_all != samples.of_all;
  const Place& place = by_query ? queries : samples;
  const std::size_t mine = by_query ? batch.total_queries() : batch.n_samples;
  if (mine == place.of_all) return selected;  // one rank; the solver says what is wrong
  if (selected.size() != place.of_all)
    throw InvalidArgument(
        file,
        fmt::format(
            "tensor selected has {} entries (need one for each of the {} samples{})", selected.size(),
            samples.of_all,
            queries.of_all == samples.of_all ? "" : fmt::format(", or of their {} queries", queries.of_all)));
  const auto first = selected.begin() + static_cast<std::ptrdiff_t>(place.before);
  return std::vector<std::size_t>(first, first + static_cast<std::ptrdiff_t>(mine));
}

template <class T>
MaxMarginResult solve_batch(const BatchView<T>& batch, const NormMaxMarginOptions& solver,
                            ProgressLine& line) {
  if (solver.norm == MatrixNorm::frobenius) {
    MaxMarginOptions frobenius;
    frobenius.tolerance = solver.tolerance;
    frobenius.max_sweeps = solver.max_sweeps;
    frobenius.n_threads = solver.n_threads;
    frobenius.selected = solver.selected;
    frobenius.ranks = ranks_of_job();
    return solve_with_progress(batch, frobenius, line);
  }
  NormMaxMarginOptions with_progress = solver;
  with_progress.progress = solver_progress(line);
  return solve_max_margin_in_norm(batch, with_progress);
}

// In the type the file stores, so that a file of float32 or float64 is used where it lies.
template <class T>
int solve_as(const Options& options, NormMaxMarginOptions solver) {
  // Chosen tokens need no decoder.
  const bool choose = !options.selected.empty();
  const std::shared_ptr<Ranks> ranks = ranks_of_job();
  std::optional<Dataset<T>> loaded;
  all_or_none(ranks.get(), [&] {
    loaded = choose && options.data.decoder.empty()
                 ? with_queries(load_samples<T>(options.data.file), options.data)
                 : load_data<T>(options.data);
  });
  const Dataset<T>& data = *loaded;
  const Place samples = place_of(data.view().n_samples), queries = place_of(data.view().total_queries());
  all_or_none(ranks.get(), [&] {
    if (choose) solver.selected = read_selected(options.selected, data.view(), samples, queries);
  });
  const auto start = std::chrono::steady_clock::now();
  MaxMarginResult result;
  {
    ProgressLine line;
    result = solve_batch(data.view(), solver, line);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  if (!is_first_rank()) return exit_code(result.status);
  const std::size_t dim = data.view().dim;
  const bool has_weights = result.status != MaxMarginStatus::not_separable &&
                           result.weights.size() == dim * dim && result.norm >= 0.0;
  bool written = false;
  if (!options.out.empty() && has_weights)
    try_output([&] {
      save_weights(options.out, result.weights, dim);
      written = true;
    });

  const std::string status = to_string(result.status);
  Json json = Json::object();
  json["status"] = status;
  json["norm"] = number(result.norm);
  json["norm_kind"] = options.norm;
  json["p"] = solver.norm == MatrixNorm::l_p ? Json(solver.p) : Json(nullptr);
  json["margin"] = number(result.margin);
  json["duality_gap"] = number(result.duality_gap);
  json["kkt_residual"] = number(result.kkt_residual);
  json["support"] = result.n_support;
  json["sweeps"] = result.sweeps;
  json["seconds"] = number(seconds);
  json["constraints"] = result.n_constraints;
  json["unique_optimal_tokens"] = result.unique_optimal_tokens;
  json["certificate"] = number(result.certificate);
  json["tolerance"] = number(solver.tolerance);
  json["threads"] = solver.n_threads;
  json["data"] = options.data.file;
  json["queries"] = queries.of_all;
  if (ranks != nullptr) {
    json["ranks"] = ranks->size();
    json["sum_order"] = to_string(ranks->sum_order());
  }
  json["selected"] = choose ? Json(options.selected) : Json(nullptr);
  json["written"] = written ? Json(options.out) : Json(nullptr);

  std::vector<std::pair<std::string, std::string>> rows = {{"status", status}};
  if (result.status == MaxMarginStatus::not_separable || result.status == MaxMarginStatus::undecided) {
    const bool proven = result.status == MaxMarginStatus::not_separable;
    rows.emplace_back("certificate",
                      rounded(result.certificate, 3) + (proven ? " (an exact one is proven to lie beside it)"
                                                               : " (bounds the margin, and proves no more)"));
  } else {
    const std::string kind = solver.norm == MatrixNorm::l_p ? "l_" + shortest(solver.p) : options.norm;
    rows.emplace_back("norm of W_mm", rounded(result.norm, 10) + " (" + kind + ")");
    rows.emplace_back("margin", rounded(result.margin, 10));
    rows.emplace_back("duality gap", rounded(result.duality_gap, 3) + " (relative)");
    rows.emplace_back("KKT residual", rounded(result.kkt_residual, 3));
    rows.emplace_back("support", fmt::format("{} of {} constraints", result.n_support, result.n_constraints));
  }
  rows.emplace_back("sweeps", std::to_string(result.sweeps));
  rows.emplace_back("seconds", rounded(seconds, 4));
  if (written) rows.emplace_back("weights", options.out);
  publish(listing(rows), json, options.json);
  if (!result.unique_optimal_tokens)
    note("the optimal tokens are not unique: a sample has two tokens of the same best score");
  if (!options.out.empty() && !has_weights)
    note(options.out + " was not written: there are no weights (" + status + ")");
  return exit_code(result.status);
}

NormMaxMarginOptions check_options(const Options& options) {
  NormMaxMarginOptions solver;
  solver.norm = parse_matrix_norm(options.norm);
  const bool is_lp = solver.norm == MatrixNorm::l_p, has_p = options.p_option->count() != 0;
  if (is_lp && !has_p) throw InvalidArgument("--p", "missing (--norm lp needs one)");
  if (!is_lp && has_p)
    throw InvalidArgument("--p", "only goes with --norm lp (here it is " + options.norm + ")");
  if (is_lp) solver.p = options.p;
  if (solver.norm == MatrixNorm::frobenius || options.tolerance_option->count() != 0)
    solver.tolerance = options.tolerance;
  const std::shared_ptr<Ranks> ranks = ranks_of_job();
  if (solver.norm != MatrixNorm::frobenius && ranks != nullptr && ranks->size() > 1)
    throw InvalidArgument("--norm", options.norm + " does not go with several ranks (frobenius does)");
  solver.max_sweeps = static_cast<std::size_t>(options.max_sweeps);
  solver.n_threads = options.threads == 0 ? threads_of_rank() : static_cast<int>(options.threads);
  solver.validate();
  Outputs outputs;
  outputs.add_data("--data", options.data.file);
  outputs.add_input("--decoder", options.data.decoder);
  outputs.add_input("--selected", options.selected);
  outputs.add("--out", options.out);
  if (options.json != "-") outputs.add("--json", options.json);
  return solver;
}

int run_solve(const Options& options) {
  NormMaxMarginOptions solver;
  bool is_f64 = false;
  all_or_none(ranks_of_job().get(), [&] {
    solver = check_options(options);
    is_f64 = stored_type(options.data.file) == StoredType::f64;
  });
  set_sum_order(options.sum_order);
  catch_interrupts();
  return is_f64 ? solve_as<double>(options, solver) : solve_as<float>(options, solver);
}

}  // namespace

Command add_solve(CLI::App& program) {
  const auto options = std::make_shared<Options>();
  CLI::App* app = program.add_subcommand("solve", "Solve the max-margin problem (W-SVM) of a data set");
  add_data(*app, options->data)->required();
  add_path(*app, "--out", options->out, "Write W_mm, tensor `weights` [d,d]");
  options->tolerance_option = add_real(
      *app, "--tolerance", options->tolerance,
      "Relative duality gap and KKT residual to reach; lp and nuclear: the gap alone, 1e-8 unless given");
  add_word(*app, "--norm", options->norm,
           {to_string(MatrixNorm::frobenius), to_string(MatrixNorm::l_p), to_string(MatrixNorm::nuclear)},
           "Norm to minimise; lp and nuclear for small problems");
  options->p_option = add_real(*app, "--p", options->p, "p of --norm lp, above 1");
  options->p_option->default_str("");
  add_path(*app, "--selected", options->selected,
           "Solve for the tokens of this file in place of the optimal ones: tensor `selected` [n], or one "
           "for each query, or "
           "`weights` [d,d], which select the tokens they attend to");
  add_whole(*app, "--max-sweeps", options->max_sweeps, 1, 1000000000000, "Give up after this many sweeps");
  add_threads(*app, options->threads, "Threads; the result has the same bits for any number");
  add_sum_order(*app, options->sum_order);
  add_json(*app, options->json);
  app->footer(
      "Examples:\n"
      "  softstep solve --data data.safetensors\n"
      "  softstep solve --data data.safetensors --tolerance 1e-8 --threads 0 --out W.safetensors \\\n"
      "      --json solve.json\n"
      "  softstep solve --data data.safetensors --norm nuclear --selected trained.safetensors\n"
      "  softstep solve --data data.safetensors --norm lp --p 1.75 --out W.safetensors\n");
  return {app, [options] { return run_solve(*options); },
          "the data are not separable, or the sweeps or the digits of double did not reach the tolerance"};
}

}  // namespace softstep::program
