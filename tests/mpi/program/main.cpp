// Runs over MPI against the same runs in one process, bit for bit: mpirun -n K softstep_mpi_tests. The
// communicator is one of the caller's own, with its ranks in another order than MPI_COMM_WORLD has them.
//
// --plant order, last-bit, left-out or own-sum feeds the comparison a wrong answer, which it must find: exit
// code 1.

#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "mpi/program/any_order.h"
#include "mpi/program/max_margin.h"
#include "mpi/program/planted.h"
#include "mpi/program/runs.h"
#include "softstep/mpi.h"
#include "softstep/softstep.h"

namespace softstep::test {
namespace {

// What the last rank fails with, all say.
bool says(MpiRanks& mpi, const std::string& expected, const std::function<void()>& fail) {
  const bool is_last = mpi.rank() + 1 == mpi.size();
  std::string said;
  try {
    all_or_none(&mpi, [&] {
      if (is_last) fail();
    });
  } catch (const std::bad_alloc&) {
    said = is_last ? "out of memory" : "another rank's memory";
  } catch (const std::exception& error) {
    said = error.what();
  }
  if (said == expected) return true;
  std::printf("rank %zu of %zu: failed with '%s', not '%s'\n", mpi.rank(), mpi.size(), said.c_str(),
              expected.c_str());
  return false;
}

template <class T>
bool is_same(const Case& a, const std::shared_ptr<MpiRanks>& mpi, const std::string& plant) {
  const Dataset<T> data = data_of<T>(a);
  const Ended alone = run<T>(a, data.view(), nullptr);
  std::vector<std::int64_t> query_offsets;
  const BatchView<T> part =
      part_of(data.view(), share_of_rank(data.view().n_samples, mpi->rank(), mpi->size()), query_offsets);
  std::shared_ptr<Ranks> ranks = mpi;
  if (!plant.empty()) ranks = std::make_shared<Planted>(mpi, plant, sizeof(T));
  const Ended together = run<T>(a, part, ranks);
  const bool same = has_run(alone) && alone.status == together.status && alone.bytes == together.bytes;
  if (!same)
    std::printf("rank %zu of %zu: %s, %s: not the bits of one process (%s, %s)\n", mpi->rank(), mpi->size(),
                a.name.c_str(), sizeof(T) == sizeof(float) ? "float" : "double", to_string(alone.status),
                to_string(together.status));
  return same;
}

// The last rank has another instruction set, or another decoder.
bool refuses_other(const std::shared_ptr<MpiRanks>& mpi, bool isa) {
  if (mpi->size() == 1 || (isa && active_isa() == "scalar")) return true;
  const Dataset<double> data = data_of<double>(Case{});
  std::vector<std::int64_t> query_offsets;
  BatchView<double> part =
      part_of(data.view(), share_of_rank(data.view().n_samples, mpi->rank(), mpi->size()), query_offsets);
  AttentionOptions layer;
  layer.ranks = mpi;
  const std::vector<double> decoder(part.dim, 1.0);
  const bool is_last = mpi->rank() + 1 == mpi->size();
  if (is_last && isa) layer.isa = "scalar";
  if (is_last && !isa) part.decoder = decoder.data();
  try {
    const AttentionModel<double> model(part, layer);
  } catch (const InvalidArgument& error) {
    return error.argument() == (isa ? "instruction set" : "ranks");
  }
  std::printf("rank %zu of %zu: a model with another %s on the last rank\n", mpi->rank(), mpi->size(),
              isa ? "instruction set" : "decoder");
  return false;
}

int run_all(const std::string& plant) {
  int rank = 0, size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Comm turned = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, 0, size - rank, &turned);
  const auto mpi = std::make_shared<MpiRanks>(turned);
  MPI_Comm_free(&turned);
  int n_wrong = 0, n = 0;
  for (const Case& a : cases()) {
    n += 2;
    if (!is_same<float>(a, mpi, plant)) ++n_wrong;
    if (!is_same<double>(a, mpi, plant)) ++n_wrong;
  }
  for (const bool isa : {false, true}) {
    ++n;
    if (!refuses_other(mpi, isa)) ++n_wrong;
  }
  const Counts solved = solve_all(mpi, plant);
  const Counts summed = sum_in_any_order(mpi, plant);
  n += 3;
  if (!says(*mpi, "out of memory", [] { throw std::bad_alloc(); })) ++n_wrong;
  if (!says(*mpi, "gone", [] { throw std::runtime_error("gone"); })) ++n_wrong;
  if (!says(*mpi, "rank: 9", [] { throw InvalidArgument("rank", "9"); })) ++n_wrong;
  n += solved.n + summed.n;
  n_wrong += solved.n_wrong + summed.n_wrong;
  int n_wrong_of_all = 0;
  MPI_Allreduce(&n_wrong, &n_wrong_of_all, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  if (rank == 0) std::printf("%d runs on %d ranks, %d differ\n", n, size, n_wrong_of_all);
  return n_wrong_of_all == 0 ? 0 : 1;
}

}  // namespace
}  // namespace softstep::test

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  const std::string plant = argc == 3 && std::string(argv[1]) == "--plant" ? argv[2] : "";
  int code = 2;
  try {
    code = softstep::test::run_all(plant);
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    std::fflush(stdout);
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  MPI_Finalize();
  return code;
}
