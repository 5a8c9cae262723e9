#pragma once

// softstep.Model: a model of the library in either precision, and what one evaluation of it needs.

#include <nanobind/nanobind.h>

#include <array>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "array.h"
#include "python_loss.h"
#include "softstep/model.h"

namespace softstep::python {

/// All blocks of a model, or directions in their shapes, looked at where they lie.
template <NumberType T>
struct Blocks {
  static constexpr std::size_t most = 4;
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
class ModelOf {
 public:
  /// A model that is given later, by hold().
  explicit ModelOf(std::shared_ptr<PythonLoss> loss) : loss_(std::move(loss)) {}
  virtual ~ModelOf() = default;

  const Model<T>& model() const { return *model_; }
  /// The loss that is the caller's own; null where it is the library's.
  PythonLoss* own_loss() const { return loss_.get(); }

  /// Calls work() without the GIL. What Python raised in a loss of the caller's own is thrown afterwards.
  template <class Work>
  void without_gil(Work&& work) const {
    const Watch watch(loss_.get());
    try {
      const nb::gil_scoped_release released;
      work();
    } catch (...) {
      watch.rethrow();
      throw;
    }
    watch.rethrow();
  }

  /// One array for a model of one block; of several a tuple, list or dict of them.
  Blocks<T> read(nb::handle point, const char* name, Access access = Access::read) const;
  /// Where outputs of the shapes of the blocks go: the arrays `given`, or new ones where it is None. Throws
  /// InvalidArgument where they overlap `point` or the data.
  Outputs<T> outputs(nb::handle given, const Blocks<T>& point) const;
  /// An object for each block in the form in which `point` came: one alone, a tuple, a dict.
  nb::object arrange(nb::handle point, std::span<nb::object> blocks) const;

  /// A seat for one evaluation, given back at the end of its life.
  class Taken {
   public:
    explicit Taken(ModelOf& model) : model_(model), seat_(model.take()) {}
    ~Taken() { model_.give_back(std::move(seat_)); }
    Taken(const Taken&) = delete;
    Taken& operator=(const Taken&) = delete;
    Seat<T>* operator->() { return seat_.get(); }
    /// The samples that an index array names; None: all.
    SampleSet samples(nb::handle indices);

   private:
    ModelOf& model_;
    std::unique_ptr<Seat<T>> seat_;
  };

 protected:
  void hold(std::unique_ptr<Model<T>> model) { model_ = std::move(model); }
  /// Before what the model looks at goes.
  void drop() {
    seats_.clear();
    model_.reset();
  }
  /// Arrays that the model looks at, which no output may overlap.
  virtual std::span<const Array* const> data() const { return {}; }

 private:
  std::unique_ptr<Seat<T>> take();
  void give_back(std::unique_ptr<Seat<T>> seat);
  void read_block(nb::handle object, const char* name, std::size_t k, Access access, Blocks<T>& out) const;
  nb::object entry(nb::handle point, const char* name, std::size_t k) const;

  std::shared_ptr<PythonLoss> loss_;
  std::unique_ptr<Model<T>> model_ = {};
  std::mutex seats_mutex_ = {};
  std::vector<std::unique_ptr<Seat<T>>> seats_ = {};
};

extern template class ModelOf<float>;
extern template class ModelOf<double>;

/// For every class of models: what the garbage collector asks. A derived class does not inherit it.
extern PyType_Slot model_slots[];

/// A model of either precision, as Python holds it.
class AnyModel {
 public:
  using Held = std::variant<std::unique_ptr<ModelOf<float>>, std::unique_ptr<ModelOf<double>>>;
  explicit AnyModel(Held held) : held_(std::move(held)) {}

  /// Calls use(ModelOf<T>&).
  template <class Use>
  decltype(auto) visit(Use&& use) const {
    return std::visit([&](auto& held) -> decltype(auto) { return use(*held); }, held_);
  }

 private:
  Held held_;
};

}  // namespace softstep::python
