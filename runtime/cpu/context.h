// What every computation of the CPU backend needs, and its way to use the team of threads.
#pragma once

#include <cstdint>

#include "common/compute_thread.h"
#include "common/dtype.h"
#include "runtime/cpu/host.h"
#include "runtime/cpu/isa.h"
#include "runtime/cpu/kernels.h"

#ifndef HEADROOM_SINGLE_THREADED
#include <omp.h>
#endif

namespace headroom::runtime::cpu {

struct Context {
  Isa isa = Isa::kAvx2;
  const Kernels* kernels = nullptr;
  int threads = 1;
  HostAccess host{};
};

inline Element ElementOf(DType dtype) { return dtype == DType::kBF16 ? kElementBf16 : kElementF32; }

// Work below this, on one thread, is not worth waking the team for: that takes 10 to 30 µs, twice (measured, passive
// waiting).
inline constexpr int64_t kWorthTeamNs = 50'000;

inline bool WorthTeam(const Context& context, int64_t parts, int64_t nanoseconds) {
#ifdef HEADROOM_SINGLE_THREADED
  static_cast<void>(context);
  static_cast<void>(parts);
  static_cast<void>(nanoseconds);
  return false;
#else
  return context.threads > 1 && parts > 1 && nanoseconds >= kWorthTeamNs;
#endif
}

// Calls body(begin, end) on the threads of the team for equal parts of [0, n), or once for all of it when that takes
// one thread less than kWorthTeamNs. Always the whole team: libgomp ends threads when a smaller one is asked for.
template <typename Body>
void ParallelRanges(const Context& context, int64_t n, int64_t nanoseconds, const Body& body) {
#ifndef HEADROOM_SINGLE_THREADED
  if (WorthTeam(context, n, nanoseconds)) {
#pragma omp parallel num_threads(context.threads)
    {
      const int64_t threads = omp_get_num_threads();
      const int64_t thread = omp_get_thread_num();
      if (thread > 0) BeComputeThread();
      const int64_t begin = n * thread / threads;
      const int64_t end = n * (thread + 1) / threads;
      if (begin < end) body(begin, end);
    }
    return;
  }
#endif
  static_cast<void>(context);
  static_cast<void>(nanoseconds);
  if (n > 0) body(int64_t{0}, n);
}

// Calls body(unit, thread) for each unit of [0, n), in rising order as threads become free; thread < context.threads.
template <typename Body>
void ParallelUnits(const Context& context, int64_t n, int64_t nanoseconds, const Body& body) {
#ifndef HEADROOM_SINGLE_THREADED
  if (WorthTeam(context, n, nanoseconds)) {
#pragma omp parallel num_threads(context.threads)
    {
      const int thread = omp_get_thread_num();
      if (thread > 0) BeComputeThread();
#pragma omp for schedule(dynamic, 1)
      for (int64_t unit = 0; unit < n; ++unit) body(unit, thread);
    }
    return;
  }
#endif
  static_cast<void>(context);
  static_cast<void>(nanoseconds);
  for (int64_t unit = 0; unit < n; ++unit) body(unit, 0);
}

// Rough times on one thread of a current server core, for the choice above alone.
inline int64_t NsForElements(int64_t elements) { return elements / 2; }
inline int64_t NsForWeightBytes(int64_t bytes) { return bytes / 16; }
inline int64_t NsForMacs(int64_t multiply_adds) { return multiply_adds / 50; }

}  // namespace headroom::runtime::cpu
