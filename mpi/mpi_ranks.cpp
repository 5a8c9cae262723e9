#include <algorithm>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "softstep/mpi.h"

namespace softstep {
namespace {

// A count of MPI is an int: more bytes go in several messages.
constexpr std::size_t most_bytes = std::size_t{1} << 30;
constexpr int chain_tag = 1;

void require(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw std::runtime_error(std::string(call) + ": " + std::string(text, static_cast<std::size_t>(length)));
}

// body(begin, count) for the pieces of so many bytes.
template <class Body>
void in_pieces(std::size_t size, Body body) {
  for (std::size_t begin = 0; begin < size; begin += most_bytes)
    body(begin, static_cast<int>(std::min(most_bytes, size - begin)));
}

}  // namespace

// A sum that is on its way: of each number one rank has the sum, then all.
struct SumBegun {
  void* values;
  MPI_Datatype type;
  std::vector<int> counts, places;  // of the shares
  std::vector<std::byte> share;     // this rank's
  MPI_Request request = MPI_REQUEST_NULL;
};

struct MpiRanks::Pending {
  std::vector<MPI_Request> requests;
  // Sums in the order in which they were begun; of those before `n_given` the shares are on their way to all.
  std::vector<SumBegun> sums;
  std::size_t n_sums = 0, n_given = 0;
};

MpiRanks::MpiRanks(MPI_Comm communicator, SumOrder order)
    : order_(order), pending_(std::make_unique<Pending>()) {
  int is_initialized = 0, is_finalized = 0;
  MPI_Initialized(&is_initialized);
  MPI_Finalized(&is_finalized);
  if (is_initialized == 0 || is_finalized != 0)
    throw std::runtime_error(is_initialized == 0 ? "MPI has not been initialised" : "MPI has been finalised");
  // What a rank has that MPI_Comm_split left out. The error handler would end the job.
  if (communicator == MPI_COMM_NULL)
    throw std::runtime_error("MPI_COMM_NULL (need a communicator that this process is in)");
  int is_inter = 0;
  require(MPI_Comm_test_inter(communicator, &is_inter), "MPI_Comm_test_inter");
  if (is_inter != 0)
    throw std::runtime_error("an intercommunicator, of two groups of processes (need one of one group)");
  require(MPI_Comm_dup(communicator, &communicator_), "MPI_Comm_dup");
  int rank = 0, size = 1;
  require(MPI_Comm_rank(communicator_, &rank), "MPI_Comm_rank");
  require(MPI_Comm_size(communicator_, &size), "MPI_Comm_size");
  rank_ = static_cast<std::size_t>(rank);
  size_ = static_cast<std::size_t>(size);
}

MpiRanks::~MpiRanks() {
  int is_finalized = 0;
  MPI_Finalized(&is_finalized);
  if (is_finalized == 0 && communicator_ != MPI_COMM_NULL) MPI_Comm_free(&communicator_);
}

void MpiRanks::gather(std::span<const std::byte> mine, std::span<std::byte> all) {
  if (mine.size() > most_bytes || all.size() != mine.size() * size_)
    throw std::invalid_argument("gather: " + std::to_string(mine.size()) + " bytes into " +
                                std::to_string(all.size()));
  const int count = static_cast<int>(mine.size());
  require(MPI_Allgather(mine.data(), count, MPI_BYTE, all.data(), count, MPI_BYTE, communicator_),
          "MPI_Allgather");
}

void MpiRanks::broadcast(std::span<std::byte> data, std::size_t from) {
  in_pieces(data.size(), [&](std::size_t begin, int count) {
    require(MPI_Bcast(data.data() + begin, count, MPI_BYTE, static_cast<int>(from), communicator_),
            "MPI_Bcast");
  });
}

void MpiRanks::receive(std::span<std::byte> data) {
  in_pieces(data.size(), [&](std::size_t begin, int count) {
    require(MPI_Recv(data.data() + begin, count, MPI_BYTE, static_cast<int>(rank_) - 1, chain_tag,
                     communicator_, MPI_STATUS_IGNORE),
            "MPI_Recv");
  });
}

void MpiRanks::send(std::span<const std::byte> data) {
  in_pieces(data.size(), [&](std::size_t begin, int count) {
    pending_->requests.push_back(MPI_REQUEST_NULL);
    require(MPI_Isend(data.data() + begin, count, MPI_BYTE, static_cast<int>(rank_) + 1, chain_tag,
                      communicator_, &pending_->requests.back()),
            "MPI_Isend");
  });
}

// Each rank adds up a share of the numbers and gives it to all. So every number is the sum of one rank, and
// has the same bits on all of them, which MPI_Allreduce need not see to.
//
// While the shares of one sum are added up, the caller computes the numbers of the next. They are given to
// all before the next sum begins: all ranks make these calls in one order, whichever is done first.
template <class T>
void MpiRanks::begin_sum_by_shares(std::span<T> values) {
  constexpr std::size_t few_bytes = 1 << 14;  // then fewer messages are worth more
  if (values.size_bytes() * size_ <= few_bytes) {
    flush();
    Ranks::sum(values);
    return;
  }
  in_pieces(values.size_bytes(), [&](std::size_t begin, int n_bytes) {
    give_shares();
    if (pending_->n_sums == pending_->sums.size()) pending_->sums.emplace_back();
    SumBegun& sum = pending_->sums[pending_->n_sums++];
    T* const piece = values.data() + begin / sizeof(T);
    const std::size_t n = static_cast<std::size_t>(n_bytes) / sizeof(T);
    sum.values = piece;
    sum.type = std::is_same_v<T, float> ? MPI_FLOAT : MPI_DOUBLE;
    sum.counts.resize(size_);
    sum.places.resize(size_);
    for (std::size_t r = 0; r < size_; ++r) {
      sum.places[r] = static_cast<int>(n * r / size_);
      sum.counts[r] = static_cast<int>(n * (r + 1) / size_) - sum.places[r];
    }
    sum.share.resize(static_cast<std::size_t>(sum.counts[rank_]) * sizeof(T));
    require(MPI_Ireduce_scatter(piece, sum.share.data(), sum.counts.data(), sum.type, MPI_SUM, communicator_,
                                &sum.request),
            "MPI_Ireduce_scatter");
  });
}

// Of the sums whose shares are still being added up.
void MpiRanks::give_shares() {
  for (; pending_->n_given < pending_->n_sums; ++pending_->n_given) {
    SumBegun& sum = pending_->sums[pending_->n_given];
    require(MPI_Wait(&sum.request, MPI_STATUS_IGNORE), "MPI_Wait");
    require(MPI_Iallgatherv(sum.share.data(), sum.counts[rank_], sum.type, sum.values, sum.counts.data(),
                            sum.places.data(), sum.type, communicator_, &sum.request),
            "MPI_Iallgatherv");
  }
}

void MpiRanks::sum(std::span<float> values) {
  begin_sum(values);
  flush();
}
void MpiRanks::sum(std::span<double> values) {
  begin_sum(values);
  flush();
}
void MpiRanks::begin_sum(std::span<float> values) { begin_sum_by_shares(values); }
void MpiRanks::begin_sum(std::span<double> values) { begin_sum_by_shares(values); }

void MpiRanks::flush() {
  give_shares();
  for (std::size_t k = 0; k < pending_->n_sums; ++k)
    require(MPI_Wait(&pending_->sums[k].request, MPI_STATUS_IGNORE), "MPI_Wait");
  pending_->n_sums = pending_->n_given = 0;
  std::vector<MPI_Request>& requests = pending_->requests;
  require(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE),
          "MPI_Waitall");
  requests.clear();
}

}  // namespace softstep
