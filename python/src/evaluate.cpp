// Loss, gradients, Hessian products and attention of a Problem.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cmath>
#include <limits>

#include "parts.h"
#include "problem.h"
#include "results.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

template <NumberType T>
void write_into(const Outputs<T>& outputs, std::vector<BlockGradient<T>>& gradients) {
  gradients.resize(outputs.blocks.n);
  for (std::size_t k = 0; k < outputs.blocks.n; ++k) gradients[k].into = outputs.into(k);
}

template <NumberType T>
void make_plain(const Outputs<T>& outputs, const std::vector<BlockGradient<T>>& gradients) {
  for (std::size_t k = 0; k < outputs.blocks.n; ++k) gradients[k].plain(outputs.into(k));
}

// What a method returns for its blocks: what was given, or the new arrays in the caller's kind.
template <NumberType T>
nb::object hand_out(const ProblemOf<T>& problem, nb::handle point, nb::handle given, Outputs<T>& outputs) {
  if (!given.is_none()) return nb::borrow(given);
  return problem.arrange(point, {outputs.objects.data(), outputs.blocks.n});
}

// The mantissas with their exponents: a Scaled, or a tuple or dict of them.
template <NumberType T>
nb::object hand_out_scaled(const ProblemOf<T>& problem, nb::handle point, nb::handle given,
                           Outputs<T>& outputs, const std::vector<BlockGradient<T>>& gradients) {
  const nb::object arrays = hand_out(problem, point, given, outputs);
  const auto& shapes = problem.model().blocks();
  if (PyDict_Check(arrays.ptr())) {
    nb::dict out;
    for (std::size_t k = 0; k < shapes.size(); ++k)
      out[shapes[k].name.c_str()] = scaled(nb::object(arrays[shapes[k].name.c_str()]), gradients[k].exponent);
    return out;
  }
  if (!PyTuple_Check(arrays.ptr()) && !PyList_Check(arrays.ptr()))
    return scaled(arrays, gradients[0].exponent);
  nb::object out = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(shapes.size())));
  for (std::size_t k = 0; k < shapes.size(); ++k)
    PyTuple_SetItem(out.ptr(), static_cast<Py_ssize_t>(k),
                    scaled(nb::object(arrays[k]), gradients[k].exponent).release().ptr());
  return out;
}

nb::object value_and_grad(const Problem& self, nb::handle point, nb::handle out, nb::handle samples) {
  return self.visit([&]<NumberType T>(ProblemOf<T>& problem) -> nb::object {
    const Blocks<T> at = problem.read(point, "W");
    Outputs<T> outputs = problem.outputs(out, at);
    typename ProblemOf<T>::Taken seat(problem);
    const SampleSet chosen = seat.samples(samples);
    {
      const nb::gil_scoped_release released;
      write_into(outputs, seat->out.gradients);
      problem.model().evaluate(at.point(), seat->out, *seat->space, want_gradient | want_loss, chosen);
      make_plain(outputs, seat->out.gradients);
    }
    return nb::make_tuple(seat->out.loss, hand_out(problem, point, out, outputs));
  });
}

nb::object scaled_gradient(const Problem& self, nb::handle point, nb::handle out, nb::handle samples) {
  return self.visit([&]<NumberType T>(ProblemOf<T>& problem) -> nb::object {
    const Blocks<T> at = problem.read(point, "W");
    Outputs<T> outputs = problem.outputs(out, at);
    typename ProblemOf<T>::Taken seat(problem);
    const SampleSet chosen = seat.samples(samples);
    {
      const nb::gil_scoped_release released;
      write_into(outputs, seat->out.gradients);
      problem.model().evaluate(at.point(), seat->out, *seat->space, want_gradient, chosen);
    }
    return hand_out_scaled(problem, point, out, outputs, seat->out.gradients);
  });
}

double loss(const Problem& self, nb::handle point, nb::handle samples) {
  return self.visit([&]<NumberType T>(ProblemOf<T>& problem) {
    const Blocks<T> at = problem.read(point, "W");
    typename ProblemOf<T>::Taken seat(problem);
    const SampleSet chosen = seat.samples(samples);
    const nb::gil_scoped_release released;
    problem.model().evaluate(at.point(), seat->out, *seat->space, want_loss, chosen);
    return seat->out.loss;
  });
}

nb::object loss_gap(const Problem& self, nb::handle point, nb::handle samples) {
  return self.visit([&]<NumberType T>(ProblemOf<T>& problem) {
    const Blocks<T> at = problem.read(point, "W");
    typename ProblemOf<T>::Taken seat(problem);
    const SampleSet chosen = seat.samples(samples);
    {
      const nb::gil_scoped_release released;
      problem.model().evaluate(at.point(), seat->out, *seat->space, want_loss_gap, chosen);
    }
    return scaled(seat->out.loss_gap);
  });
}

nb::object evaluate(const Problem& self, nb::handle point, nb::handle out, nb::handle samples) {
  return self.visit([&]<NumberType T>(ProblemOf<T>& problem) -> nb::object {
    const Blocks<T> at = problem.read(point, "W");
    Outputs<T> outputs = problem.outputs(out, at);
    typename ProblemOf<T>::Taken seat(problem);
    const SampleSet chosen = seat.samples(samples);
    {
      const nb::gil_scoped_release released;
      write_into(outputs, seat->out.gradients);
      problem.model().evaluate(at.point(), seat->out, *seat->space, want_all, chosen);
    }
    const Evaluation<T>& e = seat->out;
    return nb::module_::import_("softstep.evaluation")
        .attr("Evaluation")(e.loss, scaled(e.loss_scaled), scaled(e.loss_gap), e.optimal_loss,
                            hand_out_scaled(problem, point, out, outputs, e.gradients),
                            e.min_optimal_attention, e.log10_one_minus_optimal_attention, e.accuracy);
  });
}

// f = log(L - L*) and its gradient, dL/dW / (L - L*).
nb::object log_gap(const Problem& self, nb::handle point, nb::handle out, nb::handle samples) {
  return self.visit([&]<NumberType T>(ProblemOf<T>& problem) -> nb::object {
    const Blocks<T> at = problem.read(point, "W");
    Outputs<T> outputs = problem.outputs(out, at);
    typename ProblemOf<T>::Taken seat(problem);
    const SampleSet chosen = seat.samples(samples);
    double value = 0.0;
    {
      const nb::gil_scoped_release released;
      write_into(outputs, seat->out.gradients);
      problem.model().evaluate(at.point(), seat->out, *seat->space, want_gradient | want_loss_gap, chosen);
      value = seat->out.loss_gap.log();
      for (std::size_t k = 0; k < outputs.blocks.n; ++k) {
        seat->out.gradients[k].exponent -= value;
        seat->out.gradients[k].plain(outputs.into(k));
      }
    }
    return nb::make_tuple(value, hand_out(problem, point, out, outputs));
  });
}

nb::object hessian_product(const Problem& self, nb::handle point, nb::handle direction, nb::handle out,
                           nb::handle samples, bool plain) {
  return self.visit([&]<NumberType T>(ProblemOf<T>& problem) -> nb::object {
    const Blocks<T> at = problem.read(point, "W");
    const Blocks<T> along = problem.read(direction, "V");
    Outputs<T> outputs = problem.outputs(out, at);
    for (std::size_t k = 0; k < along.n; ++k)
      for (std::size_t j = 0; j < along.n; ++j)
        if (outputs.blocks.arrays[k].overlaps(along.arrays[j])) throw InvalidArgument("out", "overlaps V");
    typename ProblemOf<T>::Taken seat(problem);
    const SampleSet chosen = seat.samples(samples);
    {
      const nb::gil_scoped_release released;
      write_into(outputs, seat->products);
      problem.model().hessian_product(at.point(), along.point(), seat->products, *seat->space, chosen);
      if (plain) make_plain(outputs, seat->products);
    }
    if (plain) return hand_out(problem, point, out, outputs);
    return hand_out_scaled(problem, point, out, outputs, seat->products);
  });
}

nb::object hvp(const Problem& self, nb::handle point, nb::handle direction, nb::handle out,
               nb::handle samples) {
  return hessian_product(self, point, direction, out, samples, true);
}

nb::object scaled_hvp(const Problem& self, nb::handle point, nb::handle direction, nb::handle out,
                      nb::handle samples) {
  return hessian_product(self, point, direction, out, samples, false);
}

nb::object attention(const Problem& self, nb::handle point) {
  return self.visit([&]<NumberType T>(ProblemOf<T>& problem) -> nb::object {
    const Blocks<T> at = problem.read(point, "W");
    std::vector<double> p;
    {
      const nb::gil_scoped_release released;
      p = problem.model().attention(at.point());
    }
    const BatchView<T>& batch = problem.layout();
    const std::span<const double> all = p;
    return batch.offsets ? copy_of(all) : copy_of(all, {batch.n_samples, batch.n_tokens});
  });
}

}  // namespace

void add_evaluation(nb::class_<Problem>& c) {
  c.def(
      "value_and_grad", &value_and_grad, "W"_a, "out"_a.none() = nb::none(), nb::kw_only(),
      "samples"_a.none() = nb::none(),
      nb::sig("def value_and_grad(self, W: Point, out: Point | None = None, *, samples: ArrayLike | None = "
              "None) -> "
              "tuple[float, typing.Any]"),
      R"(Loss L(W) and gradient dL/dW in plain numbers, which underflow where training has come far: see `scaled`.

Parameters
----------
W
    [dim, dim], C order, of the problem's dtype; for a problem of several blocks a tuple, list or dict of arrays, see
    `blocks`. NumPy, PyTorch (CPU) or JAX (CPU).
out
    Where the gradient is written: as W. It must not overlap W or the tokens. A new array of W's kind if None.
samples
    Indices (int64) of the samples that the mean is over; None: all.

Returns
-------
tuple
    The loss, and the gradient: `out` where it is given.

Raises
------
InvalidArgument
    Wrong shape or dtype, not contiguous, read-only, on another device. Names the argument.)");
  c.def("scaled", &scaled_gradient, "W"_a, "out"_a.none() = nb::none(), nb::kw_only(),
        "samples"_a.none() = nb::none(),
        nb::sig("def scaled(self, W: Point, out: Point | None = None, *, samples: ArrayLike | None = None) "
                "-> typing.Any"),
        R"(Gradient with its exponent apart: dL/dW = mantissa * exp(exponent).

As `value_and_grad`. Returns a `Scaled` (mantissa, exponent), exponent a natural logarithm, -inf where the gradient is
exactly zero; of several blocks a tuple or dict of them, each with an exponent of its own. arXiv 2402.05738, in the pivot
form of docs/mathematics.md, section 2.)");
  c.def("loss", &loss, "W"_a, nb::kw_only(), "samples"_a.none() = nb::none(),
        nb::sig("def loss(self, W: Point, *, samples: ArrayLike | None = None) -> float"), "The loss L(W).");
  c.def(
      "loss_gap", &loss_gap, "W"_a, nb::kw_only(), "samples"_a.none() = nb::none(),
      nb::sig("def loss_gap(self, W: Point, *, samples: ArrayLike | None = None) -> softstep.scaled.Scaled"),
      "L(W) - L* without cancellation, a `Scaled` (mantissa, exponent).");
  c.def("evaluate", &evaluate, "W"_a, "out"_a.none() = nb::none(), nb::kw_only(),
        "samples"_a.none() = nb::none(),
        nb::sig(
            "def evaluate(self, W: Point, out: Point | None = None, *, samples: ArrayLike | None = None) -> "
            "softstep.evaluation.Evaluation"),
        "Everything at once: loss, loss gap, scaled gradient, attention of the optimal tokens, accuracy. As "
        "`scaled`.");
  c.def(
      "log_gap", &log_gap, "W"_a, "out"_a.none() = nb::none(), nb::kw_only(), "samples"_a.none() = nb::none(),
      nb::sig("def log_gap(self, W: Point, out: Point | None = None, *, samples: ArrayLike | None = None) -> "
              "tuple[float, typing.Any]"),
      R"(log(L(W) - L*) and its gradient, in plain numbers of a size that any solver can work with.

It has the minimisers of L and does not stall where L no longer changes in its 16th digit. -inf where L = L*, NaN where
L < L*; the gradient is not finite then.)");
  c.def("hvp", &hvp, "W"_a, "V"_a, "out"_a.none() = nb::none(), nb::kw_only(),
        "samples"_a.none() = nb::none(),
        nb::sig("def hvp(self, W: Point, V: Point, out: Point | None = None, *, samples: ArrayLike | None = "
                "None) -> typing.Any"),
        R"(Product of the Hessian of L at W with V, in plain numbers. V and out are as W.

Raises NotSupported for a loss without second derivative.)");
  c.def("scaled_hvp", &scaled_hvp, "W"_a, "V"_a, "out"_a.none() = nb::none(), nb::kw_only(),
        "samples"_a.none() = nb::none(),
        nb::sig("def scaled_hvp(self, W: Point, V: Point, out: Point | None = None, *, samples: ArrayLike | "
                "None = None) -> "
                "typing.Any"),
        "As `hvp`, with exponents apart as in `scaled`.");
  c.def(
      "attention", &attention, "W"_a,
      nb::sig("def attention(self, W: Point) -> numpy.typing.NDArray[numpy.float64]"),
      R"(Attention softmax(X_i W z_i) of every token, float64: [n_samples, n_tokens], or [sum of tokens] of a ragged batch.

Of several queries the mean by their weights.)");
}

}  // namespace softstep::python
