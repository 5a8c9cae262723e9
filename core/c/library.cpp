#include <cstring>
#include <new>

#include "core/c/live_handles.h"
#include "softstep/isa.h"
#include "softstep/threads.h"
#include "softstep/version.h"

namespace softstep::c {
namespace {

thread_local std::string last_message, last_argument;

softstep_status note(softstep_status status, const char* message, const std::string& argument) noexcept {
  try {
    last_message = message;
    last_argument = argument;
  } catch (...) {
    last_message.clear();
    last_argument.clear();
  }
  return status;
}

}  // namespace

softstep_status note_exception() noexcept {
  try {
    throw;
  } catch (const BadFile& error) {
    return note(SOFTSTEP_BAD_FILE, error.what(), error.argument());
  } catch (const IoError& error) {
    return note(SOFTSTEP_IO_ERROR, error.what(), error.argument());
  } catch (const NotSupported& error) {
    return note(SOFTSTEP_NOT_SUPPORTED, error.what(), error.argument());
  } catch (const InvalidArgument& error) {
    return note(SOFTSTEP_BAD_ARGUMENT, error.what(), error.argument());
  } catch (const std::bad_alloc&) {
    return note(SOFTSTEP_OUT_OF_MEMORY, "out of memory", {});
  } catch (const std::exception& error) {
    return note(SOFTSTEP_FAILED, error.what(), {});
  } catch (...) {
    return note(SOFTSTEP_FAILED, "unknown error", {});
  }
}

}  // namespace softstep::c

using namespace softstep::c;

extern "C" {

const char* softstep_last_message(void) { return last_message.c_str(); }
const char* softstep_last_argument(void) { return last_argument.c_str(); }
softstep_status softstep_set_failure(softstep_status status, const char* argument, const char* message) {
  // A copy, as it may be what note() writes to.
  std::string name;
  try {
    name = word(argument);
  } catch (...) {
  }
  return note(status, message == nullptr ? "" : message, name);
}
int32_t softstep_abi(void) { return SOFTSTEP_C_ABI; }
const char* softstep_version(void) { return softstep::version; }
int32_t softstep_checks_handles(void) { return handles_are_checked ? 1 : 0; }
int32_t softstep_available_threads(void) { return softstep::available_threads(); }

softstep_status softstep_require_abi(int32_t abi) {
  return guarded([&] {
    if (abi != SOFTSTEP_C_ABI)
      throw softstep::InvalidArgument("abi",
                                      std::to_string(abi) +
                                          " (the program was compiled with a header of that binary face; the "
                                          "library is softstep " +
                                          softstep::version + " with " + std::to_string(SOFTSTEP_C_ABI) +
                                          ": compile the program with the header of this library)");
  });
}

softstep_status softstep_active_isa(char* name, size_t size) {
  return guarded([&] {
    required(name, "name");
    const std::string active = softstep::active_isa();
    if (size <= active.size())
      throw softstep::InvalidArgument(
          "size", std::to_string(size) + " (need " + std::to_string(active.size() + 1) + ")");
    std::memcpy(name, active.c_str(), active.size() + 1);
  });
}

softstep_status softstep_force_isa(const char* name) {
  return guarded([&] { softstep::force_isa(required(name, "name")); });
}
}
