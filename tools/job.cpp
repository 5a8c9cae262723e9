#include "job.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <thread>

#include "output.h"
#include "plain_options.h"
#include "softstep/error.h"
#include "softstep/threads.h"

#if defined(SOFTSTEP_PROGRAM_MPI)
#include <chrono>
#include <cstdlib>

#include "softstep/mpi.h"
#endif

namespace softstep::program {

void add_sum_order(CLI::App& app, std::string& word) {
  add_word(
      app, "--sum-order", word, {to_string(SumOrder::samples), to_string(SumOrder::any)},
      "How processes over MPI add up what each has: one after the other, with the bits of one process, or "
      "in any order, which waits less");
}

#if defined(SOFTSTEP_PROGRAM_MPI)
namespace {

std::shared_ptr<MpiRanks> job;
int n_ranks_of_machine = 1;

// What the launchers of Open MPI, MPICH and Slurm leave in the environment.
bool was_launched() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK"})
    if (std::getenv(name) != nullptr) return true;
  return false;
}

// All ranks ask together: whether one of them needs to know may depend on where it runs.
int count_ranks_of_machine() {
  MPI_Comm machine = MPI_COMM_NULL;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
  int n_ranks = 1;
  MPI_Comm_size(machine, &n_ranks);
  MPI_Comm_free(&machine);
  return n_ranks;
}

void print(const std::string& message) { std::cerr << "softstep: " + one_line(message) + "\n" << std::flush; }

// Until all are here. False if they have not come in time.
bool meet(bool waits_for_ever) {
  using Clock = std::chrono::steady_clock;
  constexpr auto patience = std::chrono::seconds(10);
  const auto began = Clock::now();
  MPI_Request request = MPI_REQUEST_NULL;
  MPI_Ibarrier(MPI_COMM_WORLD, &request);
  for (int are_here = 0;;) {
    MPI_Test(&request, &are_here, MPI_STATUS_IGNORE);
    if (are_here != 0) return true;
    if (!waits_for_ever && Clock::now() - began > patience) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace

void begin_job() {
  if (!was_launched()) return;
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  job = std::make_shared<MpiRanks>(MPI_COMM_WORLD);
  n_ranks_of_machine = count_ranks_of_machine();
}

int end_job(int code, const std::string& message) {
  if (job == nullptr) {
    if (!message.empty()) print(message);
    return code;
  }
  if (!meet(message.empty())) {
    print(message);
    MPI_Abort(MPI_COMM_WORLD, code);
  }
  struct End {
    int code, failed;
  };
  const std::vector<End> all = of_all_ranks(job.get(), End{code, message.empty() ? 0 : 1});
  const auto first = std::find_if(all.begin(), all.end(), [](const End& end) { return end.failed != 0; });
  if (first != all.end() && static_cast<std::size_t>(first - all.begin()) == job->rank()) print(message);
  for (const End& end : all) code = std::max(code, end.code);
  job.reset();
  MPI_Finalize();
  return code;
}

std::shared_ptr<Ranks> ranks_of_job() { return job; }
void set_sum_order(const std::string& word) {
  if (job == nullptr) return;
  const SumOrder order = parse_sum_order(word);
  for (const SumOrder other : of_all_ranks(job.get(), order))
    if (other != order)
      throw InvalidArgument("--sum-order",
                            fmt::format("{} (another rank was given {})", word, to_string(other)));
  job->set_sum_order(order);
}
bool is_first_rank() { return job == nullptr || job->rank() == 0; }
void ask_job_to_stop() {
  if (job != nullptr) job->ask_to_stop();
}
std::stop_token job_stops() { return job == nullptr ? std::stop_token() : job->stop_token(); }

int threads_of_rank() {
  const int mine = available_threads();
  if (job == nullptr || mine < static_cast<int>(std::thread::hardware_concurrency())) return mine;
  return std::max(1, mine / n_ranks_of_machine);
}

#else

void begin_job() {}
int end_job(int code, const std::string& message) {
  if (!message.empty()) std::cerr << "softstep: " + one_line(message) + "\n" << std::flush;
  return code;
}
std::shared_ptr<Ranks> ranks_of_job() { return nullptr; }
void set_sum_order(const std::string& word) { parse_sum_order(word); }
bool is_first_rank() { return true; }
void ask_job_to_stop() {}
std::stop_token job_stops() { return {}; }
int threads_of_rank() { return available_threads(); }

#endif

}  // namespace softstep::program
