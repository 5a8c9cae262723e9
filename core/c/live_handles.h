#pragma once

// Which handles of the C face live. A build without NDEBUG asks before it follows a handle, so that one that
// has been destroyed is an error with a message there.

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <new>
#include <unordered_map>

#include "core/c/guarded.h"

namespace softstep::c {

#ifdef NDEBUG
inline constexpr bool handles_are_checked = false;
#else
inline constexpr bool handles_are_checked = true;
#endif

/// A register of addresses. Memory of the last handles that died is kept for a while: were it given out again
/// at once, a handle that died would look like the next one.
class LiveHandles {
 public:
  explicit LiveHandles(std::size_t n_kept = 1024) : n_kept_(n_kept) {}
  LiveHandles(const LiveHandles&) = delete;
  LiveHandles& operator=(const LiveHandles&) = delete;
  ~LiveHandles();

  void add(const void* handle, const void* kind);
  bool has(const void* handle, const void* kind) const;
  /// False where it was not there.
  bool remove(const void* handle, const void* kind);
  /// Takes memory of `operator new` to be given back later.
  void keep(void* memory);

 private:
  std::size_t n_kept_;
  mutable std::mutex mutex_;
  std::unordered_map<const void*, const void*> live_;
  std::deque<void*> kept_;
};

/// The one of the process; never destroyed, because programs may destroy handles while they end.
LiveHandles& live_handles();

/// Tells the types of handles apart.
template <class Handle>
inline constexpr char kind_of = 0;

/// Throws InvalidArgument for a null pointer and, where that is checked, for a handle that does not live.
template <class Handle>
Handle* live(Handle* handle, const char* name) {
  required(handle, name);
  if constexpr (handles_are_checked)
    if (!live_handles().has(handle, &kind_of<std::remove_const_t<Handle>>))
      throw InvalidArgument(name, "destroyed already, or not made by softstep");
  return handle;
}

/// Hands a new object to the caller.
template <class Handle>
Handle* hand_out(std::unique_ptr<Handle> handle) {
  if constexpr (handles_are_checked) live_handles().add(handle.get(), &kind_of<Handle>);
  return handle.release();
}

/// What the functions `.._destroy` do. Where it is checked, a second destruction leaves a message and nothing
/// else.
template <class Handle>
void destroy(Handle* handle, const char* name) noexcept {
  if (handle == nullptr) return;
  if constexpr (handles_are_checked) {
    guarded([&] {
      if (!live_handles().remove(handle, &kind_of<Handle>))
        throw InvalidArgument(name, "destroyed already, or not made by softstep");
      std::destroy_at(handle);
      live_handles().keep(handle);
    });
  } else {
    delete handle;
  }
}

}  // namespace softstep::c
