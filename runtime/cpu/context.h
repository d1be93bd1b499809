// What every computation of the CPU backend needs, and its way to use the team of threads.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "runtime/cpu/kernels.h"
#include "runtime/device.h"

#ifndef HEADROOM_SINGLE_THREADED
#include <omp.h>
#endif

namespace headroom::runtime::cpu {

struct Context {
  Isa isa = Isa::kAvx2;
  const Kernels* kernels = nullptr;
  int threads = 1;
};

inline Element ElementOf(DType dtype) { return dtype == DType::kBF16 ? kElementBf16 : kElementF32; }

// Calls body(begin, end) on the threads of the team for parts of [0, n), or once for all of it when n < 2 · grain:
// waking the team costs tens of microseconds. Always the whole team: libgomp ends threads when a smaller one is asked
// for.
template <typename Body>
void ParallelRanges(const Context& context, int64_t n, int64_t grain, const Body& body) {
#ifndef HEADROOM_SINGLE_THREADED
  if (context.threads > 1 && n >= 2 * grain) {
#pragma omp parallel num_threads(context.threads)
    {
      const int64_t threads = omp_get_num_threads();
      const int64_t thread = omp_get_thread_num();
      const int64_t begin = n * thread / threads;
      const int64_t end = n * (thread + 1) / threads;
      if (begin < end) body(begin, end);
    }
    return;
  }
#endif
  static_cast<void>(context);
  static_cast<void>(grain);
  if (n > 0) body(int64_t{0}, n);
}

// Calls body(unit, thread) for each unit of [0, n), in rising order as threads become free; thread < context.threads.
template <typename Body>
void ParallelUnits(const Context& context, int64_t n, const Body& body) {
#ifndef HEADROOM_SINGLE_THREADED
  if (context.threads > 1 && n > 1) {
#pragma omp parallel for num_threads(context.threads) schedule(dynamic, 1)
    for (int64_t unit = 0; unit < n; ++unit) body(unit, omp_get_thread_num());
    return;
  }
#endif
  static_cast<void>(context);
  for (int64_t unit = 0; unit < n; ++unit) body(unit, 0);
}

// Rows of `cols` elements that make a part worth a thread's while.
inline int64_t RowGrain(int64_t cols) {
  constexpr int64_t kElementsPerPart = 16384;
  return cols >= kElementsPerPart ? 1 : kElementsPerPart / cols;
}

}  // namespace headroom::runtime::cpu
