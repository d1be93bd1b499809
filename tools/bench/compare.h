// Times of two pieces of work, taken in turn, so that what else the machine does meets both.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <functional>
#include <vector>

namespace headroom::runtime {

inline double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// CPU time of this process, so that others on the machine count little.
inline double CpuSeconds(const std::function<void()>& work) {
  const auto now = [] {
    timespec time = {};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double start = now();
  work();
  return now() - start;
}

inline double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<int64_t>(values.size()) / 2, values.end());
  return values[values.size() / 2];
}

// Medians of two pieces of work done in turn, and of their ratio b / a turn by turn.
struct Pair {
  double a, b, ratio;
};
inline Pair Compare(const std::function<void()>& a, const std::function<void()>& b, int repetitions) {
  a();
  b();
  std::vector<double> times_a, times_b, ratios;
  for (int i = 0; i < repetitions; ++i) {
    times_a.push_back(Seconds(a));
    times_b.push_back(Seconds(b));
    ratios.push_back(times_b.back() / times_a.back());
  }
  return {Median(times_a), Median(times_b), Median(ratios)};
}

}  // namespace headroom::runtime
