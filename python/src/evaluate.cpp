// Loss, gradients, Hessian products and the gradient check of any model.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <chrono>
#include <string>
#include <vector>

#include "model.h"
#include "parts.h"
#include "results.h"
#include "softstep/error.h"
#include "softstep/gradient_check.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

// One evaluation: where, and over which samples.
template <NumberType T>
class Call {
 public:
  Call(ModelOf<T>& model, nb::handle point, nb::handle samples)
      : model_(model),
        point_(point),
        at_(model.read(point, "W")),
        seat_(model),
        chosen_(seat_.samples(samples)) {}

  // Into the seat, then what is to be done with it, without the GIL.
  template <class Then>
  void evaluate(unsigned want, Then then) {
    model_.without_gil([&] {
      model_.model().evaluate(at_.point(), seat_->out, *seat_->space, want, chosen_);
      then();
    });
  }
  void evaluate(unsigned want) {
    evaluate(want, [] {});
  }
  const Evaluation<T>& out() { return seat_->out; }

 protected:
  ModelOf<T>& model_;
  nb::handle point_;
  Blocks<T> at_;
  typename ModelOf<T>::Taken seat_;
  SampleSet chosen_;
};

// One whose gradients, or products, are written where the caller has them.
template <NumberType T>
class WritingCall : public Call<T> {
 public:
  WritingCall(ModelOf<T>& model, nb::handle point, nb::handle samples, nb::handle given)
      : Call<T>(model, point, samples), given_(given), outputs_(model.outputs(given, this->at_)) {}

  void scaled_gradients(unsigned want) {
    write_into(this->seat_->out.gradients);
    this->evaluate(want | want_gradient);
  }
  // Plain numbers, divided by what divisor() says the logarithm of.
  template <class Divisor>
  void plain_gradients(unsigned want, Divisor divisor) {
    write_into(this->seat_->out.gradients);
    this->evaluate(want | want_gradient, [&] { make_plain(this->seat_->out.gradients, divisor()); });
  }

  // The same again and again.
  void repeat(unsigned want, std::size_t repetitions) {
    this->model_.without_gil([&] {
      for (std::size_t k = 0; k < repetitions; ++k) {
        this->model_.model().evaluate(this->at_.point(), this->seat_->out, *this->seat_->space,
                                      want | want_gradient, this->chosen_);
        make_plain(this->seat_->out.gradients, 0.0);
      }
    });
  }

  void products(nb::handle direction, bool plain) {
    const Blocks<T> along = this->model_.read(direction, "V");
    for (std::size_t k = 0; k < along.n; ++k)
      for (std::size_t j = 0; j < along.n; ++j)
        if (outputs_.blocks.arrays[k].overlaps(along.arrays[j])) throw InvalidArgument("out", "overlaps V");
    write_into(this->seat_->products);
    this->model_.without_gil([&] {
      this->model_.model().hessian_product(this->at_.point(), along.point(), this->seat_->products,
                                           *this->seat_->space, this->chosen_);
      if (plain) make_plain(this->seat_->products, 0.0);
    });
  }

  // What was given, or the new arrays in the caller's kind.
  nb::object arrays() {
    if (!given_.is_none()) return nb::borrow(given_);
    return this->model_.arrange(this->point_, {outputs_.objects.data(), outputs_.blocks.n});
  }
  // The mantissas with their exponents: a Scaled, or a tuple or dict of them.
  nb::object with_exponents() { return with_exponents(this->seat_->out.gradients); }
  nb::object products_with_exponents() { return with_exponents(this->seat_->products); }

 private:
  void write_into(std::vector<BlockGradient<T>>& written) {
    written.resize(outputs_.blocks.n);
    for (std::size_t k = 0; k < outputs_.blocks.n; ++k) written[k].into = outputs_.into(k);
  }

  void make_plain(std::vector<BlockGradient<T>>& written, double log_divisor) {
    for (std::size_t k = 0; k < outputs_.blocks.n; ++k) {
      written[k].exponent -= log_divisor;
      written[k].plain(outputs_.into(k));
    }
  }

  nb::object with_exponents(const std::vector<BlockGradient<T>>& written) {
    const nb::object found = arrays();
    const auto& shapes = this->model_.model().blocks();
    if (PyDict_Check(found.ptr())) {
      nb::dict out;
      for (std::size_t k = 0; k < shapes.size(); ++k)
        out[shapes[k].name.c_str()] = scaled(nb::object(found[shapes[k].name.c_str()]), written[k].exponent);
      return out;
    }
    if (!PyTuple_Check(found.ptr()) && !PyList_Check(found.ptr())) return scaled(found, written[0].exponent);
    nb::object out = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(shapes.size())));
    for (std::size_t k = 0; k < shapes.size(); ++k)
      PyTuple_SetItem(out.ptr(), static_cast<Py_ssize_t>(k),
                      scaled(nb::object(found[k]), written[k].exponent).release().ptr());
    return out;
  }

  nb::handle given_;
  Outputs<T> outputs_;
};

nb::object value_and_grad(const AnyModel& self, nb::handle point, nb::handle out, nb::handle samples) {
  return self.visit([&]<NumberType T>(ModelOf<T>& model) -> nb::object {
    WritingCall<T> call(model, point, samples, out);
    call.plain_gradients(want_loss, [] { return 0.0; });
    return nb::make_tuple(call.out().loss, call.arrays());
  });
}

// What the library itself takes for each of many equal calls, without what stands between it and Python.
double kernel_seconds(const AnyModel& self, nb::handle point, std::size_t repetitions) {
  return self.visit([&]<NumberType T>(ModelOf<T>& model) {
    WritingCall<T> call(model, point, nb::none(), nb::none());
    call.plain_gradients(want_loss, [] { return 0.0; });
    const auto begin = std::chrono::steady_clock::now();
    call.repeat(want_loss, repetitions);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    return taken.count() / static_cast<double>(repetitions);
  });
}

nb::object scaled_gradient(const AnyModel& self, nb::handle point, nb::handle out, nb::handle samples) {
  return self.visit([&]<NumberType T>(ModelOf<T>& model) -> nb::object {
    WritingCall<T> call(model, point, samples, out);
    call.scaled_gradients(want_gradient);
    return call.with_exponents();
  });
}

double loss(const AnyModel& self, nb::handle point, nb::handle samples) {
  return self.visit([&]<NumberType T>(ModelOf<T>& model) {
    Call<T> call(model, point, samples);
    call.evaluate(want_loss);
    return call.out().loss;
  });
}

nb::object loss_gap(const AnyModel& self, nb::handle point, nb::handle samples) {
  return self.visit([&]<NumberType T>(ModelOf<T>& model) {
    Call<T> call(model, point, samples);
    call.evaluate(want_loss_gap);
    return scaled(call.out().loss_gap);
  });
}

nb::object evaluate(const AnyModel& self, nb::handle point, nb::handle out, nb::handle samples) {
  return self.visit([&]<NumberType T>(ModelOf<T>& model) -> nb::object {
    WritingCall<T> call(model, point, samples, out);
    call.scaled_gradients(want_all);
    const Evaluation<T>& e = call.out();
    return nb::module_::import_("softstep.evaluation")
        .attr("Evaluation")(e.loss, scaled(e.loss_scaled), scaled(e.loss_gap), e.optimal_loss,
                            call.with_exponents(), e.min_optimal_attention,
                            e.log10_one_minus_optimal_attention, e.accuracy);
  });
}

// f = log(L - L*) and its gradient, dL/dW / (L - L*).
nb::object log_gap(const AnyModel& self, nb::handle point, nb::handle out, nb::handle samples) {
  return self.visit([&]<NumberType T>(ModelOf<T>& model) -> nb::object {
    WritingCall<T> call(model, point, samples, out);
    call.plain_gradients(want_loss_gap, [&] { return call.out().loss_gap.log(); });
    return nb::make_tuple(call.out().loss_gap.log(), call.arrays());
  });
}

nb::object hvp(const AnyModel& self, nb::handle point, nb::handle direction, nb::handle out,
               nb::handle samples) {
  return self.visit([&]<NumberType T>(ModelOf<T>& model) -> nb::object {
    WritingCall<T> call(model, point, samples, out);
    call.products(direction, true);
    return call.arrays();
  });
}

nb::object scaled_hvp(const AnyModel& self, nb::handle point, nb::handle direction, nb::handle out,
                      nb::handle samples) {
  return self.visit([&]<NumberType T>(ModelOf<T>& model) -> nb::object {
    WritingCall<T> call(model, point, samples, out);
    call.products(direction, false);
    return call.products_with_exponents();
  });
}

nb::object check(const AnyModel& self, nb::handle point, double tolerance, std::size_t max_entries,
                 nb::handle samples) {
  return self.visit([&]<NumberType T>(ModelOf<T>& model) -> nb::object {
    const Blocks<T> at = model.read(point, "W");
    typename ModelOf<T>::Taken seat(model);
    const GradientCheckOptions options{
        .tolerance = tolerance, .max_entries = max_entries, .samples = seat.samples(samples)};
    GradientCheck found;
    model.without_gil([&] { found = check_gradient(model.model(), at.point(), options); });
    nb::list blocks;
    const nb::object module = nb::module_::import_("softstep.evaluation");
    for (const BlockGradientCheck& b : found.blocks)
      blocks.append(module.attr("BlockCheck")(
          b.name, b.n_entries, scaled(b.gradient_norm), scaled(b.difference_norm), b.relative_error,
          b.difference_error, b.rounding_error, b.norm_error, nb::make_tuple(b.worst_row, b.worst_column),
          scaled(b.worst_gradient), scaled(b.worst_difference), b.passed));
    return module.attr("GradientCheck")(found.passed, found.tolerance, found.compared_with, blocks,
                                        found.report());
  });
}

}  // namespace

void add_evaluation(nb::class_<AnyModel>& c) {
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
    [dim, dim], or flat [dim dim], C order, of the model's dtype; for a model of several blocks a tuple, list or
    dict of arrays, see `blocks`. NumPy, PyTorch (CPU) or JAX (CPU).
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
  c.def("_kernel_seconds", &kernel_seconds, "W"_a, "repetitions"_a,
        nb::sig("def _kernel_seconds(self, W: Point, repetitions: int) -> float"),
        "Of value_and_grad at W, without Python: for benchmarks.");
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
      "check_gradient", &check, "W"_a, nb::kw_only(), "tolerance"_a = 0.0, "max_entries"_a = 0,
      "samples"_a.none() = nb::none(),
      nb::sig("def check_gradient(self, W: Point, *, tolerance: float = 0.0, max_entries: int = 0, samples: "
              "ArrayLike | None = None) -> softstep.evaluation.GradientCheck"),
      R"(Compares the gradient at W with central differences of the loss, or of L - L* where there is one.

tolerance: largest relative error of a block that passes; 0 for 1e-6 in float64, 1e-3 in float32. max_entries: of a block that
are looked at, evenly spread; 0: all, each of which costs about 20 evaluations. For a loss or data of your own.)");
}

}  // namespace softstep::python
