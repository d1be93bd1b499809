// Arithmetic in several words: `add`, `sub` and `mad` with .cc, addc, subc, madc. The carry is one bit a lane.
#include "tests/emulation/machine/lanes.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

enum class Sum { kAdd, kSub, kMadLo, kMadHi };

template <class T, Sum kSum>
void Carry(Warp& w, const Instruction& i, Mask mask) {
  using Double = std::conditional_t<sizeof(T) == 4, uint64_t, unsigned __int128>;
  constexpr int kBits = 8 * sizeof(T);
  const T* a = Lanes<T>(w, i.a);
  const T* b = Lanes<T>(w, i.b);
  const T* c = Lanes<T>(w, i.c);
  T t[kLanes];
  Mask flags = 0;
  for (int lane = 0; lane < kLanes; lane++) {
    const Double carry = i.flags & kReadsCarry ? w.carry_flag >> lane & 1 : 0;
    Double left = a[lane], right = b[lane];
    if (kSum == Sum::kMadLo || kSum == Sum::kMadHi) {
      const Double product = left * right;
      left = kSum == Sum::kMadLo ? static_cast<T>(product) : static_cast<T>(product >> kBits);
      right = c[lane];
    }
    const Double sum = kSum == Sum::kSub ? left - right - carry : left + right + carry;
    t[lane] = static_cast<T>(sum);
    flags |= static_cast<Mask>(static_cast<uint32_t>(sum >> kBits) & 1) << lane;  // of a difference: the borrow
  }
  if (i.flags & kWritesCarry) w.carry_flag = (w.carry_flag & ~mask) | (flags & mask);
  Store(Lanes<T>(w, i.dst), t, mask);
}

template <class T>
Handler Select(const Decoder& d, std::string_view name) {
  if (name == "add" || name == "addc") return Carry<T, Sum::kAdd>;
  if (name == "sub" || name == "subc") return Carry<T, Sum::kSub>;
  if (name == "mad" || name == "madc") return d.Has("hi") ? Carry<T, Sum::kMadHi> : Carry<T, Sum::kMadLo>;
  return nullptr;
}

}  // namespace

Handler CarryHandler(const Decoder& d, std::string_view name, ptx::Type type) {
  if (!d.Has("cc") && name != "addc" && name != "subc" && name != "madc") return nullptr;
  if (ptx::SizeOf(type) == 8) return Select<uint64_t>(d, name);
  return ptx::SizeOf(type) == 4 ? Select<uint32_t>(d, name) : nullptr;
}

}  // namespace emulation
