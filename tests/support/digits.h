#pragma once

// Floating point of any number of decimal digits, with exponents of 62 bits: what results are compared with.
// By MPFR, whose exponentials of 520 digits take a twentieth of the time of cpp_bin_float's.

#include <boost/multiprecision/mpfr.hpp>

namespace softstep::test {

template <unsigned n_digits>
using Digits = boost::multiprecision::number<
    boost::multiprecision::mpfr_float_backend<n_digits, boost::multiprecision::allocate_stack>,
    boost::multiprecision::et_off>;

}  // namespace softstep::test
