#include "softstep/margin_certificate.h"

#include "core/c/arrays.h"
#include "core/c/handles.h"
#include "core/c/multiclass.h"

struct softstep_margin_certificate {
  softstep::MarginCertificate of;
  std::size_t size;
};

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_dual_norm(const double* a, size_t n_rows, size_t n_cols, const char* norm, double p,
                                   double* value) {
  return guarded([&] {
    required(value, "value");
    *value = dual_norm(numbers(a, product(n_rows, n_cols), "a"), n_rows, n_cols,
                       parse_matrix_norm(required(norm, "norm")), p);
  });
}

softstep_status softstep_certified_share(const softstep_batch* batch, const double* weights, const char* norm,
                                         double p, double* share) {
  return guarded([&] {
    required(share, "share");
    const MatrixNorm in = parse_matrix_norm(required(norm, "norm"));
    *share = with_plain_batch(batch, [&](const auto& view) {
      return certified_share(view, score_tokens(view), numbers(weights, view.dim * view.dim, "weights"), in,
                             p);
    });
  });
}

softstep_status softstep_margin_certificate_create(size_t n_rows, size_t n_cols,
                                                   softstep_margin_certificate** certificate) {
  return guarded([&] {
    required(certificate, "certificate");
    const std::size_t size = product(n_rows, n_cols);
    *certificate = hand_out(std::make_unique<softstep_margin_certificate>(
        softstep_margin_certificate{MarginCertificate(n_rows, n_cols), size}));
  });
}

void softstep_margin_certificate_destroy(softstep_margin_certificate* certificate) {
  destroy(certificate, "certificate");
}

softstep_status softstep_margin_certificate_add(softstep_margin_certificate* certificate,
                                                const double* combination, double weight) {
  return guarded([&] {
    live(certificate, "certificate");
    certificate->of.add(numbers(combination, certificate->size, "combination"), weight);
  });
}

softstep_status softstep_margin_certificate_add_attention(softstep_margin_certificate* certificate,
                                                          const softstep_batch* batch, const double* weights,
                                                          const char* loss, int32_t* added) {
  return guarded([&] {
    live(certificate, "certificate");
    const Loss of = loss == nullptr ? Loss::logistic : parse_loss(loss);
    const bool found = with_plain_batch(batch, [&](const auto& view) {
      return add_attention_gradient(certificate->of, view, score_tokens(view),
                                    numbers(weights, view.dim * view.dim, "weights"), of);
    });
    if (added != nullptr) *added = found ? 1 : 0;
  });
}

softstep_status softstep_margin_certificate_add_multiclass(softstep_margin_certificate* certificate,
                                                           const softstep_multiclass_data* data,
                                                           const double* weights) {
  return guarded([&] {
    live(certificate, "certificate");
    const MulticlassData own = multiclass_data_of(data);
    add_multiclass_gradient(certificate->of, own,
                            numbers(weights, product(own.n_classes, own.dim, "data.n_classes"), "weights"));
  });
}

softstep_status softstep_margin_certificate_bound(const softstep_margin_certificate* certificate,
                                                  const char* norm, double p, double* bound) {
  return guarded([&] {
    required(bound, "bound");
    *bound = live(certificate, "certificate")->of.bound(parse_matrix_norm(required(norm, "norm")), p);
  });
}

softstep_status softstep_margin_certificate_share(const softstep_margin_certificate* certificate,
                                                  double margin, const char* norm, double p, double* share) {
  return guarded([&] {
    required(share, "share");
    *share = live(certificate, "certificate")->of.share(margin, parse_matrix_norm(required(norm, "norm")), p);
  });
}
}
