// Max-margin solutions: softstep/max_margin.h.

#include "softstep/max_margin.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <stop_token>
#include <vector>

#include "interruption.h"
#include "parts.h"
#include "problem.h"
#include "results.h"
#include "softstep/error.h"
#include "stop_source.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

nb::dict parts_of(const MaxMarginResult& r, std::size_t n_rows, std::size_t n_cols) {
  nb::dict out;
  const std::span<const double> weights = r.weights, multipliers = r.multipliers;
  out["status"] = to_string(r.status);
  out["weights"] = weights.size() == n_rows * n_cols ? copy_of(weights, {n_rows, n_cols}) : copy_of(weights);
  out["multipliers"] = copy_of(multipliers);
  out["norm"] = r.norm;
  out["margin"] = r.margin;
  out["duality_gap"] = r.duality_gap;
  out["kkt_residual"] = r.kkt_residual;
  out["n_constraints"] = r.n_constraints;
  out["n_support"] = r.n_support;
  out["sweeps"] = r.sweeps;
  out["unique_optimal_tokens"] = r.unique_optimal_tokens;
  out["certificate"] = r.certificate;
  return out;
}

std::vector<std::size_t> indices(nb::handle object, const char* name) {
  if (object.is_none()) return {};
  const Array array(object, name);
  array.require(Number::i64);
  array.require_contiguous();
  std::vector<std::size_t> out;
  for (const std::int64_t index : array.span<std::int64_t>()) {
    if (index < 0) throw InvalidArgument(name, std::to_string(index) + " (need 0 or more)");
    out.push_back(static_cast<std::size_t>(index));
  }
  return out;
}

// What can end a solver between sweeps: Python's signal handlers, a StopSource, the caller's own function.
// What Python raises is kept until the solver has come back.
class Interruption {
 public:
  Interruption(nb::handle stop, nb::handle progress) : stop_(stop_token_of(stop)), progress_(progress) {}

  bool go_on(std::size_t sweeps, double duality_gap, double kkt_residual) {
    if (stop_.stop_requested()) return false;
    const nb::gil_scoped_acquire held;
    if (raised_) return false;
    try {
      if (PyErr_CheckSignals() != 0) nb::raise_python_error();
      return progress_.is_none() || goes_on(progress_(sweeps, duality_gap, kkt_residual));
    } catch (nb::python_error& error) {
      raised_ = std::make_unique<nb::python_error>(error);
      return false;
    }
  }

  // Solves without the GIL, and throws what was raised meanwhile.
  template <class Solve>
  auto run(Solve solve) {
    decltype(solve()) result;
    {
      const nb::gil_scoped_release released;
      result = solve();
    }
    if (raised_) throw nb::python_error(*raised_);
    return result;
  }

 private:
  std::stop_token stop_;
  nb::handle progress_;
  std::unique_ptr<nb::python_error> raised_ = {};
};

nb::dict solve(const Problem& problem, nb::handle selected, double tolerance, std::size_t max_sweeps,
               int n_threads, nb::handle stop, nb::handle progress) {
  MaxMarginOptions options{.selected = indices(selected, "selected"),
                           .tolerance = tolerance,
                           .max_sweeps = max_sweeps,
                           .n_threads = n_threads};
  return problem.visit([&](auto& p) {
    const auto& batch = p.batch();
    Interruption interruption(stop, progress);
    options.progress = [&](std::size_t n, double gap, double kkt) { return interruption.go_on(n, gap, kkt); };
    const MaxMarginResult result = interruption.run([&] { return solve_max_margin(batch, options); });
    return parts_of(result, batch.dim, batch.dim);
  });
}

nb::dict solve_in_norm(const Problem& problem, const std::string& norm, double p, nb::handle selected,
                       double tolerance, std::size_t max_sweeps, int n_threads, nb::handle stop,
                       nb::handle progress) {
  NormMaxMarginOptions options{.norm = parse_matrix_norm(norm),
                               .p = p,
                               .tolerance = tolerance,
                               .max_sweeps = max_sweeps,
                               .n_threads = n_threads,
                               .selected = indices(selected, "selected")};
  return problem.visit([&](auto& q) {
    const auto& batch = q.batch();
    Interruption interruption(stop, progress);
    options.progress = [&](std::size_t n, double gap, double kkt) { return interruption.go_on(n, gap, kkt); };
    const MaxMarginResult result = interruption.run([&] { return solve_max_margin_in_norm(batch, options); });
    return parts_of(result, batch.dim, batch.dim);
  });
}

nb::dict solve_linear(nb::handle points, nb::handle labels, double tolerance, std::size_t max_sweeps,
                      int n_threads, nb::handle stop, nb::handle progress) {
  const Array x(points, "points"), y(labels, "labels");
  x.require_dims(2, "(n, dim)");
  x.require_contiguous();
  y.require(Number::i8);
  y.require_dims(1, "(n,)");
  y.require_contiguous();
  if (y.extent(0) != x.extent(0))
    throw InvalidArgument("labels", "shape " + y.shape_text() + " for points of shape " + x.shape_text());
  Interruption interruption(stop, progress);
  MaxMarginOptions options{.tolerance = tolerance, .max_sweeps = max_sweeps, .n_threads = n_threads};
  options.progress = [&](std::size_t n, double gap, double kkt) { return interruption.go_on(n, gap, kkt); };
  const std::size_t dim = x.extent(1);
  const bool narrow = x.number() == Number::f32;
  if (!narrow) x.require(Number::f64, " or float32");
  const MaxMarginResult result = interruption.run([&] {
    return narrow ? solve_linear_max_margin(x.span<float>(), y.span<std::int8_t>(), dim, options)
                  : solve_linear_max_margin(x.span<double>(), y.span<std::int8_t>(), dim, options);
  });
  return parts_of(result, dim, 1);
}

nb::dict parts_of(const TiedMaxMarginResult& r, std::size_t n_rows, std::size_t n_cols) {
  nb::dict out = parts_of(r.solution, n_rows, n_cols);
  out["equality_multipliers"] = copy_of(std::span<const double>(r.equality_multipliers));
  out["equality_residual"] = r.equality_residual;
  out["stationarity_residual"] = r.stationarity_residual;
  out["n_equalities"] = r.n_equalities;
  out["equality_rank"] = r.equality_rank;
  return out;
}

using Sets = std::vector<std::vector<std::size_t>>;

nb::dict solve_with_ties(const Problem& problem, const Sets& tied, double tolerance, std::size_t max_sweeps,
                         int n_threads, nb::handle stop, nb::handle progress) {
  Interruption interruption(stop, progress);
  MaxMarginOptions options{.tolerance = tolerance, .max_sweeps = max_sweeps, .n_threads = n_threads};
  options.progress = [&](std::size_t n, double gap, double kkt) { return interruption.go_on(n, gap, kkt); };
  return problem.visit([&](auto& p) {
    const auto& batch = p.batch();
    return parts_of(interruption.run([&] { return solve_max_margin_with_ties(batch, tied, options); }),
                    batch.dim, batch.dim);
  });
}

nb::dict solve_next_token(nb::handle contexts, std::size_t vocabulary, const Sets& supports, double tolerance,
                          std::size_t max_sweeps, int n_threads, nb::handle stop, nb::handle progress) {
  const Array h(contexts, "contexts");
  h.require(Number::f64);
  h.require_dims(2, "(n_contexts, dim)");
  h.require_contiguous();
  Interruption interruption(stop, progress);
  MaxMarginOptions options{.tolerance = tolerance, .max_sweeps = max_sweeps, .n_threads = n_threads};
  options.progress = [&](std::size_t n, double gap, double kkt) { return interruption.go_on(n, gap, kkt); };
  return parts_of(interruption.run([&] {
    return solve_next_token_max_margin(h.span<double>(), h.extent(1), vocabulary, supports, options);
  }),
                  vocabulary, h.extent(1));
}

}  // namespace

void add_max_margin(nb::module_& m) {
  m.def("solve_max_margin", &solve, "problem"_a, nb::kw_only(), "selected"_a.none() = nb::none(),
        "tolerance"_a = 1e-10, "max_sweeps"_a = 100000, "n_threads"_a = 1, "stop"_a.none() = nb::none(),
        "progress"_a.none() = nb::none(),
        nb::sig(
            "def solve_max_margin(problem: Problem, *, selected: ArrayLike | None = None, tolerance: "
            "float = 1e-10, max_sweeps: "
            "int = 100000, n_threads: int = 1, stop: StopSource | None = None, progress: "
            "collections.abc.Callable[[int, float, float], object] | None = None) -> dict[str, typing.Any]"),
        "W_mm and its certificate, as a dict.");
  m.def(
      "solve_max_margin_in_norm", &solve_in_norm, "problem"_a, "norm"_a, nb::kw_only(), "p"_a = 2.0,
      "selected"_a.none() = nb::none(), "tolerance"_a = 1e-8, "max_sweeps"_a = 100000, "n_threads"_a = 1,
      "stop"_a.none() = nb::none(), "progress"_a.none() = nb::none(),
      nb::sig(
          "def solve_max_margin_in_norm(problem: Problem, norm: str, *, p: float = 2.0, selected: ArrayLike "
          "| None = None, "
          "tolerance: float = 1e-08, max_sweeps: int = 100000, n_threads: int = 1, stop: StopSource | None = "
          "None, progress: "
          "collections.abc.Callable[[int, float, float], object] | None = None) -> dict[str, typing.Any]"),
      "The same in the l_p or the nuclear norm.");
  m.def("solve_max_margin_with_ties", &solve_with_ties, "problem"_a, "tied"_a, nb::kw_only(),
        "tolerance"_a = 1e-10, "max_sweeps"_a = 100000, "n_threads"_a = 1, "stop"_a.none() = nb::none(),
        "progress"_a.none() = nb::none(),
        nb::sig("def solve_max_margin_with_ties(problem: Problem, tied: "
                "collections.abc.Sequence[collections.abc.Sequence[int]], *, tolerance: float = 1e-10, "
                "max_sweeps: int = 100000, n_threads: int = 1, stop: StopSource | None = None, progress: "
                "collections.abc.Callable[[int, float, float], object] | None = None) -> dict[str, "
                "typing.Any]"),
        "W_mm where several tokens of a sample share the best score.");
  m.def("solve_next_token_max_margin", &solve_next_token, "contexts"_a, "vocabulary"_a, "supports"_a,
        nb::kw_only(), "tolerance"_a = 1e-10, "max_sweeps"_a = 100000, "n_threads"_a = 1,
        "stop"_a.none() = nb::none(), "progress"_a.none() = nb::none(),
        nb::sig("def solve_next_token_max_margin(contexts: ArrayLike, vocabulary: int, supports: "
                "collections.abc.Sequence[collections.abc.Sequence[int]], *, tolerance: float = 1e-10, "
                "max_sweeps: int = 100000, n_threads: int = 1, stop: StopSource | None = None, progress: "
                "collections.abc.Callable[[int, float, float], object] | None = None) -> dict[str, "
                "typing.Any]"),
        "The NTP-SVM: W [vocabulary, dim] and its certificate.");
  m.def("solve_linear_max_margin", &solve_linear, "points"_a, "labels"_a, nb::kw_only(),
        "tolerance"_a = 1e-10, "max_sweeps"_a = 100000, "n_threads"_a = 1, "stop"_a.none() = nb::none(),
        "progress"_a.none() = nb::none(),
        nb::sig(
            "def solve_linear_max_margin(points: ArrayLike, labels: ArrayLike, *, tolerance: float = "
            "1e-10, max_sweeps: int = "
            "100000, n_threads: int = 1, stop: StopSource | None = None, progress: "
            "collections.abc.Callable[[int, float, float], object] | None = None) -> dict[str, typing.Any]"),
        "The hard-margin separator of labelled points, without intercept.");
}

}  // namespace softstep::python
