#include "softstep/ranks.h"

#include <algorithm>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "core/data/quoted.h"
#include "core/ranks/in_order.h"
#include "softstep/error.h"

namespace softstep {

Ranks::~Ranks() = default;

namespace {

template <class T>
void sum_of_gathered(Ranks& ranks, std::span<T> values) {
  constexpr std::size_t most = 1 << 18;  // numbers of all ranks at a time
  const std::size_t piece = std::max(most / ranks.size(), std::size_t{1});
  std::vector<T> all(std::min(piece, values.size()) * ranks.size());
  for (std::size_t begin = 0; begin < values.size(); begin += piece) {
    const std::span<T> part = values.subspan(begin, std::min(piece, values.size() - begin));
    const std::span<T> parts(all.data(), part.size() * ranks.size());
    ranks.gather(std::as_bytes(part), bytes_of(parts));
    std::copy_n(parts.data(), part.size(), part.data());
    for (std::size_t r = 1; r < ranks.size(); ++r)
      for (std::size_t k = 0; k < part.size(); ++k) part[k] += parts[r * part.size() + k];
  }
}

}  // namespace

void Ranks::sum(std::span<float> values) { sum_of_gathered(*this, values); }
void Ranks::sum(std::span<double> values) { sum_of_gathered(*this, values); }
void Ranks::begin_sum(std::span<float> values) { sum(values); }
void Ranks::begin_sum(std::span<double> values) { sum(values); }

const char* to_string(SumOrder order) { return order == SumOrder::any ? "any" : "samples"; }
SumOrder parse_sum_order(const std::string& name) {
  for (const SumOrder order : {SumOrder::samples, SumOrder::any})
    if (name == to_string(order)) return order;
  throw InvalidArgument("sum_order", data::quoted(name) + " is not known (known: samples, any)");
}

RankFailed::RankFailed(const std::string& message, const std::string& argument)
    : InvalidArgument(argument,
                      message.starts_with(argument + ": ") ? message.substr(argument.size() + 2) : message) {}

SampleRange share_of_rank(std::size_t n, std::size_t rank, std::size_t size) {
  if (rank >= size)
    throw InvalidArgument("rank",
                          std::to_string(rank) + " (there are " + std::to_string(size) + ", from 0 on)");
  if (n < size)
    throw InvalidArgument(
        "ranks", std::to_string(size) + " (there are " + std::to_string(n) + " samples; need one for each)");
  // n rank / size without the product, which may be too large.
  const auto begin = [&](std::size_t r) { return n / size * r + n % size * r / size; };
  return {begin(rank), begin(rank + 1)};
}

namespace {

// Texts of one length for all, which gather() needs.
constexpr std::size_t most_text = 1024;
struct Failure {
  bool failed = false;
  char message[most_text] = {}, argument[most_text] = {};

  void set(const char* what, const std::string& of) {
    failed = true;
    std::string(what).copy(message, most_text - 1);
    of.copy(argument, most_text - 1);
  }
};

}  // namespace

void all_or_none(Ranks* ranks, const std::function<void()>& work) {
  if (!are_several(ranks)) {
    work();
    return;
  }
  Failure mine;
  std::exception_ptr thrown;
  try {
    work();
  } catch (const Error& error) {
    thrown = std::current_exception();
    mine.set(error.what(), error.argument());
  } catch (const std::bad_alloc&) {
    thrown = std::current_exception();
    mine.set("out of memory", "");  // what() is the name of the class
  } catch (const std::exception& error) {
    thrown = std::current_exception();
    mine.set(error.what(), "");
  }
  const std::vector<bool> failed = [&] {
    std::vector<bool> out;
    for (const char flag : gathered(ranks, static_cast<char>(mine.failed))) out.push_back(flag != 0);
    return out;
  }();
  const auto first = std::find(failed.begin(), failed.end(), true);
  if (first == failed.end()) return;
  const auto from = static_cast<std::size_t>(first - failed.begin());
  ranks->broadcast(bytes_of(std::span<Failure>(&mine, 1)), from);
  if (from == ranks->rank()) std::rethrow_exception(thrown);
  throw RankFailed(mine.message, mine.argument);
}

}  // namespace softstep
