// f32 and f64 with .rz, .rm and .rp. Built with -frounding-math, so that the processor's rounding mode counts.
#include <cfenv>
#include <cmath>

#include "tests/emulation/machine/lanes.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

enum class Operation { kAdd, kSub, kMul, kDiv, kFma, kRcp, kSqrt };

template <class T, Operation kOperation>
T Compute(T a, T b, T c) {
  switch (kOperation) {
    case Operation::kAdd:
      return a + b;
    case Operation::kSub:
      return a - b;
    case Operation::kMul:
      return a * b;
    case Operation::kDiv:
      return a / b;
    case Operation::kFma:
      return std::fma(a, b, c);
    case Operation::kRcp:
      return 1 / a;
    case Operation::kSqrt:
      return std::sqrt(a);
  }
  return a;
}

// Not inlined: the compiler may not move the arithmetic before the change of the mode.
template <class T, Operation kOperation>
[[gnu::noinline]] void ComputeLanes(const T* a, const T* b, const T* c, T* t) {
  for (int lane = 0; lane < kLanes; lane++) t[lane] = Compute<T, kOperation>(a[lane], b[lane], c[lane]);
}

template <class T, Operation kOperation, int kMode>
void Rounded(Warp& w, const Instruction& i, Mask mask) {
  T t[kLanes];
  std::fesetround(kMode);
  ComputeLanes<T, kOperation>(Lanes<T>(w, i.a), Lanes<T>(w, i.b), Lanes<T>(w, i.c), t);
  std::fesetround(FE_TONEAREST);
  Store(Lanes<T>(w, i.dst), t, mask);
}

template <class T, int kMode>
Handler Select(std::string_view name) {
  if (name == "add") return Rounded<T, Operation::kAdd, kMode>;
  if (name == "sub") return Rounded<T, Operation::kSub, kMode>;
  if (name == "mul") return Rounded<T, Operation::kMul, kMode>;
  if (name == "div") return Rounded<T, Operation::kDiv, kMode>;
  if (name == "fma" || name == "mad") return Rounded<T, Operation::kFma, kMode>;
  if (name == "rcp") return Rounded<T, Operation::kRcp, kMode>;
  if (name == "sqrt") return Rounded<T, Operation::kSqrt, kMode>;
  return nullptr;
}

}  // namespace

Handler RoundedHandler(const Decoder& d, std::string_view name, ptx::Type type) {
  if (d.Has("ftz") || d.Has("sat")) return nullptr;
  return ForFloats(type, [&](auto tag) -> Handler {
    using T = typename decltype(tag)::type;
    if (d.Has("rz")) return Select<T, FE_TOWARDZERO>(name);
    if (d.Has("rm")) return Select<T, FE_DOWNWARD>(name);
    if (d.Has("rp")) return Select<T, FE_UPWARD>(name);
    return nullptr;
  });
}

}  // namespace emulation
