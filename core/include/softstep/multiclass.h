#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "softstep/export.h"
#include "softstep/margin_certificate.h"
#include "softstep/metrics.h"
#include "softstep/model.h"

namespace softstep {

/// Points h_i in R^dim, each of one class.
struct SOFTSTEP_EXPORT MulticlassData {
  std::size_t n_classes = 0;              ///< k
  std::size_t dim = 0;                    ///< d of a point
  std::vector<double> features = {};      ///< [n, dim] row-major
  std::vector<std::size_t> classes = {};  ///< [n] y_i, below n_classes
  /// Points.
  std::size_t n_samples() const { return classes.size(); }
  void validate() const;  ///< throws InvalidArgument naming the first field that is wrong
};

/// Clouds of points about random centres (C. Fan, M. Schmidt, C. Thrampoulidis, arXiv 2502.04664, their own
/// experiment with 10 classes, dim 25, 50 points a class, noise 0.1). From the stream of the generators: the
/// centres, class by class, dim normal(); then class by class its points, the centre plus noise times dim
/// normal(). Throws InvalidArgument for fewer than two classes, no point, or a noise that is negative or not
/// finite.
SOFTSTEP_EXPORT MulticlassData class_clouds(std::size_t n_classes, std::size_t dim,
                                            std::size_t points_per_class, double noise, std::uint64_t seed);

/// Reads tensors `features` [n, dim], floating-point, and `classes` [n], whole numbers of an integer or
/// floating-point type. Classes are counted from 0, and each up to the largest has a sample. Throws BadFile
/// or IoError naming the file and what is wrong with it.
SOFTSTEP_EXPORT MulticlassData load_multiclass_data(const std::string& path);

/// Linear classification with k classes, softmax cross entropy without intercept: one block, "weights", W k x
/// dim, logits W h.
///   L = (1/n) sum_i log(1 + sum_{c != y_i} e^(m_ic)),   m_ic = (w_c - w_{y_i})^T h_i
///   -dL/dW = (1/n) sum_i sum_{c != y_i} S_ic (e_{y_i} - e_c) h_i^T,   S_i = softmax(W h_i)
/// Loss and gradient with an exponent of their own, right far below what a plain number holds. L* = 0, the
/// infimum where the classes can be separated. Works in double whatever T, on one thread. The model keeps a
/// copy of the data. Throws InvalidArgument for bad data.
template <NumberType T>
SOFTSTEP_EXPORT std::unique_ptr<Model<T>> make_multiclass_model(const MulticlassData& data,
                                                                const std::string& isa = "");

/// min over i and c != y_i of (w_{y_i} - w_c)^T h_i / ||W||; NaN at W = 0. Throws InvalidArgument for weights
/// of another size than k x dim.
SOFTSTEP_EXPORT double multiclass_margin(const MulticlassData& data, std::span<const double> weights,
                                         MatrixNorm norm, double p = 2.0);

/// Adds -dL/dW at W with its weight (1/n) sum_i (1 - S_i,y_i) to a certificate for k x dim: a bound on the
/// margin above, in any norm. Throws InvalidArgument for weights of another size or not finite.
SOFTSTEP_EXPORT void add_multiclass_gradient(MarginCertificate& certificate, const MulticlassData& data,
                                             std::span<const double> weights);

}  // namespace softstep
