#pragma once

// Which form and which layout are the cheapest for a shape.

#include "core/layer/attention_data.h"
#include "softstep/train_state.h"

namespace softstep {

/// The cheapest form by the model of choose_form.cpp, for a rule that moves along the gradient and a run of
/// many steps.
template <class T>
Form cheapest_form(const AttentionData<T>& data);

/// A run of many in the query span, one to a lane (core/trainer/many/), takes less of a thread's time than a
/// run alone in its cheapest form.
template <class T>
bool pays_side_by_side(const AttentionData<T>& data);
/// The same of a run whose rule computes a step entry by entry, and which is dense alone as well.
template <class T>
bool pays_side_by_side_dense(const AttentionData<T>& data);

/// A run keeps small batches with the sample index last (core/layer/passes/lane_batch.h).
template <class T>
bool fits_lanes(const AttentionData<T>& data);

/// A dense run with a rule that moves along the gradient, sample by sample, does not form it where W is
/// large.
template <class T>
bool pays_without_gradient(const AttentionData<T>& data);

}  // namespace softstep
