#include "softstep/max_margin.h"

#include <algorithm>
#include <span>

#include "core/c/arrays.h"
#include "core/c/handles.h"
#include "core/c/ranks.h"

namespace softstep::c {
namespace {

// The fields that the options of all solvers have.
template <class Options>
Options options_of(const softstep_max_margin_options* given, std::size_t n_samples) {
  const softstep_max_margin_options in = read(given, "options");
  Options out;
  if (in.tolerance != 0.0) out.tolerance = in.tolerance;
  if (in.max_sweeps != 0) out.max_sweeps = in.max_sweeps;
  out.n_threads = threads(in.n_threads, "options.n_threads");
  if (in.selected != nullptr)
    out.selected = copied(in.selected, in.n_selected != 0 ? in.n_selected : n_samples, "options.selected");
  if (in.progress != nullptr)
    out.progress = [progress = in.progress, user = in.user](std::size_t sweeps, double gap, double residual) {
      return progress(user, sweeps, gap, residual) == 0;
    };
  if constexpr (requires { out.ranks; })
    out.ranks = ranks_of(in.ranks, "options.ranks");
  else if (in.ranks != nullptr)
    throw NotSupported("options.ranks", "go with softstep_solve_max_margin alone (need null)");
  return out;
}
MaxMarginOptions options_of(const softstep_max_margin_options* given, std::size_t n_samples) {
  return options_of<MaxMarginOptions>(given, n_samples);
}

softstep_max_margin_result result_of(const MaxMarginResult& found) {
  softstep_max_margin_result out{};
  out.status = to_string(found.status);
  out.norm = found.norm;
  out.margin = found.margin;
  out.duality_gap = found.duality_gap;
  out.kkt_residual = found.kkt_residual;
  out.certificate = found.certificate;
  out.n_constraints = found.n_constraints;
  out.n_support = found.n_support;
  out.sweeps = found.sweeps;
  return out;
}
softstep_max_margin_result result_of(const TiedMaxMarginResult& found) {
  softstep_max_margin_result out = result_of(found.solution);
  out.equality_residual = found.equality_residual;
  out.stationarity_residual = found.stationarity_residual;
  out.n_equalities = found.n_equalities;
  out.equality_rank = found.equality_rank;
  return out;
}
const MaxMarginResult& solution_of(const MaxMarginResult& found) { return found; }
const MaxMarginResult& solution_of(const TiedMaxMarginResult& found) { return found.solution; }
std::span<const double> equality_multipliers_of(const MaxMarginResult&) { return {}; }
std::span<const double> equality_multipliers_of(const TiedMaxMarginResult& found) {
  return found.equality_multipliers;
}

// Without any, an array of the caller's is all 0.
void copy_multipliers(std::span<const double> from, double* to, std::size_t n) {
  if (to == nullptr) return;
  std::fill(std::copy(from.begin(), from.end(), to), to + n, 0.0);
}

// Solves, and hands over what is wanted of the solution.
template <class Solve>
softstep_status solved(const softstep_max_margin_options* options, double* weights,
                       softstep_max_margin_result* result, Solve solve) {
  return guarded([&] {
    check_writable(result, "result");
    const softstep_max_margin_options wanted = read(options, "options");
    const auto found = solve();
    const MaxMarginResult& solution = solution_of(found);
    const std::span<const double> multipliers = solution.multipliers,
                                  of_equalities = equality_multipliers_of(found);
    const bool some = wanted.multipliers != nullptr || wanted.equality_multipliers != nullptr;
    if (const std::size_t n = std::max(multipliers.size(), of_equalities.size());
        some && n != 0 && n != wanted.n_multipliers)
      throw InvalidArgument("options.n_multipliers", std::to_string(wanted.n_multipliers) +
                                                         " (the problem has " + std::to_string(n) + ")");
    if (weights != nullptr) std::copy(solution.weights.begin(), solution.weights.end(), weights);
    copy_multipliers(multipliers, wanted.multipliers, wanted.n_multipliers);
    copy_multipliers(of_equalities, wanted.equality_multipliers, wanted.n_multipliers);
    write(result_of(found), result, "result");
  });
}

// n lists, list i from entry first[i] to first[i + 1] - 1.
std::vector<std::vector<std::size_t>> lists_of(const std::size_t* first, const std::size_t* entries,
                                               std::size_t n, const char* name, const char* name_of_n) {
  required(first, "first");
  required(entries, name);
  if (n > static_cast<std::size_t>(PTRDIFF_MAX) / sizeof(std::vector<std::size_t>))
    throw InvalidArgument(name_of_n, std::to_string(n) + " is too large");
  if (first[0] != 0) throw InvalidArgument("first", "starts with " + std::to_string(first[0]) + " (need 0)");
  std::vector<std::vector<std::size_t>> out(n);
  for (std::size_t i = 0; i < n; ++i) {
    if (first[i + 1] < first[i])
      throw InvalidArgument("first", "entry " + std::to_string(i + 1) + " is below the one before");
    if (first[i + 1] > static_cast<std::size_t>(PTRDIFF_MAX) / sizeof(std::size_t))
      throw InvalidArgument("first", "entry " + std::to_string(i + 1) + ": " + std::to_string(first[i + 1]) +
                                         " (more entries than fit into memory)");
    out[i].assign(entries + first[i], entries + first[i + 1]);
  }
  return out;
}

// body(rows) with [n][dim] numbers of the type.
template <class Body>
auto with_rows(softstep_type type, const void* rows, const char* name, std::size_t n, std::size_t dim,
               Body body) {
  required(rows, name);
  if (dim != 0 && n > static_cast<std::size_t>(-1) / sizeof(double) / dim)
    throw InvalidArgument("n", std::to_string(n) + " times " + std::to_string(dim) + " is too large");
  if (type == SOFTSTEP_F64) return body(std::span<const double>(static_cast<const double*>(rows), n * dim));
  if (type == SOFTSTEP_F32) return body(std::span<const float>(static_cast<const float*>(rows), n * dim));
  throw InvalidArgument("type", std::to_string(type) + " (need SOFTSTEP_F64 or SOFTSTEP_F32)");
}

}  // namespace
}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_solve_max_margin(const softstep_batch* batch,
                                          const softstep_max_margin_options* options, double* weights,
                                          softstep_max_margin_result* result) {
  return solved(options, weights, result, [&] {
    return with_plain_batch(
        batch, [&](const auto& view) { return solve_max_margin(view, options_of(options, view.n_samples)); });
  });
}

softstep_status softstep_solve_linear_max_margin(softstep_type type, const void* points, const int8_t* labels,
                                                 size_t n, size_t dim,
                                                 const softstep_max_margin_options* options, double* weights,
                                                 softstep_max_margin_result* result) {
  return solved(options, weights, result, [&] {
    const std::span<const std::int8_t> signs(required(labels, "labels"), n);
    return with_rows(type, points, "points", n, dim, [&](const auto& rows) {
      return solve_linear_max_margin(rows, signs, dim, options_of(options, n));
    });
  });
}

softstep_status softstep_solve_max_margin_with_ties(const softstep_batch* batch, const size_t* first,
                                                    const size_t* tied,
                                                    const softstep_max_margin_options* options,
                                                    double* weights, softstep_max_margin_result* result) {
  return solved(options, weights, result, [&] {
    return with_plain_batch(batch, [&](const auto& view) {
      return solve_max_margin_with_ties(view,
                                        lists_of(first, tied, view.n_samples, "tied", "batch.n_samples"),
                                        options_of(options, view.n_samples));
    });
  });
}

softstep_status softstep_solve_next_token_max_margin(softstep_type type, const void* contexts, size_t n,
                                                     size_t dim, size_t n_vocabulary, const size_t* first,
                                                     const size_t* supports,
                                                     const softstep_max_margin_options* options,
                                                     double* weights, softstep_max_margin_result* result) {
  return solved(options, weights, result, [&] {
    const auto lists = lists_of(first, supports, n, "supports", "n");
    return with_rows(type, contexts, "contexts", n, dim, [&](const auto& rows) {
      return solve_next_token_max_margin(rows, dim, n_vocabulary, lists, options_of(options, n));
    });
  });
}

softstep_status softstep_solve_max_margin_in_norm(const softstep_batch* batch, const char* norm, double p,
                                                  const softstep_max_margin_options* options, double* weights,
                                                  softstep_max_margin_result* result) {
  return solved(options, weights, result, [&] {
    return with_plain_batch(batch, [&](const auto& view) {
      auto own = options_of<NormMaxMarginOptions>(options, view.n_samples);
      own.norm = parse_matrix_norm(required(norm, "norm"));
      own.p = p;
      return solve_max_margin_in_norm(view, own);
    });
  });
}
}
