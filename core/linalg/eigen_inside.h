#pragma once

// Before Eigen in a .cpp file of this room: its functions get a namespace of their own, so that the linker never takes them
// for those of a user who compiled Eigen with other flags (hence another alignment); they do not assert, which could abort,
// and start no threads, which could change bits.
#define EIGEN_NO_DEBUG
#define EIGEN_DONT_PARALLELIZE
#define EIGEN_MPL2_ONLY
#define Eigen softstep_eigen
