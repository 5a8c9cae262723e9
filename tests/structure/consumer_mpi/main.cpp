// softstep over MPI from its installed headers, in C++: each rank has its share of one data set, and all of
// them have the weights of one process.

#include <mpi.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include <softstep/mpi.h>
#include <softstep/softstep.h>

namespace {

std::vector<double> trained(const softstep::BatchView<double>& batch,
                            std::shared_ptr<softstep::Ranks> ranks) {
  softstep::AttentionOptions layer;
  layer.ranks = std::move(ranks);
  const softstep::AttentionModel<double> model(batch, layer);
  softstep::TrainState<double> state = softstep::initial_state(model);
  softstep::TrainerOptions options;
  options.n_steps = 5;
  options.form = softstep::Form::dense;
  softstep::train(model, state, options);
  return state.blocks[0];
}

}  // namespace

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  int same = 0, all = 0;
  std::size_t rank = 0, size = 0;
  {
    const auto ranks = std::make_shared<softstep::MpiRanks>(MPI_COMM_WORLD);
    rank = ranks->rank();
    size = ranks->size();
    softstep::GeneratorOptions options;
    options.n_samples = 12;
    options.n_tokens = 24;
    options.dim = 96;
    const softstep::Dataset<double> data = softstep::generate(options);
    std::vector<std::int64_t> query_offsets;
    const auto part = softstep::part_of(data.view(), softstep::share_of_rank(12, rank, size), query_offsets);
    same = trained(part, ranks) == trained(data.view(), nullptr);
  }
  MPI_Allreduce(&same, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
  if (rank == 0)
    std::printf("main: %zu ranks, the weights of one process: %s\n", size, all != 0 ? "yes" : "no");
  MPI_Finalize();
  return all != 0 ? 0 : 1;
}
