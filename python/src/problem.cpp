#include "problem.h"

#include <type_traits>
#include <utility>

#include "results.h"
#include "softstep/error.h"

namespace softstep::python {
namespace {

std::size_t stride_of(const Array& array, std::size_t k, std::size_t packed) {
  if (array.extent(k) < 2) return packed;
  if (array.stride(k) > 0) return static_cast<std::size_t>(array.stride(k));
  throw InvalidArgument(array.name(), "stride " + std::to_string(array.stride(k)) + " along axis " +
                                          std::to_string(k) +
                                          " (need a positive one; numpy.ascontiguousarray makes it so)");
}

void require_contiguous_rows(const Array& array) {
  const std::size_t last = array.n_dims() - 1;
  if (array.extent(last) > 1 && array.stride(last) != 1)
    throw InvalidArgument(array.name(), "stride " + std::to_string(array.stride(last)) +
                                            " along the last axis (its elements must be contiguous; "
                                            "numpy.ascontiguousarray makes them so)");
}

void require_extent(const Array& array, std::size_t k, std::size_t wanted, const char* meaning) {
  if (array.extent(k) == wanted) return;
  throw InvalidArgument(array.name(), "shape " + array.shape_text() + " (axis " + std::to_string(k) +
                                          " must have " + std::to_string(wanted) + ", " + meaning + ")");
}

// Contiguous numbers of T, one dimension.
template <NumberType T>
const T* numbers(const Array& array, std::size_t n, const char* meaning) {
  if (!array.given()) return nullptr;
  array.require(number_of<T>, ", as is computed with");
  array.require_dims(1, "one dimension");
  require_extent(array, 0, n, meaning);
  array.require_contiguous();
  return array.as<T>();
}

const std::int64_t* indices(const Array& array, std::size_t n_dims, const char* shape) {
  if (!array.given()) return nullptr;
  array.require(Number::i64);
  array.require_dims(n_dims, shape);
  array.require_contiguous();
  return array.as<std::int64_t>();
}

// All of a BatchView but the tokens.
template <NumberType T>
BatchView<T> view_of(const BatchArrays& a) {
  BatchView<T> view;
  const bool ragged = a.offsets.given();
  a.tokens.require_dims(ragged ? 2 : 3, ragged ? "(rows, dim) with offsets" : "(n_samples, n_tokens, dim)");
  require_contiguous_rows(a.tokens);
  if (ragged) {
    view.offsets = indices(a.offsets, 1, "(n_samples + 1,)");
    if (a.offsets.extent(0) < 2)
      throw InvalidArgument("offsets", "shape " + a.offsets.shape_text() + " (need two or more)");
    view.n_samples = a.offsets.extent(0) - 1;
    view.dim = a.tokens.extent(1);
    view.token_stride = stride_of(a.tokens, 0, view.dim);
    const auto rows = static_cast<std::int64_t>(a.tokens.extent(0));
    if (view.offsets[view.n_samples] > rows)
      throw InvalidArgument("offsets", "the last is " + std::to_string(view.offsets[view.n_samples]) +
                                           " and tokens has " + std::to_string(rows) + " rows");
  } else {
    view.n_samples = a.tokens.extent(0);
    view.n_tokens = a.tokens.extent(1);
    view.dim = a.tokens.extent(2);
    view.token_stride = stride_of(a.tokens, 1, view.dim);
    view.sample_stride = stride_of(a.tokens, 0, view.n_tokens * view.token_stride);
  }
  if (a.labels.given()) {
    a.labels.require(Number::i8);
    a.labels.require_dims(1, "(n_samples,)");
    require_extent(a.labels, 0, view.n_samples, "one a sample");
    a.labels.require_contiguous();
    view.labels = a.labels.as<std::int8_t>();
  }
  view.targets = numbers<T>(a.targets, view.n_samples, "one a sample");
  view.decoder = numbers<T>(a.decoder, view.dim, "the dimension of tokens");

  view.all_tokens_are_queries = a.all_tokens_are_queries;
  if (a.query_offsets.given()) {
    indices(a.query_offsets, 1, "(n_samples + 1,)");
    view.query_offsets = a.query_offsets.span<std::int64_t>();
    require_extent(a.query_offsets, 0, view.n_samples + 1, "one a sample and one more");
  }
  const bool listed = a.query_offsets.given();
  const std::size_t listed_queries =
      listed ? static_cast<std::size_t>(view.query_offsets[view.n_samples]) : 0;
  if (a.query_index.given()) {
    const std::size_t n_dims = a.query_index.n_dims();
    if (listed || n_dims == 1) {
      view.query_index = indices(a.query_index, 1, listed ? "(total queries,)" : "(n_samples,)");
    } else {
      view.query_index = indices(a.query_index, 2, "(n_samples,) or (n_samples, n_queries)");
      view.n_queries = a.query_index.extent(1);
    }
    require_extent(a.query_index, 0, listed ? listed_queries : view.n_samples,
                   listed ? "one a query" : "one a sample");
  }
  if (a.queries.given()) {
    a.queries.require(number_of<T>, ", as is computed with");
    const std::size_t n_dims = a.queries.n_dims();
    if (listed || n_dims == 2) {
      a.queries.require_dims(2, listed ? "(total queries, dim)" : "(n_samples, dim)");
      require_contiguous_rows(a.queries);
      view.query_stride = stride_of(a.queries, 0, view.dim);
    } else {
      a.queries.require_dims(3, "(n_samples, dim) or (n_samples, n_queries, dim)");
      a.queries.require_contiguous();
      view.n_queries = a.queries.extent(1);
    }
    require_extent(a.queries, 0, listed ? listed_queries : view.n_samples,
                   listed ? "one a query" : "one a sample");
    require_extent(a.queries, a.queries.n_dims() - 1, view.dim, "the dimension of tokens");
    view.queries = a.queries.as<T>();
  }
  if (a.query_weights.given()) {
    a.query_weights.require(number_of<T>, ", as is computed with");
    a.query_weights.require_contiguous();
    view.query_weights = a.query_weights.span<T>();
  }
  return view;
}

// Elements from the first of the tokens to the last that the view reaches.
std::size_t reach(const Array& tokens) {
  std::size_t last = 0;
  for (std::size_t k = 0; k < tokens.n_dims(); ++k) {
    if (tokens.extent(k) == 0) return 0;
    if (tokens.extent(k) > 1) last += (tokens.extent(k) - 1) * static_cast<std::size_t>(tokens.stride(k));
  }
  return last + 1;
}

}  // namespace

template <NumberType T>
ProblemOf<T>::ProblemOf(BatchArrays arrays, const AttentionOptions& options)
    : arrays_(std::move(arrays)), view_(view_of<T>(arrays_)) {
  const nb::gil_scoped_release released;
  if (python::in_16_bits(arrays_.tokens.number())) {
    if constexpr (std::same_as<T, float>) {
      half_ = HalfBatchView{.tokens = {arrays_.tokens.as<std::uint16_t>(), reach(arrays_.tokens)},
                            .storage = stored_type_of(arrays_.tokens.number()),
                            .rest = view_};
      model_ = std::make_unique<AttentionModel<T>>(*half_, options);
    }
  } else {
    view_.tokens = arrays_.tokens.as<T>();
    model_ = std::make_unique<AttentionModel<T>>(view_, options);
  }
}

template <NumberType T>
const BatchView<T>& ProblemOf<T>::batch() {
  if (!half_) return view_;
  if (!wide_view_) {
    // NumPy widens; bfloat16 is the upper half of a float32.
    const std::size_t rows = view_.offsets ? arrays_.tokens.extent(0) : view_.n_samples * view_.n_tokens;
    nb::object bits = new_array(Number::u16, {rows, view_.dim});
    const Array into(bits, "tokens", Access::write);
    for (std::size_t row = 0; row < rows; ++row) {
      const std::size_t place =
          view_.offsets ? row * view_.row_stride()
                        : half_->place(row / view_.n_tokens) + row % view_.n_tokens * view_.row_stride();
      for (std::size_t k = 0; k < view_.dim; ++k)
        into.writable<std::uint16_t>()[row * view_.dim + k] = half_->tokens[place + k];
    }
    if (half_->storage == StoredType::f16) {
      wide_ = bits.attr("view")("float16").attr("astype")("float32");
    } else {
      wide_ = bits.attr("astype")("uint32").attr("__lshift__")(16).attr("astype")("uint32").attr("view")(
          "float32");
    }
    wide_array_ = Array(wide_, "tokens");
    BatchView<T> view = view_;
    view.tokens = wide_array_.as<T>();
    view.token_stride = view.sample_stride = 0;
    wide_view_ = view;
  }
  return *wide_view_;
}

template <NumberType T>
void ProblemOf<T>::read_block(nb::handle object, const char* name, std::size_t k, Access access,
                              Blocks<T>& out) const {
  const BlockShape& shape = model_->blocks()[k];
  Array array(object, name, access);
  array.require(number_of<T>, ", as the problem computes with");
  const bool as_matrix =
      array.n_dims() == 2 && array.extent(0) == shape.n_rows && array.extent(1) == shape.n_cols;
  const bool as_vector = array.n_dims() == 1 && array.extent(0) == shape.size();
  if (!as_matrix && !as_vector)
    throw InvalidArgument(name, "shape " + array.shape_text() + " (block " + shape.name + " has (" +
                                    std::to_string(shape.n_rows) + ", " + std::to_string(shape.n_cols) +
                                    "))");
  array.require_contiguous();
  out.spans[k] = array.template span<T>();
  out.arrays[k] = std::move(array);
}

template <NumberType T>
nb::object ProblemOf<T>::entry(nb::handle point, const char* name, std::size_t k) const {
  const std::vector<BlockShape>& shapes = model_->blocks();
  const bool dict = PyDict_Check(point.ptr()) != 0;
  if (dict || PyTuple_Check(point.ptr()) || PyList_Check(point.ptr())) {
    if (nb::len(point) != shapes.size())
      throw InvalidArgument(name, std::to_string(nb::len(point)) + " entries (the problem has " +
                                      std::to_string(shapes.size()) + " blocks)");
    if (!dict) return point[k];
    PyObject* found = PyDict_GetItemString(point.ptr(), shapes[k].name.c_str());
    if (found == nullptr) throw InvalidArgument(name, "no entry for the block " + shapes[k].name);
    return nb::borrow(found);
  }
  if (shapes.size() == 1) return nb::borrow(point);
  throw InvalidArgument(
      name, kind_of(point) + " (need a tuple, list or dict of " + std::to_string(shapes.size()) + " arrays)");
}

template <NumberType T>
Blocks<T> ProblemOf<T>::read(nb::handle point, const char* name, Access access) const {
  Blocks<T> out;
  out.n = model_->blocks().size();
  for (std::size_t k = 0; k < out.n; ++k) read_block(entry(point, name, k), name, k, access, out);
  return out;
}

template <NumberType T>
nb::object ProblemOf<T>::arrange(nb::handle point, std::span<nb::object> blocks) const {
  const std::vector<BlockShape>& shapes = model_->blocks();
  if (PyDict_Check(point.ptr())) {
    nb::dict out;
    for (std::size_t k = 0; k < shapes.size(); ++k)
      out[shapes[k].name.c_str()] = like(entry(point, "", k), std::move(blocks[k]));
    return out;
  }
  if (!PyTuple_Check(point.ptr()) && !PyList_Check(point.ptr())) return like(point, std::move(blocks[0]));
  nb::object out = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(shapes.size())));
  for (std::size_t k = 0; k < shapes.size(); ++k)
    PyTuple_SetItem(out.ptr(), static_cast<Py_ssize_t>(k),
                    like(entry(point, "", k), std::move(blocks[k])).release().ptr());
  return out;
}

template <NumberType T>
Outputs<T> ProblemOf<T>::outputs(nb::handle given, const Blocks<T>& point) const {
  const std::vector<BlockShape>& shapes = model_->blocks();
  Outputs<T> out;
  if (given.is_none()) {
    out.blocks.n = shapes.size();
    for (std::size_t k = 0; k < shapes.size(); ++k) {
      out.objects[k] = shapes[k].n_cols == 1 && point.arrays[k].n_dims() == 1
                           ? new_array(number_of<T>, {shapes[k].size()})
                           : new_array(number_of<T>, {shapes[k].n_rows, shapes[k].n_cols});
      read_block(out.objects[k], "out", k, Access::write, out.blocks);
    }
    return out;
  }
  out.blocks = read(given, "out", Access::write);
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    const Array& array = out.blocks.arrays[k];
    for (std::size_t other = 0; other < shapes.size(); ++other) {
      if (array.overlaps(point.arrays[other]))
        throw InvalidArgument("out", "overlaps the point of evaluation");
      if (other < k && array.overlaps(out.blocks.arrays[other]))
        throw InvalidArgument("out", "two blocks overlap");
    }
    if (array.overlaps(arrays_.tokens)) throw InvalidArgument("out", "overlaps the tokens");
  }
  return out;
}

template <NumberType T>
SampleSet ProblemOf<T>::Taken::samples(nb::handle indices) {
  if (indices.is_none()) return {};
  const Array array(indices, "samples");
  array.require(Number::i64);
  array.require_dims(1, "one dimension");
  array.require_contiguous();
  seat_->samples.clear();
  for (const std::int64_t index : array.span<std::int64_t>()) {
    if (index < 0) throw InvalidArgument("samples", std::to_string(index) + " (need 0 or more)");
    seat_->samples.push_back(static_cast<std::size_t>(index));
  }
  if (seat_->samples.empty()) throw InvalidArgument("samples", "empty (need one or more; None means all)");
  return {seat_->samples};
}

template <NumberType T>
std::unique_ptr<Seat<T>> ProblemOf<T>::take() {
  {
    const std::lock_guard lock(seats_mutex_);
    if (!seats_.empty()) {
      std::unique_ptr<Seat<T>> seat = std::move(seats_.back());
      seats_.pop_back();
      return seat;
    }
  }
  auto seat = std::make_unique<Seat<T>>();
  seat->space = model_->make_workspace();
  return seat;
}

template <NumberType T>
void ProblemOf<T>::give_back(std::unique_ptr<Seat<T>> seat) {
  const std::lock_guard lock(seats_mutex_);
  seats_.push_back(std::move(seat));
}

template class ProblemOf<float>;
template class ProblemOf<double>;

Problem::Problem(BatchArrays arrays, const AttentionOptions& options) {
  switch (arrays.tokens.number()) {
    case Number::f64:
      held_ = std::make_unique<ProblemOf<double>>(std::move(arrays), options);
      break;
    case Number::f32:
    case Number::f16:
    case Number::bf16:
      held_ = std::make_unique<ProblemOf<float>>(std::move(arrays), options);
      break;
    default:
      throw InvalidArgument("tokens", std::string("dtype ") + to_string(arrays.tokens.number()) +
                                          " (need float16, bfloat16, float32 or float64)");
  }
}

}  // namespace softstep::python
