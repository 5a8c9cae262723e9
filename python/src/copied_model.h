#pragma once

// Models that keep a copy of their data.

#include <memory>
#include <string>
#include <utility>

#include "batch_arrays.h"
#include "model.h"
#include "softstep/error.h"

namespace softstep::python {

template <NumberType T>
class CopiedModelOf final : public ModelOf<T> {
 public:
  /// make() gives the model, without the GIL.
  template <class Make>
  CopiedModelOf(std::shared_ptr<PythonLoss> loss, Make&& make) : ModelOf<T>(std::move(loss)) {
    std::unique_ptr<Model<T>> made;
    this->without_gil([&] { made = make(); });
    this->hold(std::move(made));
  }
};

/// Makes a model of class Class at `place`, in the precision that `dtype` names; make.operator()<T>() gives
/// the library's model.
template <class Class, class Make>
void construct_copied(Class* place, const std::string& dtype, Make make) {
  if (dtype == "float64")
    new (place) Class(
        std::make_unique<CopiedModelOf<double>>(nullptr, [&] { return make.template operator()<double>(); }));
  else if (dtype == "float32")
    new (place) Class(
        std::make_unique<CopiedModelOf<float>>(nullptr, [&] { return make.template operator()<float>(); }));
  else
    throw InvalidArgument("dtype", dtype + " (known: float32, float64)");
}

/// The same of a batch, in the precision of its tokens; make(view) gives the library's model. `loss`: the
/// caller's own, or null.
template <class Class, class Make>
void construct_copied(Class* place, const BatchArrays& arrays, const std::shared_ptr<PythonLoss>& loss,
                      Make make) {
  const auto of = [&]<NumberType T>(T) {
    BatchView<T> view = view_without_tokens<T>(arrays);
    view.tokens = arrays.tokens.template as<T>();
    new (place) Class(std::make_unique<CopiedModelOf<T>>(loss, [&] { return make(view); }));
  };
  if (arrays.tokens.number() == Number::f64) return of(double{});
  arrays.tokens.require(Number::f32, " or float64");
  of(float{});
}

}  // namespace softstep::python
