#include "core/c/ranks.h"

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <utility>

namespace softstep::c {
namespace {

void require_done(const char* message) {
  if (message != nullptr) throw std::runtime_error(message);
}

template <class Function>
void require_function(Function* function, const char* name) {
  required(reinterpret_cast<const void*>(function), name);
}

}  // namespace

CallerRanks::CallerRanks(const softstep_own_ranks& given) : given_(given) {
  require_function(given.gather, "own.gather");
  require_function(given.broadcast, "own.broadcast");
  require_function(given.receive, "own.receive");
  require_function(given.send, "own.send");
  require_function(given.flush, "own.flush");
  // MPI has no more, and what is gathered of all has a size.
  if (given.size > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
    throw InvalidArgument("own.size", std::to_string(given.size) + " (need at most 2147483647)");
  if (given.rank >= given.size)
    throw InvalidArgument("own.rank",
                          std::to_string(given.rank) + " (there are " + std::to_string(given.size) + ")");
  if (given.sum_order != nullptr) order_ = parse_sum_order(given.sum_order);
}

CallerRanks::~CallerRanks() {
  if (owns_ && given_.destroy != nullptr) given_.destroy(given_.user);
}

void CallerRanks::gather(std::span<const std::byte> mine, std::span<std::byte> all) {
  require_done(given_.gather(given_.user, mine.data(), mine.size(), all.data()));
}
void CallerRanks::broadcast(std::span<std::byte> data, std::size_t from) {
  require_done(given_.broadcast(given_.user, data.data(), data.size(), from));
}
void CallerRanks::receive(std::span<std::byte> data) {
  require_done(given_.receive(given_.user, data.data(), data.size()));
}
void CallerRanks::send(std::span<const std::byte> data) {
  require_done(given_.send(given_.user, data.data(), data.size()));
}
void CallerRanks::sum(std::span<float> values) {
  if (given_.sum == nullptr) return Ranks::sum(values);
  require_done(given_.sum(given_.user, SOFTSTEP_F32, values.data(), values.size()));
}
void CallerRanks::sum(std::span<double> values) {
  if (given_.sum == nullptr) return Ranks::sum(values);
  require_done(given_.sum(given_.user, SOFTSTEP_F64, values.data(), values.size()));
}
void CallerRanks::begin_sum(std::span<float> values) {
  if (given_.begin_sum == nullptr) return sum(values);
  require_done(given_.begin_sum(given_.user, SOFTSTEP_F32, values.data(), values.size()));
}
void CallerRanks::begin_sum(std::span<double> values) {
  if (given_.begin_sum == nullptr) return sum(values);
  require_done(given_.begin_sum(given_.user, SOFTSTEP_F64, values.data(), values.size()));
}
void CallerRanks::flush() { require_done(given_.flush(given_.user)); }

void stop_together(const std::shared_ptr<CallerRanks>& ranks, TrainerOptions& options) {
  if (ranks == nullptr) return;
  options.stop = ranks->begin_run();
  const auto wrap = [&](auto& callback) {
    if (!callback) return;
    callback = [ranks, asked = std::move(callback)](const auto& now) {
      if (!asked(now)) ranks->ask_run_to_stop();
      return true;
    };
  };
  wrap(options.trace);
  wrap(options.progress);
}

}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_ranks_create(const softstep_own_ranks* own, softstep_ranks** ranks) {
  return guarded([&] {
    required(ranks, "ranks");
    const softstep_own_ranks given = read(required(own, "own"), "own");
    const auto of = std::make_shared<CallerRanks>(given);
    *ranks = hand_out(std::make_unique<softstep_ranks>(softstep_ranks{of}));
    of->take_over();
  });
}

void softstep_ranks_destroy(softstep_ranks* ranks) { destroy(ranks, "ranks"); }

softstep_status softstep_ranks_place(const softstep_ranks* ranks, size_t* rank, size_t* size) {
  return guarded([&] {
    const CallerRanks& of = *live(ranks, "ranks")->of;
    if (rank != nullptr) *rank = of.rank();
    if (size != nullptr) *size = of.size();
  });
}

softstep_status softstep_ranks_share(const softstep_ranks* ranks, size_t n, size_t* begin, size_t* end) {
  return guarded([&] {
    required(begin, "begin");
    required(end, "end");
    const CallerRanks& of = *live(ranks, "ranks")->of;
    const SampleRange share = share_of_rank(n, of.rank(), of.size());
    *begin = share.begin;
    *end = share.end;
  });
}

softstep_status softstep_ranks_ask_to_stop(const softstep_ranks* ranks) {
  return guarded([&] { live(ranks, "ranks")->of->ask_to_stop(); });
}

softstep_status softstep_dataset_load_part(const char* path, softstep_type type, const softstep_ranks* ranks,
                                           softstep_dataset** dataset) {
  return guarded([&] {
    CallerRanks& of = *live(ranks, "ranks")->of;
    auto out = std::make_unique<softstep_dataset>();
    all_or_none(&of, [&] {
      required(path, "path");
      required(dataset, "dataset");
      if (type == SOFTSTEP_F64)
        out->of = load_dataset_part<double>(path, of.rank(), of.size());
      else if (type == SOFTSTEP_F32)
        out->of = load_dataset_part<float>(path, of.rank(), of.size());
      else
        throw InvalidArgument("type", std::to_string(type) + " (need SOFTSTEP_F64 or SOFTSTEP_F32)");
    });
    *dataset = hand_out(std::move(out));
  });
}
}
