#pragma once

#include <memory>
#include <span>
#include <stop_token>

#include "core/c/handles.h"
#include "softstep/ranks.h"
#include "softstep/trainer.h"

namespace softstep::c {

/// Ranks by the caller's functions.
class CallerRanks final : public Ranks {
 public:
  explicit CallerRanks(const softstep_own_ranks& given);
  ~CallerRanks() override;

  std::size_t rank() const override { return given_.rank; }
  std::size_t size() const override { return given_.size; }
  void gather(std::span<const std::byte> mine, std::span<std::byte> all) override;
  void broadcast(std::span<std::byte> data, std::size_t from) override;
  void receive(std::span<std::byte> data) override;
  void send(std::span<const std::byte> data) override;
  void flush() override;
  SumOrder sum_order() const override { return order_; }
  void sum(std::span<float> values) override;
  void sum(std::span<double> values) override;
  void begin_sum(std::span<float> values) override;
  void begin_sum(std::span<double> values) override;
  /// From now on the caller's destroy() is called in the end: not before the handle is the caller's.
  void take_over() { owns_ = true; }

  void ask_to_stop() { asked_.request_stop(); }
  /// What says on all ranks that the run which begins now is to stop. Earlier ones that were stopped by their
  /// callbacks are no reason.
  std::stop_token begin_run() {
    run_is_asked_ = false;
    agreed_ = std::stop_source();
    return agreed_.get_token();
  }
  /// The run that began last, on the thread that it is on.
  void ask_run_to_stop() { run_is_asked_ = true; }
  bool wants_stop() const override { return run_is_asked_ || asked_.stop_requested(); }
  void stop() override { agreed_.request_stop(); }

 private:
  softstep_own_ranks given_;
  SumOrder order_ = SumOrder::samples;
  bool owns_ = false, run_is_asked_ = false;
  std::stop_source asked_, agreed_;
};

/// What an optional handle holds; null for null.
inline std::shared_ptr<CallerRanks> ranks_of(const softstep_ranks* ranks, const char* name) {
  return ranks == nullptr ? nullptr : live(ranks, name)->of;
}

/// A callback that asks to stop asks all ranks, which stop in the next step together. For one run; of several
/// with these options each begins with begin_run().
void stop_together(const std::shared_ptr<CallerRanks>& ranks, TrainerOptions& options);

}  // namespace softstep::c
