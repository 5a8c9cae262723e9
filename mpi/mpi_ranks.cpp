#include <algorithm>
#include <stdexcept>
#include <string>
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

struct MpiRanks::Pending {
  std::vector<MPI_Request> requests;
};

MpiRanks::MpiRanks(MPI_Comm communicator) : pending_(std::make_unique<Pending>()) {
  int is_initialized = 0, is_finalized = 0;
  MPI_Initialized(&is_initialized);
  MPI_Finalized(&is_finalized);
  if (is_initialized == 0 || is_finalized != 0)
    throw std::runtime_error(is_initialized == 0 ? "MPI has not been initialised" : "MPI has been finalised");
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

void MpiRanks::flush() {
  std::vector<MPI_Request>& requests = pending_->requests;
  require(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE),
          "MPI_Waitall");
  requests.clear();
}

}  // namespace softstep
