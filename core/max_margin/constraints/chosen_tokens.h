#pragma once

#include <cstddef>
#include <vector>

#include "core/data/batch_rows.h"

namespace softstep {

/// The tokens whose scores are to win, as TokenScores by row: those of `selected` if it is not empty (then no
/// decoder is needed, and gaps and scores are 0), else the optimal ones. Validates the batch, and the
/// selection against it.
template <class T>
TokenScores chosen_tokens(const BatchView<T>& batch, const std::vector<std::size_t>& selected);

}  // namespace softstep
