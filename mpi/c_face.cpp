#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <string>

#include "softstep/c/softstep_mpi.h"
#include "softstep/mpi.h"

namespace {

// Null, or what has gone wrong, until the next call of this thread.
template <class Body>
const char* message_of(void* user, Body body) noexcept {
  static thread_local std::string message;
  try {
    body(*static_cast<softstep::MpiRanks*>(user));
    return nullptr;
  } catch (const std::bad_alloc&) {
    return "out of memory";
  } catch (const std::exception& error) {
    try {
      message = error.what();
      return message.c_str();
    } catch (const std::bad_alloc&) {
      return "out of memory";
    }
  }
}

std::span<std::byte> bytes(void* data, std::size_t n) { return {static_cast<std::byte*>(data), n}; }
std::span<const std::byte> bytes(const void* data, std::size_t n) {
  return {static_cast<const std::byte*>(data), n};
}

// body(numbers) of the type that they have, F32 or F64.
template <class Body>
void in_type(softstep_type type, void* values, std::size_t n, Body body) {
  if (type == SOFTSTEP_F32)
    body(std::span<float>(static_cast<float*>(values), n));
  else
    body(std::span<double>(static_cast<double*>(values), n));
}

}  // namespace

extern "C" {

softstep_status softstep_ranks_create_mpi(MPI_Comm communicator, const char* sum_order,
                                          softstep_ranks** ranks) {
  std::unique_ptr<softstep::MpiRanks> mpi;
  try {
    mpi = std::make_unique<softstep::MpiRanks>(communicator);
  } catch (const std::bad_alloc&) {
    return softstep_set_failure(SOFTSTEP_OUT_OF_MEMORY, "", "out of memory");
  } catch (const std::exception& error) {
    return softstep_set_failure(SOFTSTEP_FAILED, "communicator", error.what());
  }
  softstep_own_ranks own = {};
  own.struct_size = sizeof own;
  own.user = mpi.get();
  own.rank = mpi->rank();
  own.size = mpi->size();
  own.gather = [](void* user, const void* mine, std::size_t n, void* all) {
    return message_of(user,
                      [&](softstep::MpiRanks& to) { to.gather(bytes(mine, n), bytes(all, n * to.size())); });
  };
  own.broadcast = [](void* user, void* data, std::size_t n, std::size_t from) {
    return message_of(user, [&](softstep::MpiRanks& to) { to.broadcast(bytes(data, n), from); });
  };
  own.receive = [](void* user, void* data, std::size_t n) {
    return message_of(user, [&](softstep::MpiRanks& to) { to.receive(bytes(data, n)); });
  };
  own.send = [](void* user, const void* data, std::size_t n) {
    return message_of(user, [&](softstep::MpiRanks& to) { to.send(bytes(data, n)); });
  };
  own.flush = [](void* user) { return message_of(user, [](softstep::MpiRanks& to) { to.flush(); }); };
  own.sum_order = sum_order;
  own.sum = [](void* user, softstep_type type, void* values, std::size_t n) {
    return message_of(user, [&](softstep::MpiRanks& to) {
      in_type(type, values, n, [&](auto numbers) { to.sum(numbers); });
    });
  };
  own.begin_sum = [](void* user, softstep_type type, void* values, std::size_t n) {
    return message_of(user, [&](softstep::MpiRanks& to) {
      in_type(type, values, n, [&](auto numbers) { to.begin_sum(numbers); });
    });
  };
  own.destroy = [](void* user) { delete static_cast<softstep::MpiRanks*>(user); };
  const softstep_status status = softstep_ranks_create(&own, ranks);
  if (status == SOFTSTEP_OK) static_cast<void>(mpi.release());  // theirs to destroy
  return status;
}
}
