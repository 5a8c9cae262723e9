#include "core/max_margin/solver_ranks.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "core/data/digest.h"
#include "core/data/text.h"
#include "core/ranks/alike.h"
#include "core/ranks/in_order.h"
#include "softstep/error.h"

namespace softstep {

void require_alike(Ranks* ranks, std::size_t dim, std::size_t bytes_of_number, const char* isa,
                   const MaxMarginOptions& options) {
  require_alike(ranks, {{"dim", std::to_string(dim)},
                        {"bytes of a token's number", std::to_string(bytes_of_number)},
                        {"max_sweeps", std::to_string(options.max_sweeps)},
                        {"max_gram_rows", std::to_string(options.max_gram_rows)},
                        {"tolerance", data::exact_text(options.tolerance)},
                        {"instruction set", isa}});
}

MaxMarginOptions agreeing(const MaxMarginOptions& options) {
  if (!are_several(options.ranks.get())) return options;
  MaxMarginOptions out = options;
  out.progress = [&options](std::size_t sweeps, double gap, double residual) {
    Ranks* const ranks = options.ranks.get();
    const bool goes_on =
        !ranks->wants_stop() && (!options.progress || options.progress(sweeps, gap, residual));
    const std::vector<char> all = gathered(ranks, static_cast<char>(goes_on ? 1 : 0));
    return std::find(all.begin(), all.end(), 0) == all.end();
  };
  return out;
}

ExactRows rows_of_all(const RowsOfRanks& all, std::size_t dim, ExactRows mine) {
  if (!all.are_several()) return mine;
  return [&all, dim, mine = std::move(mine)](std::size_t k) {
    std::vector<double> numbers(3 * dim + 1);
    all.from_owner(k, numbers, [&](std::size_t own) {
      const ExactRow row = mine(own);
      auto to = std::copy(row.best.begin(), row.best.end(), numbers.begin());
      to = std::copy(row.other.begin(), row.other.end(), to);
      to = std::copy(row.query.begin(), row.query.end(), to);
      *to = static_cast<double>(all.first_query() + row.sample);  // exact below 2^53
    });
    const auto part = [&](std::size_t which) {
      const auto from = numbers.begin() + static_cast<std::ptrdiff_t>(which * dim);
      return std::vector<double>(from, from + static_cast<std::ptrdiff_t>(dim));
    };
    return ExactRow{part(0), part(1), part(2), static_cast<std::size_t>(numbers.back())};
  };
}

void require_same(Ranks* ranks, const MaxMarginResult& result) {
  data::Digest digest;
  digest.add(static_cast<int>(result.status));
  digest.add(result.sweeps);
  for (const std::vector<double>* numbers : {&result.weights, &result.multipliers})
    digest.add(numbers->data(), numbers->size());
  for (const double number : {result.norm, result.margin, result.duality_gap, result.kkt_residual})
    digest.add(number);
  const std::vector<std::uint64_t> all = gathered(ranks, digest.state());
  for (std::size_t r = 1; r < all.size(); ++r)
    if (all[r] != all[0])
      throw InvalidArgument("ranks", "rank " + std::to_string(r) +
                                         " has come to another answer than rank 0 (need one kind of machine "
                                         "and one build for all)");
}

void refuse_ranks(const MaxMarginOptions& options) {
  if (are_several(options.ranks.get()))
    throw NotSupported("ranks",
                       std::to_string(options.ranks->size()) +
                           " of them do not go with this problem (solve_max_margin splits over ranks)");
}

}  // namespace softstep
