#pragma once

// DLPack's table of functions for arrays that are looked at during one call (DLPack 1.3,
// `__dlpack_c_exchange_api__`): a tenth of the time of `__dlpack__`, which makes an object that can outlive
// the array.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

namespace softstep::python {

/// Describes an array whose type has that table, into memory that the array owns. False where it has none, or
/// cannot say.
bool describe_tensor(nanobind::handle object, nanobind::dlpack::dltensor& out);

}  // namespace softstep::python
