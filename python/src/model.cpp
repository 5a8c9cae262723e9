#include "model.h"

#include <utility>

#include "results.h"
#include "softstep/error.h"

namespace softstep::python {

template <NumberType T>
void ModelOf<T>::read_block(nb::handle object, const char* name, std::size_t k, Access access,
                            Blocks<T>& out) const {
  const BlockShape& shape = model_->blocks()[k];
  Array array(object, name, access);
  array.require(number_of<T>, ", as the model computes with");
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
nb::object ModelOf<T>::entry(nb::handle point, const char* name, std::size_t k) const {
  const std::vector<BlockShape>& shapes = model_->blocks();
  const bool dict = PyDict_Check(point.ptr()) != 0;
  if (dict || PyTuple_Check(point.ptr()) || PyList_Check(point.ptr())) {
    if (nb::len(point) != shapes.size())
      throw InvalidArgument(name, std::to_string(nb::len(point)) + " entries (the model has " +
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
Blocks<T> ModelOf<T>::read(nb::handle point, const char* name, Access access) const {
  Blocks<T> out;
  out.n = model_->blocks().size();
  for (std::size_t k = 0; k < out.n; ++k) read_block(entry(point, name, k), name, k, access, out);
  return out;
}

template <NumberType T>
nb::object ModelOf<T>::arrange(nb::handle point, std::span<nb::object> blocks) const {
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
Outputs<T> ModelOf<T>::outputs(nb::handle given, const Blocks<T>& point) const {
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
    for (const Array* looked_at : data())
      if (array.overlaps(*looked_at))
        throw InvalidArgument("out", std::string("overlaps the ") + looked_at->name());
  }
  return out;
}

template <NumberType T>
SampleSet ModelOf<T>::Taken::samples(nb::handle indices) {
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
std::unique_ptr<Seat<T>> ModelOf<T>::take() {
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
void ModelOf<T>::give_back(std::unique_ptr<Seat<T>> seat) {
  const std::lock_guard lock(seats_mutex_);
  seats_.push_back(std::move(seat));
}

template class ModelOf<float>;
template class ModelOf<double>;

}  // namespace softstep::python
