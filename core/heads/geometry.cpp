#include "core/heads/geometry.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>
#include <vector>

#include "core/data/checked_size.h"
#include "core/data/text.h"
#include "softstep/threads.h"

namespace softstep::heads {
namespace {

std::string text(std::size_t x) { return std::to_string(x); }
std::string at(const char* name, std::size_t k) { return std::string(name) + "[" + text(k) + "]"; }

// [batch + 1], from 0 on, never falling. Returns the longest entry.
std::size_t check_offsets(std::span<const std::int64_t> offsets, std::size_t batch, const char* name) {
  if (offsets.empty() || offsets.size() - 1 != batch)
    throw InvalidArgument(name, text(offsets.size()) + " numbers (need batch + 1" +
                                    (batch == SIZE_MAX ? "" : " = " + text(batch + 1)) + ")");
  if (offsets[0] != 0) throw InvalidArgument(at(name, 0), std::to_string(offsets[0]) + " (need 0)");
  std::int64_t longest = 0;
  for (std::size_t b = 0; b < batch; ++b) {
    if (offsets[b + 1] < offsets[b])
      throw InvalidArgument(at(name, b + 1), std::to_string(offsets[b + 1]) + " (less than the one before, " +
                                                 std::to_string(offsets[b]) + ")");
    longest = std::max(longest, offsets[b + 1] - offsets[b]);
  }
  return static_cast<std::size_t>(longest);
}

// The bytes that elements may lie in, or a message.
struct Reach {
  std::ptrdiff_t low = 0, high = 0;
};
void extend(Reach& reach, std::ptrdiff_t stride, std::size_t count, const std::string& name) {
  if (count < 2) return;
  std::ptrdiff_t far = 0;
  if (__builtin_mul_overflow(stride, static_cast<std::ptrdiff_t>(count - 1), &far) ||
      __builtin_add_overflow(far < 0 ? reach.low : reach.high, far, far < 0 ? &reach.low : &reach.high))
    throw InvalidArgument(name, std::to_string(stride) + " (the array would not fit into memory)");
}

}  // namespace

Geometry::Geometry(const HeadsShape& shape, const HeadsOptions& options)
    : batch(shape.batch),
      n_heads(shape.n_heads),
      n_key_heads(shape.n_key_heads == 0 ? shape.n_heads : shape.n_key_heads),
      group(0),
      dim(shape.dim),
      value_dim(shape.value_dim == 0 ? shape.dim : shape.value_dim),
      scale(options.scale.value_or(1.0 / std::sqrt(static_cast<double>(shape.dim)))),
      soft_cap(options.soft_cap),
      ragged(!options.mask.query_offsets.empty() || !options.mask.key_offsets.empty()),
      mask_(options.mask),
      n_queries_(shape.n_queries),
      n_keys_(shape.n_keys) {
  if (batch == 0) throw InvalidArgument("batch", "0 (need at least 1)");
  if (n_heads == 0) throw InvalidArgument("n_heads", "0 (need at least 1)");
  if (dim == 0) throw InvalidArgument("dim", "0 (need at least 1)");
  if (n_heads % n_key_heads != 0)
    throw InvalidArgument("n_key_heads",
                          text(n_key_heads) + " (need a divisor of n_heads = " + text(n_heads) + ")");
  group = n_heads / n_key_heads;
  if (!std::isfinite(scale))
    throw InvalidArgument("scale", data::number_text(scale) + " (need a finite number)");
  if (!(soft_cap >= 0.0 && std::isfinite(soft_cap)))
    throw InvalidArgument("soft_cap", data::number_text(soft_cap) + " (need a finite number, 0 or more)");
  if (options.threads < 0 || options.threads > most_threads)
    throw InvalidArgument(
        "threads", std::to_string(options.threads) + " (need 0 to " + std::to_string(most_threads) + ")");
  if (ragged) {
    most_queries_ = check_offsets(mask_.query_offsets, batch, "query_offsets");
    most_keys_ = check_offsets(mask_.key_offsets, batch, "key_offsets");
  } else {
    most_queries_ = n_queries_;
    most_keys_ = n_keys_;
  }
  if (!mask_.key_lengths.empty()) {
    if (mask_.key_lengths.size() != batch)
      throw InvalidArgument("key_lengths",
                            text(mask_.key_lengths.size()) + " numbers (need batch = " + text(batch) + ")");
    for (std::size_t b = 0; b < batch; ++b) {
      const std::int64_t length = mask_.key_lengths[b];
      if (length < 0 || static_cast<std::size_t>(length) > stored_keys_of(b))
        throw InvalidArgument(at("key_lengths", b), std::to_string(length) + " (need 0 to the keys, " +
                                                        text(stored_keys_of(b)) + ")");
    }
  }
  std::size_t product = 1;
  for (const std::size_t factor :
       {batch, n_heads, std::max<std::size_t>(1, std::max(most_queries_, most_keys_)),
        std::max(dim, value_dim), sizeof(double)})
    if (!data::multiply(product, factor, data::max_bytes, product))
      throw InvalidArgument("shape", "the arrays would not fit into memory");
  // Where there are queries, outputs bound the number of heads. Without, only time does.
  constexpr std::size_t most_empty_heads = std::size_t{1} << 24;
  if (total_queries() == 0 && batch > most_empty_heads / n_heads)
    throw InvalidArgument("batch", text(batch) + " (without queries at most 2^24 heads in all)");
  // And with no row at all nothing bounds what a row of work would take.
  constexpr std::size_t most_empty_dim = std::size_t{1} << 16;
  if (total_queries() == 0 && most_keys_ == 0 && std::max(dim, value_dim) > most_empty_dim)
    throw InvalidArgument(dim > most_empty_dim ? "dim" : "value_dim",
                          text(std::max(dim, value_dim)) + " (without queries and keys at most 2^16)");
}

KeyRange Geometry::seen_by(std::size_t b, std::size_t i) const {
  const std::size_t n = keys_of(b), m = queries_of(b);
  // The query stands beside key i + n - m; counted from `m` on nothing is negative.
  const std::size_t place = i + n;
  std::size_t begin = 0, end = n;
  if (mask_.before && place > m && *mask_.before < place - m) begin = place - m - *mask_.before;
  const std::optional<std::size_t> after = mask_.causal ? std::optional<std::size_t>(0) : mask_.after;
  if (after && *after < m + n) {
    const std::size_t last = place + *after + 1;
    end = last <= m ? 0 : std::min(n, last - m);
  }
  return begin < end ? KeyRange{begin, end} : KeyRange{0, 0};
}

double Geometry::work() const {
  double pairs = 0.0;
  for (std::size_t b = 0; b < batch; ++b)
    pairs += static_cast<double>(queries_of(b)) * static_cast<double>(keys_of(b));
  return pairs * static_cast<double>(n_heads) * static_cast<double>(dim + value_dim);
}

namespace {

template <class T, class Half, class Array>
StoredRows<T, Half> resolve(const Geometry& g, const Array& array, Axis axis, std::size_t columns,
                            const std::string& name) {
  StoredRows<T, Half> out;
  out.storage = array.storage;
  switch (array.storage) {
    case StoredType::working:
    case StoredType::f64:
    case StoredType::f32:
    case StoredType::f16:
    case StoredType::bf16:
      break;
    default:
      throw InvalidArgument(name + ".storage",
                            std::to_string(static_cast<int>(array.storage)) + " (not a StoredType)");
  }
  const bool halves = in_16_bits(array.storage);
  if (halves && sizeof(T) != sizeof(float))
    throw InvalidArgument(name + ".storage",
                          std::string(to_string(array.storage)) + " (16 bits go with float32 only)");
  const StoredType own = sizeof(T) == sizeof(float) ? StoredType::f32 : StoredType::f64;
  if (!halves && array.storage != StoredType::working && array.storage != own)
    throw InvalidArgument(name + ".storage", std::string(to_string(array.storage)) +
                                                 " (need the type that is computed with, or 16 bits)");
  const std::size_t heads = axis == Axis::queries ? g.n_heads : g.n_key_heads;
  const std::size_t rows = axis == Axis::queries ? (g.ragged ? g.total_queries() : g.most_queries())
                                                 : (g.ragged ? g.total_keys() : g.most_keys());
  const std::size_t entries = g.ragged ? 1 : g.batch;
  const HeadsStrides& s = array.strides;
  const auto whole = [](std::size_t x) { return static_cast<std::ptrdiff_t>(x); };
  // A step that is never taken may be any number, as NumPy and PyTorch leave it where a size is 1: 0 stands
  // for those of heads and entries. That of a row tells also that its numbers can be read where they lie.
  const auto taken = [&](std::size_t count) { return rows != 0 && count > 1; };
  const std::ptrdiff_t packed_row = whole(g.ragged ? heads * columns : columns);
  out.row = taken(rows) ? s.row.value_or(packed_row) : packed_row;
  if (taken(heads)) out.head = s.head.value_or(whole(g.ragged ? columns : rows * columns));
  if (taken(entries)) out.batch = s.batch.value_or(whole(heads * rows * columns));
  const std::size_t size = halves ? array.halves.size() : array.numbers.size();
  if (rows != 0) {
    Reach reach{whole(s.origin), whole(s.origin)};
    extend(reach, 1, columns, name);
    extend(reach, out.row, rows, name + ".strides.row");
    extend(reach, out.head, heads, name + ".strides.head");
    extend(reach, out.batch, entries, name + ".strides.batch");
    if (reach.low < 0 || reach.high >= whole(size))
      throw InvalidArgument(name, std::to_string(size) + " elements (its strides reach from " +
                                      std::to_string(reach.low) + " to " + std::to_string(reach.high) + ")");
  }
  const std::size_t origin = rows != 0 ? s.origin : 0;
  if (halves)
    out.halves = array.halves.data() + origin;
  else
    out.numbers = array.numbers.data() + origin;
  return out;
}

// Whether the elements of an array surely lie apart from each other: each dimension steps over all that the
// shorter steps reach.
bool apart_from_itself(std::size_t columns,
                       std::initializer_list<std::pair<std::ptrdiff_t, std::size_t>> dims) {
  std::vector<std::pair<std::size_t, std::size_t>> sorted;
  for (const auto& [stride, count] : dims)
    if (count > 1) sorted.emplace_back(static_cast<std::size_t>(std::abs(stride)), count);
  std::sort(sorted.begin(), sorted.end());
  std::size_t reach = columns;
  for (const auto& [stride, count] : dims)
    if (count == 0) return true;
  for (const auto& [stride, count] : sorted) {
    if (stride < reach) return false;
    reach += stride * (count - 1);
  }
  return true;
}

}  // namespace

template <class T>
InputRows<T> Geometry::input(const HeadsView<T>& array, Axis axis, std::size_t columns,
                             const char* name) const {
  return resolve<const T, const std::uint16_t>(*this, array, axis, columns, name);
}

template <class T>
OutputRows<T> Geometry::output(const HeadsSpan<T>& array, Axis axis, std::size_t columns,
                               const char* name) const {
  const OutputRows<T> out = resolve<T, std::uint16_t>(*this, array, axis, columns, name);
  const bool of_queries = axis == Axis::queries;
  const std::size_t rows =
      ragged ? (of_queries ? total_queries() : total_keys()) : (of_queries ? most_queries_ : most_keys_);
  if (!apart_from_itself(
          columns,
          {{out.row, rows}, {out.head, of_queries ? n_heads : n_key_heads}, {out.batch, ragged ? 1 : batch}}))
    throw InvalidArgument(name, "its strides let rows overlap (need each row by itself in what is written)");
  return out;
}

template <class T>
T normal_or_zero(double factor, const char* name) {
  const T out = static_cast<T>(factor);
  if (factor != 0.0 && !std::isnormal(out))
    throw InvalidArgument(
        name, data::number_text(factor) + " (need 0, or a normal number of the type that is computed with)");
  return out;
}

template <class T, class Half>
Extent extent_of(const Geometry& g, const StoredRows<T, Half>& rows, Axis axis, std::size_t columns,
                 const char* name) {
  const std::size_t size = rows.in_halves() ? sizeof(std::uint16_t) : sizeof(T);
  const bool of_queries = axis == Axis::queries;
  std::size_t n_rows = g.ragged ? (of_queries ? g.total_queries() : g.total_keys())
                                : (of_queries ? g.most_queries() : g.most_keys());
  Extent out{name};
  if (n_rows == 0 || !rows.wanted()) return out;
  const auto bytes = static_cast<std::ptrdiff_t>(size);
  std::size_t entries = g.ragged ? 1 : g.batch;
  out.heads = of_queries ? g.n_heads : g.n_key_heads;
  out.batch = rows.batch * bytes;
  out.head = rows.head * bytes;
  out.row = rows.row * bytes;
  if (n_rows == 1) {  // of each entry: the entries are the rows
    out.row = std::exchange(out.batch, 0);
    n_rows = std::exchange(entries, 1);
  }
  out.columns = columns * size;
  const auto base = rows.in_halves() ? reinterpret_cast<std::uintptr_t>(rows.halves)
                                     : reinterpret_cast<std::uintptr_t>(rows.numbers);
  std::ptrdiff_t low = 0, high = static_cast<std::ptrdiff_t>(out.columns);
  const auto reach = [&](std::ptrdiff_t stride, std::size_t count) {
    const std::ptrdiff_t far = stride * static_cast<std::ptrdiff_t>(count - 1);
    (far < 0 ? low : high) += far;
  };
  reach(out.row, n_rows);
  reach(out.head, out.heads);
  reach(out.batch, entries);
  out.begin = base + static_cast<std::uintptr_t>(low);
  out.end = base + static_cast<std::uintptr_t>(high);
  return out;
}

void require_apart(const Extent& output, const Extent& other) {
  if (output.begin == output.end || other.begin == other.end) return;
  if (output.end <= other.begin || other.end <= output.begin) return;
  // Side by side in rows of one length, as dQ, dK and dV in one array [rows][heads of all][d]: apart where
  // their heads take different columns of it.
  const std::ptrdiff_t row = output.row;
  const auto window = [](const Extent& e) {
    return static_cast<std::ptrdiff_t>(e.heads - 1) * std::abs(e.head) +
           static_cast<std::ptrdiff_t>(e.columns);
  };
  if (row > 0 && other.row == row && output.head >= 0 && other.head >= 0 && window(output) <= row &&
      window(other) <= row && output.batch % row == 0 && other.batch % row == 0) {
    // How far the other array's columns begin behind those of the output, in a row: never negative.
    const std::ptrdiff_t difference = static_cast<std::ptrdiff_t>(other.begin - output.begin) % row,
                         ahead = difference < 0 ? difference + row : difference;
    if (ahead >= window(output) && ahead + window(other) <= row) return;
  }
  throw InvalidArgument(output.name, std::string("it overlaps ") + other.name);
}

#define SOFTSTEP_INSTANTIATE(T)                                                                       \
  template T normal_or_zero<T>(double, const char*);                                                  \
  template InputRows<T> Geometry::input(const HeadsView<T>&, Axis, std::size_t, const char*) const;   \
  template OutputRows<T> Geometry::output(const HeadsSpan<T>&, Axis, std::size_t, const char*) const; \
  template Extent extent_of(const Geometry&, const InputRows<T>&, Axis, std::size_t, const char*);    \
  template Extent extent_of(const Geometry&, const OutputRows<T>&, Axis, std::size_t, const char*);
SOFTSTEP_INSTANTIATE(float)
SOFTSTEP_INSTANTIATE(double)
#undef SOFTSTEP_INSTANTIATE

}  // namespace softstep::heads
