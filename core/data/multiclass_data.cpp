// Data of several classes: what they must be, and an example.

#include <cmath>

#include "core/data/checked_size.h"
#include "core/data/finite.h"
#include "core/data/random_stream.h"
#include "core/data/text.h"
#include "softstep/error.h"
#include "softstep/multiclass.h"

namespace softstep {

void MulticlassData::validate() const {
  if (n_classes < 2) throw InvalidArgument("n_classes", std::to_string(n_classes) + " (need at least 2)");
  if (dim < 1) throw InvalidArgument("dim", std::to_string(dim) + " (need at least 1)");
  if (classes.empty()) throw InvalidArgument("classes", "no entries (need at least 1)");
  const std::size_t limit = data::max_bytes / sizeof(double);
  std::size_t size = 0;
  if (!data::multiply(n_samples(), dim, limit, size) || features.size() != size)
    throw InvalidArgument("features", std::to_string(features.size()) + " entries (need " +
                                          std::to_string(n_samples()) + " classes * dim " +
                                          std::to_string(dim) + ")");
  if (!data::multiply(n_classes, dim, limit, size))
    throw InvalidArgument("n_classes", std::to_string(n_classes) + " (weights do not fit in memory)");
  for (std::size_t k = 0; k < features.size(); ++k)
    if (!std::isfinite(features[k]))
      throw InvalidArgument("features", "sample " + std::to_string(k / dim) + " is not finite");
  for (std::size_t i = 0; i < classes.size(); ++i)
    if (classes[i] >= n_classes)
      throw InvalidArgument("classes", "sample " + std::to_string(i) + ": " + std::to_string(classes[i]) +
                                           " (need 0 to " + std::to_string(n_classes - 1) + ")");
}

MulticlassData class_clouds(std::size_t n_classes, std::size_t dim, std::size_t points_per_class,
                            double noise, std::uint64_t seed) {
  if (n_classes < 2) throw InvalidArgument("n_classes", std::to_string(n_classes) + " (need at least 2)");
  if (dim < 1) throw InvalidArgument("dim", std::to_string(dim) + " (need at least 1)");
  if (points_per_class < 1)
    throw InvalidArgument("points_per_class", std::to_string(points_per_class) + " (need at least 1)");
  if (!(noise >= 0.0) || !std::isfinite(noise))
    throw InvalidArgument("noise", data::number_text(noise) + " (need 0 or a positive finite number)");
  const std::size_t limit = data::max_bytes / sizeof(double);
  std::size_t size = 0;
  if (!data::multiply(n_classes, dim, limit, size) || !data::multiply(size, points_per_class, limit, size))
    throw InvalidArgument("points_per_class",
                          std::to_string(points_per_class) + " (features do not fit in memory)");
  data::RandomStream stream(seed);
  MulticlassData out{n_classes, dim, {}, {}};
  std::vector<double> centres(n_classes * dim);
  for (double& x : centres) x = stream.normal();
  for (std::size_t c = 0; c < n_classes; ++c)
    for (std::size_t k = 0; k < points_per_class; ++k) {
      out.classes.push_back(c);
      for (std::size_t j = 0; j < dim; ++j)
        out.features.push_back(centres[c * dim + j] + noise * stream.normal());
    }
  if (!data::all_finite(out.features.data(), out.features.size()))
    throw InvalidArgument("noise", data::number_text(noise) + " (times a normal number it overflows)");
  return out;
}

}  // namespace softstep
