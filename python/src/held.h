#pragma once

// An object of Python's that the library keeps, and may drop where the GIL is not held.

#include <nanobind/nanobind.h>

namespace softstep::python {

class Held {
 public:
  explicit Held(nanobind::handle object) : object_(nanobind::borrow(object)) {}
  ~Held() {
    if (!object_.is_valid()) return;
    const nanobind::gil_scoped_acquire held;
    object_.reset();
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  const nanobind::object& get() const { return object_; }
  /// Drops it. Holds the GIL.
  void drop() { object_.reset(); }

 private:
  nanobind::object object_;
};

}  // namespace softstep::python
