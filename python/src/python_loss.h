#pragma once

// A loss of the caller's own, softstep.Loss, as the library's LossFunction.

#include <nanobind/nanobind.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>

#include "held.h"
#include "softstep/loss.h"

namespace softstep::python {

namespace nb = nanobind;

/// Called by any thread, without the GIL. A loss must not throw: what Python raises is kept, and the value is
/// NaN. Whoever asked for the evaluation raises it then (Watch).
class PythonLoss final : public LossFunction {
 public:
  /// `loss` has value, derivative, second_derivative, difference (the last two may be None), name,
  /// is_decreasing.
  explicit PythonLoss(nb::handle loss);

  std::string name() const override { return name_; }
  bool is_decreasing() const override { return decreasing_; }
  Scaled value(double m, double target) const override;
  Scaled derivative(double m, double target) const override;
  Scaled second_derivative(double m, double target) const override;
  Scaled difference(double m, Scaled delta, double target) const override;

  /// How often Python has raised so far.
  std::size_t failures() const { return failures_; }
  /// Throws what it raised last, and lets go of it: a traceback leads to everything. Holds the GIL.
  [[noreturn]] void rethrow() const;
  /// Whether that is KeyboardInterrupt, which is let go of then. Holds the GIL.
  bool was_interrupted() const;

  /// For the garbage collector: what the loss holds, and that it lets go of it.
  std::array<PyObject*, 5> objects() const;
  void clear();

 private:
  template <class... Arguments>
  Scaled call(nb::handle function, Arguments... arguments) const;
  std::shared_ptr<nb::python_error> exchange(std::shared_ptr<nb::python_error> failure) const;

  Held loss_, value_, derivative_, second_, difference_;
  std::string name_;
  bool decreasing_;
  mutable std::atomic<std::size_t> failures_ = 0;
  mutable std::mutex mutex_ = {};
  mutable std::shared_ptr<nb::python_error> last_ =
      {};  // what Python runs when one goes must not run in the lock
};

/// Notes whether a loss fails from here on.
class Watch {
 public:
  explicit Watch(const PythonLoss* loss) : loss_(loss), before_(loss == nullptr ? 0 : loss->failures()) {}
  bool failed() const { return loss_ != nullptr && loss_->failures() != before_; }
  /// Throws what Python raised. Holds the GIL.
  void rethrow() const {
    if (failed()) loss_->rethrow();
  }
  /// Whether it failed because Ctrl-C was pressed while Python's code ran. Holds the GIL.
  bool was_interrupted() const { return failed() && loss_->was_interrupted(); }

 private:
  const PythonLoss* loss_;
  std::size_t before_;
};

/// A name of the library's, or an object as PythonLoss takes it: then own is set.
struct ChosenLoss {
  Loss named = Loss::logistic;
  std::shared_ptr<PythonLoss> own = nullptr;
  bool is_decreasing() const { return own ? own->is_decreasing() : named != Loss::squared; }
};
ChosenLoss choose_loss(nb::handle loss);

}  // namespace softstep::python
