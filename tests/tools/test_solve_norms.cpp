// solve for chosen tokens and in other norms.

#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "softstep/softstep.h"
#include "tools/run_program.h"

using namespace softstep;
using softstep::test::Json;
using softstep::test::Workplace;

namespace {

void make_data(const Workplace& place) {
  place.results({"generate", "--generator", "random_unit", "--samples", "5", "--tokens", "4", "--dim", "8",
                 "--out", "data.safetensors"});
}

}  // namespace

TEST_CASE("solve in the l_p and nuclear norms", "[tools]") {
  const Workplace place;
  make_data(place);
  const Dataset<double> data = load_dataset<double>(place.path("data.safetensors"));
  const auto check = [&](const Json& json, MatrixNorm norm, double p) {
    CHECK(json["status"] == "optimal");
    CHECK(json["norm_kind"] == to_string(norm));
    CHECK(json["tolerance"] == 1e-8);
    CHECK(json["duality_gap"].get<double>() <= 1e-8);
    const std::vector<double> w = load_weights(place.path("W.safetensors"), 8);
    const double margin = margin_in_norm(data.view(), score_tokens(data.view()), w, norm, p);
    CHECK(std::fabs(margin / json["margin"].get<double>() - 1.0) <= 1e-12);
  };
  const Json nuclear =
      place.results({"solve", "--data", "data.safetensors", "--norm", "nuclear", "--out", "W.safetensors"});
  check(nuclear, MatrixNorm::nuclear, 2.0);
  CHECK(nuclear["p"].is_null());
  CHECK(nuclear["selected"].is_null());
  const Json lp = place.results(
      {"solve", "--data", "data.safetensors", "--norm", "lp", "--p", "1.75", "--out", "W.safetensors"});
  check(lp, MatrixNorm::l_p, 1.75);
  CHECK(lp["p"] == 1.75);
  const Json usual = place.results({"solve", "--data", "data.safetensors"});
  CHECK(usual["norm_kind"] == "frobenius");
  CHECK(usual["tolerance"] == 1e-10);
}

TEST_CASE("solve for the tokens of a file, or those that weights attend to", "[tools]") {
  const Workplace place;
  make_data(place);
  const Dataset<double> data = load_dataset<double>(place.path("data.safetensors"));
  place.results({"train", "--data", "data.safetensors", "--steps", "300", "--out", "W.safetensors"});
  const std::vector<double> w = load_weights(place.path("W.safetensors"), 8);
  MaxMarginOptions options;
  options.selected = selected_tokens(data.view(), w);
  const MaxMarginResult expected = solve_max_margin(data.view(), options);
  const Json by_weights =
      place.results({"solve", "--data", "data.safetensors", "--selected", "W.safetensors"});
  CHECK(by_weights["norm"] == expected.norm);
  CHECK(by_weights["selected"] == "W.safetensors");
  NamedTensor tensor;
  tensor.name = "selected";
  tensor.shape = {5};
  for (const std::size_t t : options.selected) tensor.values.push_back(static_cast<double>(t));
  save_tensors(place.path("S.safetensors"), {tensor});
  CHECK(place.results({"solve", "--data", "data.safetensors", "--selected", "S.safetensors"})["norm"] ==
        expected.norm);
  const Json nuclear = place.results(
      {"solve", "--data", "data.safetensors", "--norm", "nuclear", "--selected", "S.safetensors"});
  CHECK(nuclear["norm"].get<double>() >= expected.norm);

  // A data set without decoder will do.
  std::vector<NamedTensor> tensors;
  for (NamedTensor& each : load_tensors(place.path("data.safetensors")))
    if (each.name != "decoder") tensors.push_back(std::move(each));
  NamedTensor labels;
  labels.name = "labels";
  labels.shape = {5};
  labels.values.assign(data.view().labels, data.view().labels + 5);
  tensors.push_back(labels);
  save_tensors(place.path("bare.safetensors"), tensors);
  CHECK(place.results({"solve", "--data", "bare.safetensors", "--selected", "S.safetensors"})["norm"] ==
        expected.norm);
  place.require_bad_input({"solve", "--data", "bare.safetensors"}, {"decoder"});

  const std::vector<std::int64_t> whole(options.selected.begin(), options.selected.end());
  place.write("I.safetensors", test::safetensors({{"selected", "I64", {5}, test::bytes_of(whole)}}));
  CHECK(place.results({"solve", "--data", "data.safetensors", "--selected", "I.safetensors"})["norm"] ==
        expected.norm);
  place.write("I.safetensors",
              test::safetensors({{"selected", "I8", {2}, test::bytes_of<std::int8_t>({0, -1})}}));
  place.require_bad_input({"solve", "--data", "data.safetensors", "--selected", "I.safetensors"},
                          {"I.safetensors", "sample 1", "-1"});
  place.write("I.safetensors",
              test::safetensors({{"selected", "I8", {2}, test::bytes_of<std::int8_t>({0, 1})}}));
  place.require_bad_input({"solve", "--data", "data.safetensors", "--selected", "I.safetensors"},
                          {"selected", "2", "5 samples"});

  tensor.values[3] = 4.0;
  save_tensors(place.path("bad.safetensors"), {tensor});
  place.require_bad_input({"solve", "--data", "data.safetensors", "--selected", "bad.safetensors"},
                          {"selected", "sample 3", "4", "0 to 3"});
  tensor.values[3] = 0.5;
  save_tensors(place.path("bad.safetensors"), {tensor});
  place.require_bad_input({"solve", "--data", "data.safetensors", "--selected", "bad.safetensors"},
                          {"sample 3", "0.5", "whole"});
  tensor.shape = {1, 5};
  save_tensors(place.path("bad.safetensors"), {tensor});
  place.require_bad_input({"solve", "--data", "data.safetensors", "--selected", "bad.safetensors"},
                          {"bad.safetensors", "[1, 5]", "[n]"});
  place.require_bad_input({"solve", "--data", "data.safetensors", "--selected", "data.safetensors"},
                          {"data.safetensors", "weights"});
}

TEST_CASE("solve refuses norms it does not know and p that fit no norm", "[tools]") {
  const Workplace place;
  make_data(place);
  const auto refuse = [&](test::Arguments more, const std::vector<std::string>& words) {
    test::Arguments all = {"solve", "--data", "data.safetensors"};
    all.insert(all.end(), more.begin(), more.end());
    place.require_bad_input(all, words);
  };
  refuse({"--norm", "spectral"}, {"spectral", "frobenius", "lp", "nuclear"});
  refuse({"--norm", "lp"}, {"--p", "lp"});
  refuse({"--norm", "lp", "--p", "1"}, {"p", "1", "above 1"});
  refuse({"--norm", "lp", "--p", "nan"}, {"p", "nan", "above 1"});
  refuse({"--norm", "nuclear", "--p", "3"}, {"--p", "nuclear"});
}
