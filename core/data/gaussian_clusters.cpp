// What Gaussian clusters must be.

#include <cmath>

#include "core/data/checked_size.h"
#include "core/data/text.h"
#include "softstep/error.h"
#include "softstep/relu_network.h"

namespace softstep {

void GaussianClusters::validate() const {
  if (dim < 1) throw InvalidArgument("dim", std::to_string(dim) + " (need at least 1)");
  if (labels.empty()) throw InvalidArgument("labels", "no entries (need at least 1)");
  std::size_t size = 0;
  if (!data::multiply(n_clusters(), dim, data::max_bytes / sizeof(double), size) || means.size() != size)
    throw InvalidArgument("means", std::to_string(means.size()) + " entries (need " +
                                       std::to_string(n_clusters()) + " labels * dim " + std::to_string(dim) +
                                       ")");
  for (std::size_t k = 0; k < means.size(); ++k)
    if (!std::isfinite(means[k]))
      throw InvalidArgument("means", "cluster " + std::to_string(k / dim) + " is not finite");
  if (probabilities.size() != n_clusters())
    throw InvalidArgument("probabilities", std::to_string(probabilities.size()) + " entries (need " +
                                               std::to_string(n_clusters()) + ", one for each label)");
  double sum = 0.0;
  for (std::size_t c = 0; c < n_clusters(); ++c) {
    if (!(probabilities[c] > 0.0 && probabilities[c] <= 1.0))
      throw InvalidArgument("probabilities", "cluster " + std::to_string(c) + ": " +
                                                 data::number_text(probabilities[c]) +
                                                 " (need above 0, at most 1)");
    if (labels[c] != 1 && labels[c] != -1)
      throw InvalidArgument(
          "labels", "cluster " + std::to_string(c) + ": " + std::to_string(labels[c]) + " (need -1 or +1)");
    sum += probabilities[c];
  }
  // Each is rounded, and so is every partial sum, which is at most 1.
  if (!(std::fabs(sum - 1.0) <= 0x1p-52 * static_cast<double>(n_clusters())))
    throw InvalidArgument("probabilities", "they add up to " + data::number_text(sum) + " (need 1)");
  if (!(sigma >= 0.0) || !std::isfinite(sigma))
    throw InvalidArgument("sigma", data::number_text(sigma) + " (need 0 or a positive finite number)");
}

}  // namespace softstep
