#pragma once

// What the opaque types are.

#include <memory>
#include <optional>
#include <type_traits>
#include <variant>
#include <vector>

#include "core/c/live_handles.h"
#include "softstep/batch.h"
#include "softstep/checkpoints.h"
#include "softstep/dataset.h"
#include "softstep/log_gap.h"
#include "softstep/loss.h"
#include "softstep/model.h"
#include "softstep/train_state.h"

namespace softstep::c {
class CallerRanks;
}

struct softstep_ranks {
  std::shared_ptr<softstep::c::CallerRanks> of;
};

struct softstep_model {
  std::variant<std::unique_ptr<softstep::Model<float>>, std::unique_ptr<softstep::Model<double>>> of;
  std::shared_ptr<softstep::c::CallerRanks> ranks = nullptr;  // that its samples are split over

  /// body(model) with the Model of its precision.
  template <class Body>
  auto with(Body body) const {
    return std::visit([&](const auto& model) { return body(std::as_const(*model)); }, of);
  }
};

struct softstep_workspace {
  const softstep_model* model;
  std::unique_ptr<softstep::Workspace> space;
  softstep::Evaluation<float> f32;
  softstep::Evaluation<double> f64;
  std::vector<std::span<const float>> views_f32, more_f32;
  std::vector<std::span<const double>> views_f64, more_f64;
  std::optional<softstep::FlatSpace<float>> flat_f32;
  std::optional<softstep::FlatSpace<double>> flat_f64;

  template <class T>
  softstep::Evaluation<T>& evaluation() {
    if constexpr (sizeof(T) == sizeof(float))
      return f32;
    else
      return f64;
  }
  /// Made when a model is first asked as an objective.
  template <class T>
  softstep::FlatSpace<T>& flat(const softstep::Model<T>& of) {
    if constexpr (sizeof(T) == sizeof(float))
      return flat_f32 ? *flat_f32 : flat_f32.emplace(of);
    else
      return flat_f64 ? *flat_f64 : flat_f64.emplace(of);
  }
  /// Room for the views of a point, and of a second one.
  template <class T>
  std::vector<std::span<const T>>& views(bool second = false) {
    if constexpr (sizeof(T) == sizeof(float))
      return second ? more_f32 : views_f32;
    else
      return second ? more_f64 : views_f64;
  }
};

struct softstep_state {
  std::variant<softstep::TrainState<float>, softstep::TrainState<double>> of;
};

struct softstep_checkpoints {
  softstep::Checkpoints of;
};

struct softstep_dataset {
  std::variant<softstep::Dataset<float>, softstep::Dataset<double>, softstep::HalfDataset> of;
};

namespace softstep::c {

/// The state of a model's precision. Throws InvalidArgument for one of the other.
template <class T>
TrainState<T>& state_of(softstep_state* state) {
  auto* found = std::get_if<TrainState<T>>(&live(state, "state")->of);
  if (found == nullptr) throw InvalidArgument("state", "of a model in another precision");
  return *found;
}
template <class T>
const TrainState<T>& state_of(const softstep_state* state) {
  return state_of<T>(const_cast<softstep_state*>(state));
}

/// The number type of a model.
template <class M>
struct NumberOf;
template <class T>
struct NumberOf<Model<T>> {
  using type = T;
};

/// A workspace that belongs to this model.
inline softstep_workspace& space_of(softstep_workspace* workspace, const softstep_model* model) {
  if (live(workspace, "workspace")->model != model) throw InvalidArgument("workspace", "of another model");
  return *workspace;
}

/// The caller's arrays, one for each block.
template <class T>
void view_blocks(const Model<T>& model, const void* const* blocks, const char* name,
                 std::vector<std::span<const T>>& views) {
  required(blocks, name);
  const auto& shapes = model.blocks();
  views.resize(shapes.size());
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    if (blocks[k] == nullptr) throw InvalidArgument(nth(name, k), "null");
    views[k] = {static_cast<const T*>(blocks[k]), shapes[k].size()};
  }
}

/// The batch of a struct, in float or double, with its tokens in 16 bits or not.
struct AnyBatch {
  std::variant<BatchView<float>, BatchView<double>, HalfBatchView> of;
};
AnyBatch batch_of(const softstep_batch* batch);

/// body(view) for solvers and metrics, which take float or double.
template <class Body>
auto with_plain_batch(const softstep_batch* batch, Body body) {
  using Result = std::invoke_result_t<Body&, const BatchView<double>&>;
  return std::visit(
      [&]<class View>(const View& view) -> Result {
        if constexpr (std::is_same_v<View, HalfBatchView>)
          throw NotSupported("batch.type", "16 bits (need float32 or float64 here)");
        else
          return body(view);
      },
      batch_of(batch).of);
}

/// Hands out a model of the precision `type`; make.operator()<T>() gives the library's.
template <class Make>
softstep_model* hand_out_model(softstep_type type, const char* name, Make make) {
  auto out = std::make_unique<softstep_model>();
  if (type == SOFTSTEP_F64)
    out->of = make.template operator()<double>();
  else if (type == SOFTSTEP_F32)
    out->of = make.template operator()<float>();
  else
    throw InvalidArgument(name, std::to_string(type) + " (need SOFTSTEP_F64 or SOFTSTEP_F32)");
  return hand_out(std::move(out));
}

/// The losses of options, shared by the models that have one.
std::shared_ptr<const LossFunction> own_loss_of(const softstep_own_loss* given);

}  // namespace softstep::c
