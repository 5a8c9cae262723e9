#include "batch_arrays.h"

#include <string>

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

}  // namespace

Array optional_array(nb::handle object, const char* name) {
  return object.is_none() ? Array() : Array(object, name, Access::read, Life::object);
}

template <NumberType T>
BatchView<T> view_without_tokens(const BatchArrays& a) {
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

template BatchView<float> view_without_tokens(const BatchArrays&);
template BatchView<double> view_without_tokens(const BatchArrays&);

}  // namespace softstep::python
