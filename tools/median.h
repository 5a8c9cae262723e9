#pragma once

#include <vector>

namespace softstep::program {

/// The middle value, the mean of the two middle ones for an even number. Infinities are ordinary values here
/// (a level that was never reached); NaN if there is nothing or a NaN among them.
double median(std::vector<double> values);

}  // namespace softstep::program
