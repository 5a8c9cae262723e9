#pragma once

// A batch of points as models keep it that work in double.

#include <vector>

#include "core/data/digest.h"
#include "softstep/batch.h"

namespace softstep {

/// The first token of each sample, and its label or target.
struct LabelledPoints {
  std::vector<double> points = {};   ///< [n, dim]
  std::vector<double> signs = {};    ///< [n] the labels; 1 where there are targets
  std::vector<double> targets = {};  ///< [n] y; 1 where there are labels

  LabelledPoints() = default;
  /// Of a batch that has been validated.
  template <NumberType T>
  explicit LabelledPoints(const BatchView<T>& batch) {
    for (std::size_t i = 0; i < batch.n_samples; ++i) {
      const T* x = batch.sample(i);
      points.insert(points.end(), x, x + batch.dim);
      signs.push_back(batch.sign(i));
      targets.push_back(batch.target(i));
    }
  }
  std::size_t size() const { return signs.size(); }
  data::Digest digest() const {
    data::Digest out;
    out.add(points.data(), points.size());
    out.add(signs.data(), signs.size());
    out.add(targets.data(), targets.size());
    return out;
  }
};

}  // namespace softstep
