#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "softstep/batch.h"
#include "softstep/dataset.h"
#include "softstep/error.h"
#include "softstep/export.h"

namespace softstep {

/// How the ranks add up what each has of its samples.
enum class SumOrder {
  samples,  ///< one term after the other in the order of the samples: the bits of one process
  any  ///< each rank its own, then the sums of ranks: less to wait for, other bits for each number of ranks
};
SOFTSTEP_EXPORT const char* to_string(SumOrder order);
SOFTSTEP_EXPORT SumOrder parse_sum_order(const std::string& name);  ///< throws InvalidArgument

/// Processes that share one run: each has the samples that follow those of the rank before it, and all of the
/// weights. softstep/mpi.h makes one of a communicator of MPI; a test may make one of threads. The library
/// asks it to pass numbers on and knows nothing of how.
///
/// All ranks call the same functions in the same order, from one thread each. A function that cannot do its
/// work throws; whoever catches that ends the whole job, because the other ranks wait.
class SOFTSTEP_EXPORT Ranks {
 public:
  Ranks() = default;
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;
  virtual ~Ranks();

  virtual std::size_t rank() const = 0;  ///< this one, 0 to size() - 1
  virtual std::size_t size() const = 0;  ///< how many there are
  /// Everyone's bytes, those of rank 0 first: `all` has size() times the size of `mine`, which is the same
  /// for all.
  virtual void gather(std::span<const std::byte> mine, std::span<std::byte> all) = 0;
  /// What rank `from` has, to all.
  virtual void broadcast(std::span<std::byte> data, std::size_t from) = 0;
  /// The next bytes from the rank before this one; not called by the first.
  virtual void receive(std::span<std::byte> data) = 0;
  /// Bytes for the rank after this one; not called by the last. May return before they are on their way: they
  /// stay unchanged until flush().
  virtual void send(std::span<const std::byte> data) = 0;
  /// Until everything sent is on its way, and every sum that was begun is there.
  virtual void flush() = 0;

  /// How sums over the samples of all ranks are made; the same on all of them.
  virtual SumOrder sum_order() const { return SumOrder::samples; }
  /// values[k] <- the sum of values[k] over the ranks, with the same bits on all of them; for SumOrder::any.
  /// The default gathers the values of all and adds them up in the order of the ranks.
  virtual void sum(std::span<float> values);
  virtual void sum(std::span<double> values);  ///< as above
  /// sum(), which may return before the sums are there: until flush() nobody touches the values. So they are
  /// on their way while more are computed. Sums are begun in the same order on all ranks, and no other
  /// function than this one and flush() is called before they are there. The default is sum().
  virtual void begin_sum(std::span<float> values);
  virtual void begin_sum(std::span<double> values);  ///< as above

  /// Whether this rank wants the run to stop. Every step tells all ranks of it, and they stop together.
  virtual bool wants_stop() const { return false; }
  /// Called on all ranks in the same step, once one of them wants to stop. It must make
  /// TrainerOptions::stop say so.
  virtual void stop() {}
};

/// The samples of one of several ranks: begin to end - 1 of n.
struct SampleRange {
  std::size_t begin = 0;  ///< the first
  std::size_t end = 0;    ///< one after the last
};

/// An even share: begin = n rank / size, rounded down. Throws InvalidArgument where there is no such rank, or
/// fewer samples than ranks.
SOFTSTEP_EXPORT SampleRange share_of_rank(std::size_t n, std::size_t rank, std::size_t size);

/// The samples begin to end - 1 of a batch, where they lie. Throws InvalidArgument for a range that is empty
/// or beyond the batch. `query_offsets` becomes memory that the view looks at.
template <NumberType T>
SOFTSTEP_EXPORT BatchView<T> part_of(const BatchView<T>& batch, SampleRange range,
                                     std::vector<std::int64_t>& query_offsets);

/// load_dataset() of the samples that share_of_rank() gives one of several ranks: it reads, converts and
/// validates their tokens and queries alone. Everything else of the file, some bytes a sample, is read by
/// all.
template <NumberType T>
SOFTSTEP_EXPORT Dataset<T> load_dataset_part(const std::string& path, std::size_t rank, std::size_t size);

/// What all_or_none() throws where another rank has failed. what() is what that one said.
class SOFTSTEP_EXPORT RankFailed : public InvalidArgument {
 public:
  /// `argument`: that of the other's error, or nothing.
  RankFailed(const std::string& message, const std::string& argument);
};

/// Calls `work` on every rank. Where it throws on one of them, all throw: the first rank that failed what it
/// threw, the others a RankFailed with its message. For work that does not call `ranks`. Null: work() alone.
SOFTSTEP_EXPORT void all_or_none(Ranks* ranks, const std::function<void()>& work);

}  // namespace softstep
