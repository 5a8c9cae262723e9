#include "mpi/program/runs.h"

namespace softstep::test {

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* rule :
       {"gd:step-size=20", "ngd:step-size=1", "polyak", "adam", "momentum", "sign", "muon"})
    all.push_back({.name = rule, .rule = rule});
  for (const char* rule : {"gd:step-size=20", "ngd:step-size=1", "polyak", "adam"}) {
    all.push_back({.name = std::string(rule) + " mini-batch", .rule = rule, .trainer = {.batch_size = 8}});
    all.push_back({.name = std::string(rule) + " joint",
                   .rule = rule,
                   .layer = {.train_decoder = true, .optimal_loss = OptimalLoss::zero}});
  }
  all.push_back({.name = "joint by the whole gradient, mini-batch",
                 .rule = "ngd:step-size=1",
                 .layer = {.train_decoder = true, .optimal_loss = OptimalLoss::zero},
                 .trainer = {.normalization = Normalization::joint, .batch_size = 5}});
  all.push_back({.name = "batches of 2, which some ranks have nothing of",
                 .rule = "polyak",
                 .trainer = {.batch_size = 2}});
  for (const std::size_t batch : {std::size_t{0}, std::size_t{7}}) {
    all.push_back({.name = "factored",
                   .rule = "ngd:step-size=1",
                   .layer = {.key_query = KeyQuery::factored, .rank = 5},
                   .trainer = {.batch_size = batch}});
    all.push_back({.name = "prompt",
                   .rule = "polyak",
                   .layer = {.key_query = KeyQuery::prompt},
                   .trainer = {.batch_size = batch}});
    for (const char* queries : {"several", "late", "all"})
      all.push_back({.name = std::string("queries: ") + queries,
                     .rule = "polyak",
                     .trainer = {.batch_size = batch},
                     .queries = queries});
  }
  all.push_back({.name = "exponential loss", .rule = "polyak", .layer = {.loss = Loss::exponential}});
  all.push_back({.name = "L* of the tokens selected",
                 .rule = "gd:step-size=20",
                 .layer = {.optimal_loss = OptimalLoss::selected}});
  all.push_back({.name = "ragged", .rule = "ngd:step-size=1", .ragged = true, .dim = 272});
  all.push_back({.name = "three threads", .rule = "ngd:step-size=1", .layer = {.n_threads = 3}, .dim = 240});
  // Bands of 5 threads are larger than those of one.
  all.push_back({.name = "threads on the last rank alone",
                 .rule = "ngd:step-size=1",
                 .dim = 240,
                 .last_rank_threads = 5});
  all.push_back({.name = "to saturation", .rule = "ngd:step-size=500"});
  return all;
}

}  // namespace softstep::test
