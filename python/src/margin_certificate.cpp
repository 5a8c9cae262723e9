// softstep.MarginCertificate: softstep/margin_certificate.h.

#include "softstep/margin_certificate.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "multiclass.h"
#include "parts.h"
#include "problem.h"
#include "softstep/metrics.h"
#include "vectors.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

double dual(nb::handle a, const std::string& norm, double p) {
  const Doubles matrix(a, "a");
  matrix.array.require_dims(2, "(rows, columns)");
  return dual_norm(matrix.span(), matrix.array.extent(0), matrix.array.extent(1), parse_matrix_norm(norm), p);
}

bool add_attention(MarginCertificate& self, const Problem& problem, nb::handle weights,
                   const std::string& loss) {
  const Doubles w(weights, "W");
  return problem.visit([&](auto& of) {
    const auto& batch = of.batch();
    return add_attention_gradient(self, batch, score_tokens(batch), w.span(), parse_loss(loss));
  });
}

double share_of(const Problem& problem, nb::handle weights, const std::string& norm, double p) {
  const Doubles w(weights, "W");
  return problem.visit([&](auto& of) {
    const auto& batch = of.batch();
    return certified_share(batch, score_tokens(batch), w.span(), parse_matrix_norm(norm), p);
  });
}

double margin_of(const Problem& problem, nb::handle weights, const std::string& norm, double p) {
  const Doubles w(weights, "W");
  return problem.visit([&](auto& of) {
    const auto& batch = of.batch();
    return margin_in_norm(batch, score_tokens(batch), w.span(), parse_matrix_norm(norm), p);
  });
}

}  // namespace

void add_margin_certificate(nb::module_& m) {
  nb::class_<MarginCertificate>(m, "MarginCertificate",
                                R"(A bound on the margin that any W has, in any norm, without a solver.

Let A_k be the constraints and margin(W) = min_k <A_k, W> / |W|. For multipliers lambda_k >= 0, not all zero,
margin(W) sum_k lambda_k <= |sum_k lambda_k A_k| in the dual norm. A gradient of the loss is such a sum. Of several the average is
taken, that of sum lambda_k A_k / sum lambda_k. Of float64; one thread at a time.

Source: arXiv 2502.04664, Lemma 1, read as a certificate; softstep/margin_certificate.h.

>>> import softstep
>>> problem = softstep.generate(seed=0).problem()
>>> W = softstep.train(problem, "ngd", steps=10000).weights
>>> certificate = softstep.MarginCertificate(*W.shape)
>>> certificate.add_gradient(problem, W)
True
>>> 0.99 < certificate.share(problem.margin(W)) <= 1.0000001
True
)")
      .def(nb::init<std::size_t, std::size_t>(), "n_rows"_a, "n_cols"_a,
           "For W [n_rows, n_cols]. Raises InvalidArgument where one is 0.")
      .def(
          "add",
          [](MarginCertificate& self, nb::handle combination, double weight) {
            self.add(Doubles(combination, "combination").span(), weight);
          },
          "combination"_a, "weight"_a,
          nb::sig("def add(self, combination: ArrayLike, weight: float) -> None"),
          "Takes sum_k lambda_k A_k [n_rows, n_cols] and sum_k lambda_k into the average. Raises "
          "InvalidArgument for another size,\nan entry that is not finite, or a weight that is not positive "
          "and finite.")
      .def("add_gradient", &add_attention, "problem"_a, "W"_a, "loss"_a = "logistic",
           nb::sig("def add_gradient(self, problem: Problem, W: ArrayLike, loss: str = 'logistic') -> bool"),
           "Takes in what the gradient of an attention layer at W [dim, dim] is made of. Of a multiclass "
           "model: MulticlassModel.certify.\nReturns False, and adds nothing, where no multiplier is "
           "positive. Raises InvalidArgument.")
      .def(
          "add_multiclass",
          [](MarginCertificate& self, nb::handle features, nb::handle classes, std::size_t n_classes,
             nb::handle weights) {
            add_multiclass_gradient(self, multiclass_data(features, classes, n_classes),
                                    Doubles(weights, "W").span());
          },
          "features"_a, "classes"_a, "n_classes"_a, "W"_a,
          nb::sig("def add_multiclass(self, features: ArrayLike, classes: ArrayLike, n_classes: int, W: "
                  "ArrayLike) -> None"),
          "What MulticlassModel.certify calls.")
      .def("__len__", &MarginCertificate::size, "Combinations taken in so far.")
      .def(
          "bound",
          [](const MarginCertificate& self, const std::string& norm, double p) {
            return self.bound(parse_matrix_norm(norm), p);
          },
          "norm"_a = "frobenius", "p"_a = 2.0,
          "No W has a larger margin in this norm (as of matrix_norm); infinity while nothing has been added.")
      .def(
          "share",
          [](const MarginCertificate& self, double margin, const std::string& norm, double p) {
            return self.share(margin, parse_matrix_norm(norm), p);
          },
          "margin"_a, "norm"_a = "frobenius", "p"_a = 2.0,
          "margin / bound: at least this share of the largest margin that there is; 0 while nothing has been "
          "added.");
  m.def("dual_norm", &dual, "a"_a, "norm"_a = "frobenius", "p"_a = 2.0,
        nb::sig("def dual_norm(a: ArrayLike, norm: str = 'frobenius', p: float = 2.0) -> float"),
        "The dual of a matrix norm (as of matrix_norm): the largest <a, B> over all B of norm 1.");
  m.def(
      "certified_share", &share_of, "problem"_a, "W"_a, "norm"_a = "frobenius", "p"_a = 2.0,
      nb::sig("def certified_share(problem: Problem, W: ArrayLike, norm: str = 'frobenius', p: float = 2.0) "
              "-> float"),
      "What Problem.certified_share calls.");
  m.def("margin_in_norm", &margin_of, "problem"_a, "W"_a, "norm"_a = "frobenius", "p"_a = 2.0,
        nb::sig("def margin_in_norm(problem: Problem, W: ArrayLike, norm: str = 'frobenius', p: float = 2.0) "
                "-> float"),
        "What Problem.margin calls.");
}

}  // namespace softstep::python
