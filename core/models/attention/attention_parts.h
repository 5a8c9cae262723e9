#pragma once

// What an AttentionModel is made of, for the trainer's forms.

#include <string>
#include <vector>

#include "core/layer/attention_data.h"
#include "softstep/attention_model.h"

namespace softstep {

template <NumberType T>
struct AttentionModel<T>::Parts {
  AttentionData<T> data;
  std::vector<BlockShape> blocks;
  std::size_t n_map_blocks;  // the first, which stand for the key-query matrix
  double optimal_loss;
  std::string identity;  // with several ranks: found when the model is made, by all together
  int n_threads;         // worth starting for an evaluation with gradients

  /// Whether W is trained alone, so that the trainer may keep it in any of its forms.
  bool trains_weights_alone() const {
    return data.options.key_query == KeyQuery::combined && !data.options.train_decoder;
  }
};

}  // namespace softstep
