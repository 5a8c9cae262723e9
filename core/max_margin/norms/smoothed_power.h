#pragma once

namespace softstep {

/// What a power leaves once its epigraph t >= |w|^p stands in a logarithmic barrier and t has been minimised
/// out:
///   phi(w) = min over t of  tau t / p - log(t^(2/p) - w^2) - (1 - 1/p) log t,
/// within 3 / tau of (tau / p) |w|^p in its effect (the barrier's parameter is 3). Plain powers of high
/// degree have next to no curvature at entries below the largest, so that Newton's method creeps; phi is
/// self-concordant for every p > 1 (Y. Nesterov, "Towards non-symmetric conic optimization", 2012), and its
/// curvature at w is never below that of the room that w has.
struct SmoothedPower {
  double value, slope, curvature;
  double magnitude;  ///< largest term of `value`
};

/// p > 1, tau > 0, w finite.
SmoothedPower smoothed_power(double w, double p, double tau);

}  // namespace softstep
