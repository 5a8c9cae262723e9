#pragma once

// Runs over MPI: the library softstep::mpi, apart from softstep::softstep, which knows nothing of MPI. It is
// there where softstep was built with -DSOFTSTEP_MPI=ON. docs/mpi.md says how to use it.

#include <mpi.h>

#include <cstddef>
#include <memory>
#include <span>
#include <stop_token>

#include "softstep/export.h"
#include "softstep/ranks.h"

namespace softstep {

/// The processes of a communicator, for AttentionOptions::ranks. All of them make one together.
///
/// It works on a copy of the communicator, so that no message of the caller's is taken for one of its own.
/// MPI must have been initialised, with MPI_THREAD_FUNNELED or more where a rank has several threads; all
/// calls come from the thread that calls train() or evaluate(), which must be the one that initialised MPI.
/// Destroy it before MPI_Finalize. A call of MPI that fails ends all ranks by the communicator's error
/// handler, or throws std::runtime_error where that returns.
class SOFTSTEP_EXPORT MpiRanks final : public Ranks {
 public:
  /// The caller keeps the communicator, and may free it at once. Throws std::runtime_error where MPI has not
  /// been initialised, or is finalised, and where this is MPI_COMM_NULL or an intercommunicator.
  explicit MpiRanks(MPI_Comm communicator, SumOrder order = SumOrder::samples);
  ~MpiRanks() override;

  std::size_t rank() const override { return rank_; }
  std::size_t size() const override { return size_; }
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

  /// For what follows; on all ranks alike.
  void set_sum_order(SumOrder order) { order_ = order; }
  /// Lets the run stop on all ranks, after the step that they are in. Any thread may call it.
  void ask_to_stop() { asked_.request_stop(); }
  /// For TrainerOptions::stop: says on all ranks in the same step that one of them was asked to stop.
  std::stop_token stop_token() const { return agreed_.get_token(); }
  bool wants_stop() const override { return asked_.stop_requested(); }
  void stop() override { agreed_.request_stop(); }

 private:
  struct Pending;
  template <class T>
  void begin_sum_by_shares(std::span<T> values);
  void give_shares();

  MPI_Comm communicator_ = MPI_COMM_NULL;
  std::size_t rank_ = 0, size_ = 1;
  SumOrder order_;
  std::stop_source asked_, agreed_;
  std::unique_ptr<Pending> pending_;
};

}  // namespace softstep
