"""Slips in runs side by side: a lane that reads or keeps what is not its own, a rule that is one step off."""
ROOM_TESTS = ("[trainer]~[long]",)
MANY = "core/trainer/many/"
FIRST = ("*side by side*,*many*",)

FAULTS = [
    ("lane_adam_one_late", MANY + "lane_rules.h", "const double count = count_ + 1.0;", "const double count = count_ + 2.0;",
     "The correction for Adam's start is that of the next step.", FIRST),
    ("lane_adam_not_rescaled", MANY + "lane_rules.h", "out.rescale = common.factor;", "out.rescale = 1.0;",
     "What Adam remembers stays on the old exponent.", FIRST),
    ("lane_adam_exponent_kept", MANY + "lane_rules.h", "exponent_ = next_exponent_;", "exponent_ = 0.0 * next_exponent_ + exponent_;",
     "A step that is taken does not take its exponent.", FIRST),
    ("lane_momentum_one_late", MANY + "lane_rules.h", "out.keep_mean = count_ / (count_ + 1.0);", "out.keep_mean = (count_ + 1.0) / (count_ + 2.0);",
     "The first step keeps half of a memory that should count nothing.", FIRST),
    ("lane_gram_of_one_sample", MANY + "span_group.h", "= run.gram(i, k);", "= run.gram(i, i);",
     "The Gram matrix of a lane has <z_i, z_i> for <z_i, z_k>.", FIRST),
    ("lane_reads_its_neighbour", MANY + "span_group.h", "samples_.column(i, lane), i, j);", "samples_.column(i, lane == 0 ? 0 : lane - 1), i, j);",
     "What goes in and out of a lane is that of the lane before it.", FIRST),
    ("lane_steps_go_on", MANY + "span_group.h", "    step_.assign(width(), T(0));\n  }\n\n private:", "  }\n\n private:",
     "A lane whose run takes no step repeats its last one.", FIRST),
    ("lane_refresh_one_early", MANY + "span_lane.h", "is_refreshed_after(iteration);", "is_refreshed_after(iteration + 1);",
     "V is computed afresh one step before the step at which a single run does.", FIRST),
    ("lane_pivot_of_the_run_before", MANY + "lane_samples.h", "noted_pivot_[at] = T(-1);", "noted_pivot_[at] = noted_pivot_[at] + T(0);",
     "A new run in a lane keeps the pivot gaps of the one before it.", FIRST),
    ("lane_slope_exponent_sign", MANY + "lane_samples.h", "-std::fmax(gamma, 0.0) : -gamma;", "-std::fmax(gamma, 0.0) : gamma;",
     "The exponential loss falls off the wrong way.", FIRST),
    ("lane_largest_swapped", MANY + "dense_lane.h", "found_.largest_mean = group_.largest_mean(lane_);", "found_.largest_mean = group_.largest_root(lane_);",
     "Adam's exponent follows the root of squares and not the mean.", FIRST),
    ("lane_largest_not_taken_up", MANY + "dense_group.h", "largest_root_[lane] = rules::largest_size(run.root);", "largest_root_[lane] = 0.0 * rules::largest_size(run.root);",
     "A run that goes on in a lane is taken to remember no squares.", FIRST),
]
