// Integer arithmetic. Overflow wraps, as PTX has it: sums and products are formed in unsigned types.
#include <algorithm>
#include <limits>

#include "tests/emulation/machine/lanes.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;

// 16-bit operands would be promoted to int, whose products may overflow.
template <class T>
using Wrapping = std::conditional_t<(sizeof(T) < 4), uint32_t, Unsigned<T>>;

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(Wrapping<T>(a) + Wrapping<T>(b));
  }
};
struct Sub {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(Wrapping<T>(a) - Wrapping<T>(b));
  }
};
struct Mul {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(Wrapping<T>(a) * Wrapping<T>(b));
  }
};
struct Mad {
  template <class T>
  T operator()(T a, T b, T c) const {
    return static_cast<T>(Wrapping<T>(a) * Wrapping<T>(b) + Wrapping<T>(c));
  }
};

template <class T>
using Wide =
    std::conditional_t<sizeof(T) == 2, std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>,
                       std::conditional_t<sizeof(T) == 4, std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>,
                                          std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>>>;

template <class T>
struct MulHi {
  T operator()(T a, T b) const { return static_cast<T>((Wide<T>(a) * Wide<T>(b)) >> (8 * sizeof(T))); }
};
template <class T>
struct MadHi {
  T operator()(T a, T b, T c) const { return Add()(MulHi<T>()(a, b), c); }
};
template <class T>
struct MulWide {
  Wide<T> operator()(T a, T b) const { return Wide<T>(a) * Wide<T>(b); }
};
template <class T>
struct MadWide {
  Wide<T> operator()(T a, T b, Wide<T> c) const { return Add()(MulWide<T>()(a, b), c); }
};

// The low 24 bits of both; the product has 48, of which .lo takes the low and .hi the high 32.
template <class T, int kShift>
struct Mul24 {
  static int64_t Cut(T a) {
    return std::is_signed_v<T> ? static_cast<int32_t>(static_cast<uint32_t>(a) << 8) >> 8 : a & 0xffffff;
  }
  T operator()(T a, T b) const { return static_cast<T>((Cut(a) * Cut(b)) >> kShift); }
};
template <class T, int kShift>
struct Mad24 {
  T operator()(T a, T b, T c) const { return Add()(Mul24<T, kShift>()(a, b), c); }
};

// Division by zero gives all ones on hardware (PTX leaves it open); the lowest value by -1 wraps.
struct Div {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) return static_cast<T>(-1);
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return Sub()(T{0}, a);
    return static_cast<T>(a / b);
  }
};
struct Rem {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) return a;
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
    return static_cast<T>(a % b);
  }
};
struct Min {
  template <class T>
  T operator()(T a, T b) const {
    return std::min(a, b);
  }
};
struct Max {
  template <class T>
  T operator()(T a, T b) const {
    return std::max(a, b);
  }
};
struct Neg {
  template <class T>
  T operator()(T a) const {
    return Sub()(T{0}, a);
  }
};
struct Abs {
  template <class T>
  T operator()(T a) const {
    return a < 0 ? Sub()(T{0}, a) : a;
  }
};
// c + |a - b|
struct Sad {
  template <class T>
  T operator()(T a, T b, T c) const {
    return Add()(c, a < b ? Sub()(b, a) : Sub()(a, b));
  }
};
// .sat of add and sub, s32 only: clamps instead of wrapping.
template <int kSign>
struct AddSaturated {
  int32_t operator()(int32_t a, int32_t b) const {
    return static_cast<int32_t>(std::clamp<int64_t>(
        int64_t{a} + kSign * int64_t{b}, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()));
  }
};

template <class T>
Handler Select(const Decoder& d, std::string_view name) {
  using W = Wide<T>;
  if (d.Has("sat")) {
    if constexpr (std::is_same_v<T, int32_t>) {
      if (name == "add") return Binary<T, T, T, AddSaturated<1>>;
      if (name == "sub") return Binary<T, T, T, AddSaturated<-1>>;
    }
    return nullptr;
  }
  if (name == "add") return Binary<T, T, T, Add>;
  if (name == "sub") return Binary<T, T, T, Sub>;
  if (name == "div") return Binary<T, T, T, Div>;
  if (name == "rem") return Binary<T, T, T, Rem>;
  if (name == "min") return Binary<T, T, T, Min>;
  if (name == "max") return Binary<T, T, T, Max>;
  if (name == "neg") return Unary<T, T, Neg>;
  if (name == "abs") return Unary<T, T, Abs>;
  if (name == "sad") return Ternary<T, T, T, T, Sad>;
  if (name == "mul" && d.Has("lo")) return Binary<T, T, T, Mul>;
  if (name == "mul" && d.Has("hi")) return Binary<T, T, T, MulHi<T>>;
  if (name == "mad" && d.Has("lo")) return Ternary<T, T, T, T, Mad>;
  if (name == "mad" && d.Has("hi")) return Ternary<T, T, T, T, MadHi<T>>;
  if constexpr (sizeof(T) < 8) {
    if (name == "mul" && d.Has("wide")) return Binary<W, T, T, MulWide<T>>;
    if (name == "mad" && d.Has("wide")) return Ternary<W, T, T, W, MadWide<T>>;
  }
  if constexpr (sizeof(T) == 4) {
    if (name == "mul24") return d.Has("hi") ? Binary<T, T, T, Mul24<T, 16>> : Binary<T, T, T, Mul24<T, 0>>;
    if (name == "mad24") return d.Has("hi") ? Ternary<T, T, T, T, Mad24<T, 16>> : Ternary<T, T, T, T, Mad24<T, 0>>;
  }
  return nullptr;
}

}  // namespace

Handler IntegerHandler(const Decoder& d, std::string_view name, ptx::Type type) {
  return ForIntegers(type, [&](auto tag) { return Select<typename decltype(tag)::type>(d, name); });
}

}  // namespace emulation
