// Max-margin solutions: softstep/max_margin.h.

#include "softstep/max_margin.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "parts.h"
#include "problem.h"
#include "results.h"
#include "softstep/error.h"

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

// Calls Python's signal handlers between sweeps. What they raise is kept until the solver has come back.
class Signals {
 public:
  bool go_on() {
    const nb::gil_scoped_acquire held;
    if (!raised_ && PyErr_CheckSignals() != 0) raised_ = std::make_unique<nb::python_error>();
    return !raised_;
  }
  void rethrow() {
    if (raised_) throw nb::python_error(*raised_);
  }

 private:
  std::unique_ptr<nb::python_error> raised_;
};

nb::dict solve(const Problem& problem, nb::handle selected, double tolerance, std::size_t max_sweeps,
               int n_threads) {
  MaxMarginOptions options{.selected = indices(selected, "selected"),
                           .tolerance = tolerance,
                           .max_sweeps = max_sweeps,
                           .n_threads = n_threads};
  return problem.visit([&](auto& p) {
    const auto& batch = p.batch();
    Signals signals;
    options.progress = [&](std::size_t, double, double) { return signals.go_on(); };
    MaxMarginResult result;
    {
      const nb::gil_scoped_release released;
      result = solve_max_margin(batch, options);
    }
    signals.rethrow();
    return parts_of(result, batch.dim, batch.dim);
  });
}

nb::dict solve_in_norm(const Problem& problem, const std::string& norm, double p, nb::handle selected,
                       double tolerance, std::size_t max_sweeps, int n_threads) {
  NormMaxMarginOptions options{.norm = parse_matrix_norm(norm),
                               .p = p,
                               .tolerance = tolerance,
                               .max_sweeps = max_sweeps,
                               .n_threads = n_threads,
                               .selected = indices(selected, "selected")};
  return problem.visit([&](auto& q) {
    const auto& batch = q.batch();
    Signals signals;
    options.progress = [&](std::size_t, double, double) { return signals.go_on(); };
    MaxMarginResult result;
    {
      const nb::gil_scoped_release released;
      result = solve_max_margin_in_norm(batch, options);
    }
    signals.rethrow();
    return parts_of(result, batch.dim, batch.dim);
  });
}

nb::dict solve_linear(nb::handle points, nb::handle labels, double tolerance, std::size_t max_sweeps,
                      int n_threads) {
  const Array x(points, "points"), y(labels, "labels");
  x.require_dims(2, "(n, dim)");
  x.require_contiguous();
  y.require(Number::i8);
  y.require_dims(1, "(n,)");
  y.require_contiguous();
  if (y.extent(0) != x.extent(0))
    throw InvalidArgument("labels", "shape " + y.shape_text() + " for points of shape " + x.shape_text());
  const MaxMarginOptions options{.tolerance = tolerance, .max_sweeps = max_sweeps, .n_threads = n_threads};
  const std::size_t dim = x.extent(1);
  MaxMarginResult result;
  if (x.number() == Number::f32) {
    result = solve_linear_max_margin(x.span<float>(), y.span<std::int8_t>(), dim, options);
  } else {
    x.require(Number::f64, " or float32");
    result = solve_linear_max_margin(x.span<double>(), y.span<std::int8_t>(), dim, options);
  }
  return parts_of(result, dim, 1);
}

}  // namespace

void add_max_margin(nb::module_& m) {
  m.def("solve_max_margin", &solve, "problem"_a, nb::kw_only(), "selected"_a.none() = nb::none(),
        "tolerance"_a = 1e-10, "max_sweeps"_a = 100000, "n_threads"_a = 1,
        nb::sig("def solve_max_margin(problem: Problem, *, selected: ArrayLike | None = None, tolerance: "
                "float = 1e-10, max_sweeps: "
                "int = 100000, n_threads: int = 1) -> dict[str, typing.Any]"),
        "W_mm and its certificate, as a dict.");
  m.def(
      "solve_max_margin_in_norm", &solve_in_norm, "problem"_a, "norm"_a, nb::kw_only(), "p"_a = 2.0,
      "selected"_a.none() = nb::none(), "tolerance"_a = 1e-8, "max_sweeps"_a = 100000, "n_threads"_a = 1,
      nb::sig(
          "def solve_max_margin_in_norm(problem: Problem, norm: str, *, p: float = 2.0, selected: ArrayLike "
          "| None = None, "
          "tolerance: float = 1e-08, max_sweeps: int = 100000, n_threads: int = 1) -> dict[str, typing.Any]"),
      "The same in the l_p or the nuclear norm.");
  m.def("solve_linear_max_margin", &solve_linear, "points"_a, "labels"_a, nb::kw_only(),
        "tolerance"_a = 1e-10, "max_sweeps"_a = 100000, "n_threads"_a = 1,
        nb::sig("def solve_linear_max_margin(points: ArrayLike, labels: ArrayLike, *, tolerance: float = "
                "1e-10, max_sweeps: int = "
                "100000, n_threads: int = 1) -> dict[str, typing.Any]"),
        "The hard-margin separator of labelled points, without intercept.");
}

}  // namespace softstep::python
