#include "heads/heads_tests.h"

namespace softstep::test {

template class HeadsArray<float>;
template class HeadsArray<double>;
template struct HeadsCase<float>;
template struct HeadsCase<double>;
template struct HeadsRun<float>;
template struct HeadsRun<double>;
template class HeadsExact<float>;
template class HeadsExact<double>;

template <class T>
void check(const HeadsSetup& setup, const std::vector<int>& threads) {
  const HeadsCase<T> in(setup);
  const HeadsExact<T> exact(in);
  for_each_isa([&](const simd::Isa& isa) {
    for (const int n_threads : threads) {
      INFO((sizeof(T) == 4 ? "float, " : "double, ")
           << isa.name << ", " << n_threads << " threads: " << setup.text());
      const HeadsRun<T> out = run(in, isa.name, n_threads);
      const HeadsRatios ratios = exact.compare(out);
      INFO(ratios.text());
      CHECK(ratios.ok());
      CHECK(out.gaps_untouched());
    }
  });
}
template void check<float>(const HeadsSetup&, const std::vector<int>&);
template void check<double>(const HeadsSetup&, const std::vector<int>&);

}  // namespace softstep::test
