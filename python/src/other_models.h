#pragma once

// The models beside attention: softstep.LinearModel and softstep.NextTokenModel.

#include <memory>
#include <string>

#include "batch_arrays.h"
#include "copied_model.h"
#include "model.h"
#include "softstep/linear_model.h"
#include "softstep/next_token.h"

namespace softstep::python {

/// f = w^T x of points where they lie.
template <NumberType T>
class LinearModelOf final : public ModelOf<T> {
 public:
  LinearModelOf(BatchArrays arrays, const LinearOptions& options, std::shared_ptr<PythonLoss> loss)
      : ModelOf<T>(std::move(loss)), arrays_(std::move(arrays)) {
    BatchView<T> view = view_without_tokens<T>(arrays_);
    view.tokens = arrays_.tokens.template as<T>();
    std::unique_ptr<Model<T>> made;
    this->without_gil([&] { made = make_linear_model(view, options); });
    this->hold(std::move(made));
  }
  ~LinearModelOf() override { this->drop(); }

 protected:
  std::span<const Array* const> data() const override { return data_; }

 private:
  BatchArrays arrays_;
  std::array<const Array*, 1> data_ = {&arrays_.tokens};
};

class LinearModel : public AnyModel {
 public:
  using AnyModel::AnyModel;
};

class NextTokenModel : public AnyModel {
 public:
  using AnyModel::AnyModel;
};

}  // namespace softstep::python
