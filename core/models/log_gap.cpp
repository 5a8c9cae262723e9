#include "softstep/log_gap.h"

#include <cmath>
#include <limits>
#include <string>

#include "softstep/error.h"

namespace softstep {

/// One evaluation of a model at a flat point.
template <NumberType T>
class FlatEvaluation {
 public:
  FlatEvaluation(const Model<T>& model, std::span<const T> at, std::size_t gradient_size, FlatSpace<T>& space,
                 unsigned want, SampleSet samples)
      : model_(model), out_(space.evaluation_) {
    const std::size_t size = flat_size(model);
    check("at", at.size(), size);
    if (gradient_size != 0) check("gradient", gradient_size, size);
    const std::vector<BlockShape>& blocks = model.blocks();
    check("space", space.views_.size(), blocks.size());
    std::size_t begin = 0;
    for (std::size_t k = 0; k < blocks.size(); begin += blocks[k].size(), ++k)
      space.views_[k] = at.subspan(begin, blocks[k].size());
    model.evaluate(Point<T>(space.views_), out_, *space.space_,
                   want | (gradient_size != 0 ? want_gradient : 0u), samples);
  }

  const Evaluation<T>& result() const { return out_; }

  /// write(block, its place in the flat vector) for every block.
  template <class Write>
  void for_each_block(const Write& write) const {
    std::size_t begin = 0;
    for (std::size_t k = 0; k < out_.gradients.size(); begin += model_.blocks()[k].size(), ++k)
      write(out_.gradients[k], begin);
  }

 private:
  static void check(const char* name, std::size_t size, std::size_t wanted) {
    if (size != wanted)
      throw InvalidArgument(name, std::to_string(size) + " entries (need " + std::to_string(wanted) + ")");
  }

  const Model<T>& model_;
  Evaluation<T>& out_;
};

namespace {

template <NumberType T, NumberType Out>
LogGap log_gap_into(const Model<T>& model, std::span<const T> at, std::span<Out> gradient,
                    FlatSpace<T>& space, SampleSet samples) {
  const FlatEvaluation<T> evaluation(model, at, gradient.size(), space, want_loss_gap, samples);
  const Scaled gap = evaluation.result().loss_gap;
  LogGap out{LogGapStatus::good, gap.log(), gap};
  if (gap.mantissa <= 0.0) {
    out.status = LogGapStatus::gap_not_positive;
    return out;
  }
  if (!std::isfinite(out.value)) {
    out.status = LogGapStatus::not_finite;
    return out;
  }
  if (gradient.empty()) return out;
  evaluation.for_each_block([&](const BlockGradient<T>& block, std::size_t begin) {
    // In two factors, so that a mantissa far from 1 is not lost to an exponent that makes up for it.
    const double half = std::exp(0.5 * (block.exponent - out.value));
    const std::span<const T> mantissa = block.mantissa();
    for (std::size_t e = 0; e < mantissa.size(); ++e) {
      const auto x =
          mantissa[e] == T(0) ? Out(0) : static_cast<Out>(static_cast<double>(mantissa[e]) * half * half);
      if (!std::isfinite(x)) out.status = LogGapStatus::not_finite;
      gradient[begin + e] = x;
    }
  });
  return out;
}

}  // namespace

template <NumberType T>
FlatSpace<T>::FlatSpace(const Model<T>& model)
    : space_(model.make_workspace()), views_(model.blocks().size()) {}

template <NumberType T>
std::size_t flat_size(const Model<T>& model) {
  std::size_t size = 0;
  for (const BlockShape& block : model.blocks()) size += block.size();
  return size;
}

const char* to_string(LogGapStatus status) {
  switch (status) {
    case LogGapStatus::good:
      return "good";
    case LogGapStatus::gap_not_positive:
      return "gap_not_positive";
    case LogGapStatus::not_finite:
      return "not_finite";
  }
  return "";
}

template <NumberType T>
LogGap log_gap(const Model<T>& model, std::type_identity_t<std::span<const T>> at,
               std::type_identity_t<std::span<T>> gradient, FlatSpace<T>& space, SampleSet samples) {
  return log_gap_into<T, T>(model, at, gradient, space, samples);
}

LogGap log_gap(const Model<float>& model, std::span<const float> at, std::span<double> gradient,
               FlatSpace<float>& space, SampleSet samples) {
  return log_gap_into<float, double>(model, at, gradient, space, samples);
}

template <NumberType T>
PlainLoss plain_loss(const Model<T>& model, std::type_identity_t<std::span<const T>> at,
                     std::type_identity_t<std::span<T>> gradient, FlatSpace<T>& space, SampleSet samples) {
  const FlatEvaluation<T> evaluation(model, at, gradient.size(), space, want_loss, samples);
  const Evaluation<T>& result = evaluation.result();
  PlainLoss out{result.loss, result.loss == 0.0 && result.loss_scaled.mantissa != 0.0, false};
  if (gradient.empty()) return out;
  evaluation.for_each_block([&](const BlockGradient<T>& block, std::size_t begin) {
    if (block.plain(gradient.subspan(begin, block.mantissa().size()))) out.gradient_underflows = true;
  });
  return out;
}

template class FlatSpace<float>;
template class FlatSpace<double>;
template std::size_t flat_size(const Model<float>&);
template std::size_t flat_size(const Model<double>&);
template LogGap log_gap<float>(const Model<float>&, std::span<const float>, std::span<float>,
                               FlatSpace<float>&, SampleSet);
template LogGap log_gap<double>(const Model<double>&, std::span<const double>, std::span<double>,
                                FlatSpace<double>&, SampleSet);
template PlainLoss plain_loss<float>(const Model<float>&, std::span<const float>, std::span<float>,
                                     FlatSpace<float>&, SampleSet);
template PlainLoss plain_loss<double>(const Model<double>&, std::span<const double>, std::span<double>,
                                      FlatSpace<double>&, SampleSet);

}  // namespace softstep
