#pragma once

// Which samples of a pass a thread works on: the same in every part of a step, so that what a thread has
// written it finds in its own cache.

#include "core/threads/team.h"
#include "simd/dispatch.h"

namespace softstep {

inline Team::Range share_of_samples(const Team& team, std::size_t n_rows) {
  return team.share(n_rows, simd::attention_together);
}

template <class T>
Team::Range share_of_lanes(const Team& team, std::size_t n_lanes) {
  return team.share(n_lanes, simd::lane_multiple<T>);
}

}  // namespace softstep
