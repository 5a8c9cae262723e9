#pragma once

// softstep.Problem: an attention model of arrays that stay where they lie.

#include <nanobind/nanobind.h>

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "array.h"
#include "softstep/attention_model.h"
#include "softstep/batch.h"

namespace softstep::python {

/// The arrays of a batch; those that are not given are empty.
struct BatchArrays {
  Array tokens = {}, offsets = {}, labels = {}, targets = {}, decoder = {}, query_index = {}, queries = {},
        query_offsets = {}, query_weights = {};
  bool all_tokens_are_queries = false;
};

/// All blocks of a model, or directions in their shapes, looked at where they lie.
template <NumberType T>
struct Blocks {
  static constexpr std::size_t most = 3;
  std::array<Array, most> arrays = {};
  std::array<std::span<const T>, most> spans = {};
  std::size_t n = 0;
  Point<T> point() const { return {spans.data(), n}; }
};

template <NumberType T>
struct Outputs {
  Blocks<T> blocks = {};
  std::array<nb::object, Blocks<T>::most> objects = {};
  std::span<T> into(std::size_t k) const {
    return {blocks.arrays[k].template writable<T>(), blocks.spans[k].size()};
  }
};

/// What one evaluation at a time needs.
template <NumberType T>
struct Seat {
  Evaluation<T> out = {};
  std::vector<BlockGradient<T>> products = {};
  std::unique_ptr<Workspace> space = {};
  std::vector<std::size_t> samples = {};
};

template <NumberType T>
class ProblemOf {
 public:
  ProblemOf(BatchArrays arrays, const AttentionOptions& options);

  const AttentionModel<T>& model() const { return *model_; }
  /// Tokens in T: those of 16 bits are widened when this is first asked for.
  const BatchView<T>& batch();
  /// Sizes, labels and queries; the tokens are null where they are in 16 bits.
  const BatchView<T>& layout() const { return view_; }
  bool in_16_bits() const { return half_.has_value(); }
  const void* tokens() const { return arrays_.tokens.data(); }

  /// One array for a model of one block; of several a tuple, list or dict of them.
  Blocks<T> read(nb::handle point, const char* name, Access access = Access::read) const;
  /// Where outputs of the shapes of the blocks go: the arrays `given`, or new ones where it is None. Throws
  /// InvalidArgument where they overlap `point` or the tokens.
  Outputs<T> outputs(nb::handle given, const Blocks<T>& point) const;
  /// An object for each block in the form in which `point` came: one alone, a tuple, a dict.
  nb::object arrange(nb::handle point, std::span<nb::object> blocks) const;

  /// A seat for one evaluation, given back at the end of its life.
  class Taken {
   public:
    explicit Taken(ProblemOf& problem) : problem_(problem), seat_(problem.take()) {}
    ~Taken() { problem_.give_back(std::move(seat_)); }
    Taken(const Taken&) = delete;
    Taken& operator=(const Taken&) = delete;
    Seat<T>* operator->() { return seat_.get(); }
    /// The samples that an index array names; None: all.
    SampleSet samples(nb::handle indices);

   private:
    ProblemOf& problem_;
    std::unique_ptr<Seat<T>> seat_;
  };

 private:
  std::unique_ptr<Seat<T>> take();
  void give_back(std::unique_ptr<Seat<T>> seat);
  void read_block(nb::handle object, const char* name, std::size_t k, Access access, Blocks<T>& out) const;
  nb::object entry(nb::handle point, const char* name, std::size_t k) const;

  BatchArrays arrays_;
  BatchView<T> view_ = {};
  std::optional<HalfBatchView> half_ = {};
  nb::object wide_ = {};
  Array wide_array_ = {};
  std::optional<BatchView<T>> wide_view_ = {};
  std::unique_ptr<AttentionModel<T>> model_;
  std::mutex seats_mutex_;
  std::vector<std::unique_ptr<Seat<T>>> seats_;
};

extern template class ProblemOf<float>;
extern template class ProblemOf<double>;

/// A problem of either precision, as Python holds it.
class Problem {
 public:
  Problem(BatchArrays arrays, const AttentionOptions& options);
  template <class Use>
  decltype(auto) visit(Use&& use) const {
    return std::visit([&](auto& held) -> decltype(auto) { return use(*held); }, held_);
  }

 private:
  std::variant<std::unique_ptr<ProblemOf<float>>, std::unique_ptr<ProblemOf<double>>> held_;
};

}  // namespace softstep::python
