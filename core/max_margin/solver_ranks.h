#pragma once

#include <cstddef>
#include <functional>

#include "core/max_margin/constraints/exact_row.h"
#include "core/max_margin/constraints/rows_of_ranks.h"
#include "softstep/max_margin.h"

namespace softstep {

/// Throws InvalidArgument on all ranks where they do not solve one problem in one way: another dimension,
/// tolerance, number of sweeps or instruction set would lead them to other decisions, and they would wait for
/// each other for ever. `isa` is the name of the instruction set.
void require_alike(Ranks* ranks, std::size_t dim, std::size_t bytes_of_number, const char* isa,
                   const MaxMarginOptions& options);

/// The options with a callback that answers on all ranks what the first of them to say no answers.
MaxMarginOptions agreeing(const MaxMarginOptions& options);

/// The exact rows of all ranks by those of this one: the rank that has a row gives it to all.
ExactRows rows_of_all(const RowsOfRanks& all, std::size_t dim, ExactRows mine);

/// Throws where ranks have come to other answers, which cannot be: a last look before one of them is taken
/// for that of all.
void require_same(Ranks* ranks, const MaxMarginResult& result);

/// Throws NotSupported where there are several ranks.
void refuse_ranks(const MaxMarginOptions& options);

}  // namespace softstep
