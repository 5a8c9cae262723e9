#include "problem.h"

#include <utility>

#include "results.h"
#include "softstep/error.h"

namespace softstep::python {
namespace {

// Elements from the first of the tokens to the last that the view reaches.
std::size_t reach(const Array& tokens) {
  std::size_t last = 0;
  for (std::size_t k = 0; k < tokens.n_dims(); ++k) {
    if (tokens.extent(k) == 0) return 0;
    if (tokens.extent(k) > 1) last += (tokens.extent(k) - 1) * static_cast<std::size_t>(tokens.stride(k));
  }
  return last + 1;
}

}  // namespace

template <NumberType T>
ProblemOf<T>::ProblemOf(BatchArrays arrays, const AttentionOptions& options, std::shared_ptr<PythonLoss> loss)
    : ModelOf<T>(std::move(loss)), arrays_(std::move(arrays)), view_(view_without_tokens<T>(arrays_)) {
  std::unique_ptr<AttentionModel<T>> made;
  this->without_gil([&] {
    if (in_16_bits(arrays_.tokens.number())) {
      if constexpr (std::same_as<T, float>) {
        half_ = HalfBatchView{.tokens = {arrays_.tokens.as<std::uint16_t>(), reach(arrays_.tokens)},
                              .storage = stored_type_of(arrays_.tokens.number()),
                              .rest = view_};
        made = std::make_unique<AttentionModel<T>>(*half_, options);
      }
    } else {
      view_.tokens = arrays_.tokens.as<T>();
      made = std::make_unique<AttentionModel<T>>(view_, options);
    }
  });
  attention_ = made.get();
  this->hold(std::move(made));
}

template <NumberType T>
const BatchView<T>& ProblemOf<T>::batch() {
  if (!half_) return view_;
  if (!wide_view_) {
    // NumPy widens; bfloat16 is the upper half of a float32.
    const std::size_t rows = view_.offsets ? arrays_.tokens.extent(0) : view_.n_samples * view_.n_tokens;
    nb::object bits = new_array(Number::u16, {rows, view_.dim});
    const Array into(bits, "tokens", Access::write);
    for (std::size_t row = 0; row < rows; ++row) {
      const std::size_t place =
          view_.offsets ? row * view_.row_stride()
                        : half_->place(row / view_.n_tokens) + row % view_.n_tokens * view_.row_stride();
      for (std::size_t k = 0; k < view_.dim; ++k)
        into.writable<std::uint16_t>()[row * view_.dim + k] = half_->tokens[place + k];
    }
    nb::object wide;
    if (half_->storage == StoredType::f16) {
      wide = bits.attr("view")("float16").attr("astype")("float32");
    } else {
      wide = bits.attr("astype")("uint32").attr("__lshift__")(16).attr("astype")("uint32").attr("view")(
          "float32");
    }
    Array widened(wide, "tokens");
    // NumPy lets other threads run, and another may have been here: what it uses must stay.
    if (wide_view_) return *wide_view_;
    wide_ = std::move(wide);
    wide_array_ = std::move(widened);
    BatchView<T> view = view_;
    view.tokens = wide_array_.as<T>();
    view.token_stride = view.sample_stride = 0;
    wide_view_ = view;
  }
  return *wide_view_;
}

template class ProblemOf<float>;
template class ProblemOf<double>;

namespace {

AnyModel::Held made_of(BatchArrays arrays, const AttentionOptions& options,
                       std::shared_ptr<PythonLoss> loss) {
  switch (arrays.tokens.number()) {
    case Number::f64:
      return std::make_unique<ProblemOf<double>>(std::move(arrays), options, std::move(loss));
    case Number::f32:
    case Number::f16:
    case Number::bf16:
      return std::make_unique<ProblemOf<float>>(std::move(arrays), options, std::move(loss));
    default:
      throw InvalidArgument("tokens", std::string("dtype ") + to_string(arrays.tokens.number()) +
                                          " (need float16, bfloat16, float32 or float64)");
  }
}

}  // namespace

Problem::Problem(BatchArrays arrays, const AttentionOptions& options, std::shared_ptr<PythonLoss> loss)
    : AnyModel(made_of(std::move(arrays), options, std::move(loss))) {}

}  // namespace softstep::python
