# softstep_digits: floating point of many digits, which the tests and the fuzz targets compare results with (tests/support/digits.h).
find_package(Boost 1.71 REQUIRED CONFIG)  # headers: Multiprecision
find_package(PkgConfig REQUIRED)
pkg_check_modules(SOFTSTEP_MPFR REQUIRED IMPORTED_TARGET mpfr>=4 gmp)
add_library(softstep_digits INTERFACE)
target_link_libraries(softstep_digits INTERFACE Boost::headers PkgConfig::SOFTSTEP_MPFR)
