"""NGD and Polyak turn to the max-margin direction: 1 - cos below 1e-6 after 10000 steps. Draws curves.svg."""

import softstep

problem = softstep.generate("signal_noise", n_samples=10, n_tokens=6, dim=60, seed=0).problem()
limit = softstep.solve_max_margin(problem)
runs = softstep.compare(problem, ["ngd", "polyak"], steps=10000, reference=limit)
for rule, one_minus_cos in runs.medians().items():
    print(f"{rule}: 1 - cos = {one_minus_cos:.1e}")
assert max(runs.medians().values()) < 1e-6
runs.plot().figure.savefig("curves.svg")
