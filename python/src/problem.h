#pragma once

// softstep.Problem: an attention model of arrays that stay where they lie.

#include <nanobind/nanobind.h>

#include <array>
#include <memory>
#include <optional>
#include <span>

#include "array.h"
#include "batch_arrays.h"
#include "model.h"
#include "softstep/attention_model.h"
#include "softstep/batch.h"

namespace softstep::python {

template <NumberType T>
class ProblemOf final : public ModelOf<T> {
 public:
  ProblemOf(BatchArrays arrays, const AttentionOptions& options, std::shared_ptr<PythonLoss> loss);
  ~ProblemOf() override { this->drop(); }

  const AttentionModel<T>& attention_model() const { return *attention_; }
  /// Tokens in T: those of 16 bits are widened when this is first asked for.
  const BatchView<T>& batch();
  /// Sizes, labels and queries; the tokens are null where they are in 16 bits.
  const BatchView<T>& layout() const { return view_; }
  const void* tokens() const { return arrays_.tokens.data(); }

 protected:
  std::span<const Array* const> data() const override { return data_; }

 private:
  BatchArrays arrays_;
  std::array<const Array*, 1> data_ = {&arrays_.tokens};
  BatchView<T> view_ = {};
  std::optional<HalfBatchView> half_ = {};
  nb::object wide_ = {};
  Array wide_array_ = {};
  std::optional<BatchView<T>> wide_view_ = {};
  const AttentionModel<T>* attention_ = nullptr;
};

extern template class ProblemOf<float>;
extern template class ProblemOf<double>;

/// A problem of either precision, as Python holds it.
class Problem : public AnyModel {
 public:
  Problem(BatchArrays arrays, const AttentionOptions& options, std::shared_ptr<PythonLoss> loss);
  /// Calls use(ProblemOf<T>&).
  template <class Use>
  decltype(auto) visit(Use&& use) const {
    return AnyModel::visit([&]<NumberType T>(ModelOf<T>& held) -> decltype(auto) {
      return use(static_cast<ProblemOf<T>&>(held));
    });
  }
};

}  // namespace softstep::python
