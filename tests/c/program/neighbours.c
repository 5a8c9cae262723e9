#include <math.h>
#include <string.h>

#include "program.h"

static void test_multiclass(void) {
  double features[6 * 4], weights[3 * 4], margin = 0.0, bound = 0.0, share = -1.0;
  size_t classes[6];
  GOOD(softstep_class_clouds(3, 4, 2, 0.1, 7, features, classes));
  REQUIRE(classes[0] == 0 && classes[5] == 2);
  BAD("noise", softstep_class_clouds(3, 4, 2, -1.0, 7, features, classes));
  softstep_multiclass_data data = {.struct_size = sizeof data};
  data.n_classes = 3;
  data.dim = 4;
  data.n_samples = 6;
  data.features = features;
  data.classes = classes;
  softstep_model* model = NULL;
  GOOD(softstep_multiclass_model_create(&data, SOFTSTEP_F64, NULL, &model));
  REQUIRE(evaluated(model) > 0.0);
  softstep_state* state = NULL;
  softstep_train_options options = {.struct_size = sizeof options};
  options.rules = "ngd:schedule-power=0.5";
  options.n_steps = 2000;
  GOOD(softstep_state_create(model, NULL, &state));
  GOOD(softstep_train(model, state, &options, NULL));
  GOOD(softstep_state_block(state, 0, weights, 12));
  softstep_state_destroy(state);
  softstep_model_destroy(model);

  softstep_margin_certificate* certificate = NULL;
  GOOD(softstep_multiclass_margin(&data, weights, "frobenius", 2.0, &margin));
  GOOD(softstep_margin_certificate_create(3, 4, &certificate));
  GOOD(softstep_margin_certificate_bound(certificate, "frobenius", 2.0, &bound));
  GOOD(softstep_margin_certificate_share(certificate, margin, "frobenius", 2.0, &share));
  REQUIRE(isinf(bound) && share == 0.0);
  GOOD(softstep_margin_certificate_add_multiclass(certificate, &data, weights));
  GOOD(softstep_margin_certificate_bound(certificate, "frobenius", 2.0, &bound));
  GOOD(softstep_margin_certificate_share(certificate, margin, "frobenius", 2.0, &share));
  REQUIRE(margin > 0.0 && margin <= bound * (1 + 1e-12) && share > 0.9);
  BAD("norm", softstep_margin_certificate_bound(certificate, "l7", 2.0, &bound));
  BAD("weights", softstep_margin_certificate_add_multiclass(certificate, &data, NULL));
  BAD("weight", softstep_margin_certificate_add(certificate, weights, 0.0));
  softstep_margin_certificate_destroy(certificate);
  softstep_margin_certificate_destroy(NULL);
  BAD("n_rows", softstep_margin_certificate_create(0, 4, &certificate));

  classes[0] = 3;
  REQUIRE(softstep_multiclass_model_create(&data, SOFTSTEP_F64, NULL, &model) == SOFTSTEP_BAD_ARGUMENT);
  BAD("type", softstep_multiclass_model_create((classes[0] = 0, &data), SOFTSTEP_BF16, NULL, &model));
  data.n_samples = (size_t)-1;
  BAD("data.n_samples", softstep_multiclass_model_create(&data, SOFTSTEP_F64, NULL, &model));
  BAD("data", softstep_multiclass_margin(NULL, weights, "max", 2.0, &margin));
}

static void test_certificate(void) {
  const double matrix[4] = {3, 0, 0, -4};
  double value = 0.0, weights[small_dim * small_dim], margin = 0.0, share = 0.0;
  GOOD(softstep_dual_norm(matrix, 2, 2, "max", 2.0, &value));
  REQUIRE(value == 7.0);
  BAD("a", softstep_dual_norm(NULL, 2, 2, "max", 2.0, &value));
  softstep_margin_certificate* certificate = NULL;
  GOOD(softstep_margin_certificate_create(2, 2, &certificate));
  GOOD(softstep_margin_certificate_add(certificate, matrix, 0.5));
  GOOD(softstep_margin_certificate_bound(certificate, "frobenius", 2.0, &value));
  REQUIRE(value == 10.0);
  softstep_margin_certificate_destroy(certificate);

  softstep_dataset* data = small_data();
  softstep_batch batch = batch_of(data);
  int32_t added = 0;
  GOOD(softstep_solve_max_margin(&batch, NULL, weights, NULL));
  for (int k = 0; k < small_dim * small_dim; ++k) weights[k] *= 50.0;
  GOOD(softstep_margin_in_norm(&batch, weights, "frobenius", 2.0, &margin));
  GOOD(softstep_certified_share(&batch, weights, "frobenius", 2.0, &share));
  GOOD(softstep_margin_certificate_create(small_dim, small_dim, &certificate));
  GOOD(softstep_margin_certificate_add_attention(certificate, &batch, weights, NULL, &added));
  GOOD(softstep_margin_certificate_share(certificate, margin, "frobenius", 2.0, &value));
  REQUIRE(added == 1 && share > 0.0 && share <= 1.0 + 1e-9 && fabs(value - share) <= 1e-12);
  BAD("weights", softstep_margin_certificate_add_attention(certificate, &batch, NULL, NULL, NULL));
  BAD("norm", softstep_margin_in_norm(&batch, weights, "l7", 2.0, &margin));
  softstep_margin_certificate_destroy(certificate);
  softstep_dataset_destroy(data);
}

static void test_relu(void) {
  softstep_dataset* data = small_data();
  softstep_batch batch = batch_of(data);
  const double outer[2] = {1, -1}, means[4] = {1, 0, -1, 0}, even[2] = {0.5, 0.5};
  const int8_t labels[2] = {1, -1};
  softstep_model* model = NULL;
  softstep_relu_options options = {.struct_size = sizeof options};
  options.n_neurons = 2;
  GOOD(softstep_relu_model_create(&batch, &options, &model));
  size_t n = 0;
  GOOD(softstep_model_n_blocks(model, &n));
  REQUIRE(n == 2 && evaluated(model) > 0.0);
  softstep_model_destroy(model);
  options.outer = outer;
  options.loss = "correlation";
  GOOD(softstep_relu_model_create(&batch, &options, &model));
  softstep_model_destroy(model);
  options.loss = "hinge";
  REQUIRE(softstep_relu_model_create(&batch, &options, &model) == SOFTSTEP_BAD_ARGUMENT);
  BAD("options", softstep_relu_model_create(&batch, NULL, &model));
  softstep_dataset_destroy(data);

  softstep_gaussian_clusters clusters = {.struct_size = sizeof clusters};
  clusters.dim = 2;
  clusters.n_clusters = 2;
  clusters.means = means;
  clusters.probabilities = even;
  clusters.labels = labels;
  clusters.sigma = 0.5;
  GOOD(softstep_relu_population_model_create(&clusters, 2, outer, SOFTSTEP_F64, NULL, &model));
  REQUIRE(isfinite(evaluated(model)));
  softstep_model_destroy(model);
  clusters.sigma = -1.0;
  BAD("sigma", softstep_relu_population_model_create(&clusters, 2, outer, SOFTSTEP_F64, NULL, &model));
  clusters.means = NULL;
  BAD("clusters.means",
      softstep_relu_population_model_create(&clusters, 2, NULL, SOFTSTEP_F64, NULL, &model));
}

static void test_in_context(void) {
  const double spectrum[2] = {0.5, 0.25};
  double optimum[4], found[4];
  softstep_in_context_options options = {.struct_size = sizeof options};
  options.dim = 2;
  options.n_examples = 7;
  options.spectrum = spectrum;
  options.form = "merged";
  softstep_model* model = NULL;
  GOOD(softstep_in_context_model_create(&options, &model));
  REQUIRE(evaluated(model) > 0.0);
  softstep_state* state = NULL;
  softstep_train_options run = {.struct_size = sizeof run};
  run.rules = "gd:step-size=0.5";
  run.n_steps = 20000;
  GOOD(softstep_state_create_normal(model, 0.1, 3, &state));
  GOOD(softstep_train(model, state, &run, NULL));
  GOOD(softstep_observe(model, state, 0, found, 4));
  GOOD(softstep_in_context_optimum(spectrum, 2, 7, optimum));
  for (int k = 0; k < 4; ++k) REQUIRE(fabs(found[k] - optimum[k]) <= 1e-6);
  softstep_state_destroy(state);
  softstep_model_destroy(model);
  options.form = "joined";
  BAD("options.form", softstep_in_context_model_create(&options, &model));
  options.form = NULL;
  options.spectrum = NULL;
  BAD("options.spectrum", softstep_in_context_model_create(&options, &model));
  BAD("spectrum", softstep_in_context_optimum(NULL, 2, 7, optimum));
  BAD("dim", softstep_in_context_optimum(spectrum, (size_t)-1, 7, optimum));
}

void test_neighbours(void) {
  test_multiclass();
  test_certificate();
  test_relu();
  test_in_context();
}
