#pragma once

// Included before Eigen in the .cpp files of this room. Eigen's functions get a namespace of their own here,
// so that the linker never mixes them with those of a user who compiled Eigen with other flags and so with
// another alignment. They do not assert, which could abort, and start no threads, which could change bits.
#define EIGEN_NO_DEBUG
#define EIGEN_DONT_PARALLELIZE
#define EIGEN_MPL2_ONLY
#define Eigen softstep_eigen
