#include "core/c/live_handles.h"

namespace softstep::c {

LiveHandles::~LiveHandles() {
  for (void* memory : kept_) ::operator delete(memory);
}

void LiveHandles::add(const void* handle, const void* kind) {
  const std::lock_guard lock(mutex_);
  live_[handle] = kind;
}

bool LiveHandles::has(const void* handle, const void* kind) const {
  const std::lock_guard lock(mutex_);
  const auto found = live_.find(handle);
  return found != live_.end() && found->second == kind;
}

bool LiveHandles::remove(const void* handle, const void* kind) {
  const std::lock_guard lock(mutex_);
  const auto found = live_.find(handle);
  if (found == live_.end() || found->second != kind) return false;
  live_.erase(found);
  return true;
}

void LiveHandles::keep(void* memory) {
  const std::lock_guard lock(mutex_);
  kept_.push_back(memory);
  if (kept_.size() <= n_kept_) return;
  ::operator delete(kept_.front());
  kept_.pop_front();
}

LiveHandles& live_handles() {
  static auto* const all = new LiveHandles;
  return *all;
}

}  // namespace softstep::c
