#include "softstep/log_gap.h"

#include "core/c/handles.h"

using namespace softstep;
using namespace softstep::c;

namespace {

template <class T>
std::span<const T> point_of(const void* at, std::size_t size) {
  return {static_cast<const T*>(required(at, "at")), size};
}

int32_t code_of(LogGapStatus status) {
  switch (status) {
    case LogGapStatus::good:
      return SOFTSTEP_LOG_GAP_GOOD;
    case LogGapStatus::gap_not_positive:
      return SOFTSTEP_LOG_GAP_NOT_POSITIVE;
    case LogGapStatus::not_finite:
      break;
  }
  return SOFTSTEP_LOG_GAP_NOT_FINITE;
}

}  // namespace

extern "C" {

softstep_status softstep_flat_size(const softstep_model* model, size_t* size) {
  return guarded([&] {
    *required(size, "size") = live(model, "model")->with([](const auto& of) { return flat_size(of); });
  });
}

softstep_status softstep_log_gap(const softstep_model* model, softstep_workspace* workspace, const void* at,
                                 size_t size, void* gradient, softstep_type gradient_type,
                                 softstep_log_gap_result* result) {
  return guarded([&] {
    live(model, "model");
    softstep_workspace& space = space_of(workspace, model);
    check_writable(required(result, "result"), "result");
    const LogGap found = model->with([&]<class M>(const M& of) {
      using T = typename NumberOf<M>::type;
      const std::span<const T> point = point_of<T>(at, size);
      constexpr softstep_type own = sizeof(T) == sizeof(float) ? SOFTSTEP_F32 : SOFTSTEP_F64;
      if (gradient == nullptr || gradient_type == own) {
        const std::span<T> out =
            gradient == nullptr ? std::span<T>() : std::span<T>(static_cast<T*>(gradient), size);
        return log_gap(of, point, out, space.flat(of));
      }
      if (gradient_type != SOFTSTEP_F64)
        throw InvalidArgument("gradient_type",
                              std::to_string(gradient_type) + " (need the model's type, or SOFTSTEP_F64)");
      return log_gap(of, point, std::span<double>(static_cast<double*>(gradient), size), space.flat(of));
    });
    softstep_log_gap_result out{};
    out.status = code_of(found.status);
    out.value = found.value;
    out.gap = {found.gap.mantissa, found.gap.exponent};
    write(out, result, "result");
  });
}

softstep_status softstep_plain_loss(const softstep_model* model, softstep_workspace* workspace,
                                    const void* at, size_t size, void* gradient,
                                    softstep_plain_loss_result* result) {
  return guarded([&] {
    live(model, "model");
    softstep_workspace& space = space_of(workspace, model);
    check_writable(required(result, "result"), "result");
    const PlainLoss found = model->with([&]<class M>(const M& of) {
      using T = typename NumberOf<M>::type;
      const std::span<T> out =
          gradient == nullptr ? std::span<T>() : std::span<T>(static_cast<T*>(gradient), size);
      return plain_loss(of, point_of<T>(at, size), out, space.flat(of));
    });
    softstep_plain_loss_result out{};
    out.value = found.value;
    out.value_underflows = found.value_underflows ? 1 : 0;
    out.gradient_underflows = found.gradient_underflows ? 1 : 0;
    write(out, result, "result");
  });
}
}
