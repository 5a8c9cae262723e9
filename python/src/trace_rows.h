#pragma once

// Rows of traces as Python sees them, under the names of TraceRecord.

#include <nanobind/nanobind.h>

#include <span>
#include <vector>

#include "softstep/model.h"
#include "softstep/trainer.h"

namespace softstep::python {

/// A row as a dict.
nanobind::dict row_of(const TraceRecord& record, const std::vector<Observable>& watched);

/// Many rows as a dict of arrays of one number a row; NaN where a row has no such number.
nanobind::dict columns_of(std::span<const TraceRecord* const> records,
                          const std::vector<Observable>& watched);

}  // namespace softstep::python
