// f32 and f64, rounded to nearest even. Approximate opcodes are computed exactly or in double: a card's last digits
// differ, within PTX's bounds.
#include <cmath>

#include "tests/emulation/machine/floats.h"
#include "tests/emulation/machine/lanes.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

// .ftz: subnormal inputs and results are zeros of their sign.
inline float Flush(float x) { return std::abs(x) < 0x1p-126F ? std::copysign(0.0F, x) : x; }

template <class Op>
struct Flushed {
  template <class... T>
  float operator()(T... x) const {
    return Flush(Op()(Flush(x)...));
  }
};

// .sat: clamped to [0, 1], NaN becomes 0.
template <class Op>
struct Saturated {
  template <class... T>
  auto operator()(T... x) const {
    const auto y = Op()(x...);
    using R = decltype(Op()(x...));
    return y > 0 ? (y < 1 ? y : R{1}) : R{0};
  }
};

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
};
struct Sub {
  template <class T>
  T operator()(T a, T b) const {
    return a - b;
  }
};
struct Mul {
  template <class T>
  T operator()(T a, T b) const {
    return a * b;
  }
};
struct Div {
  template <class T>
  T operator()(T a, T b) const {
    return a / b;
  }
};
struct Fma {
  template <class T>
  T operator()(T a, T b, T c) const {
    return std::fma(a, b, c);
  }
};
template <bool kNan>
struct Min {
  template <class T>
  T operator()(T a, T b) const {
    return Smaller<kNan>(a, b);
  }
};
template <bool kNan>
struct Max {
  template <class T>
  T operator()(T a, T b) const {
    return Larger<kNan>(a, b);
  }
};
struct Neg {
  template <class T>
  T operator()(T a) const {
    return -a;
  }
};
struct Abs {
  template <class T>
  T operator()(T a) const {
    return std::abs(a);
  }
};
// copysign D, A, B: the sign of A on B.
struct Copysign {
  template <class T>
  T operator()(T a, T b) const {
    return std::copysign(b, a);
  }
};
struct Rcp {
  template <class T>
  T operator()(T a) const {
    return 1 / a;
  }
};
struct Sqrt {
  template <class T>
  T operator()(T a) const {
    return std::sqrt(a);
  }
};
struct Rsqrt {
  template <class T>
  T operator()(T a) const {
    return static_cast<T>(1 / std::sqrt(static_cast<double>(a)));
  }
};
struct Sin {
  float operator()(float a) const { return std::sin(a); }
};
struct Cos {
  float operator()(float a) const { return std::cos(a); }
};
struct Lg2 {
  float operator()(float a) const { return std::log2(a); }
};
struct Ex2 {
  float operator()(float a) const { return std::exp2(a); }
};
struct Tanh {
  float operator()(float a) const { return std::tanh(a); }
};

// Applies .ftz (f32 only) and .sat.
template <class T, template <class> class Shape, class Op>
Handler Modified(const Decoder& d) {
  const bool flush = d.Has("ftz"), saturate = d.Has("sat");
  if constexpr (std::is_same_v<T, float>) {
    if (flush) return saturate ? Shape<Saturated<Flushed<Op>>>::kHandler : Shape<Flushed<Op>>::kHandler;
    if (saturate) return Shape<Saturated<Op>>::kHandler;
  }
  return flush || saturate ? nullptr : Shape<Op>::kHandler;
}

template <class T>
struct Shapes {
  template <class Op>
  struct One {
    static constexpr Handler kHandler = Unary<T, T, Op>;
  };
  template <class Op>
  struct Two {
    static constexpr Handler kHandler = Binary<T, T, T, Op>;
  };
  template <class Op>
  struct Three {
    static constexpr Handler kHandler = Ternary<T, T, T, T, Op>;
  };
};

template <class T>
Handler SelectCommon(const Decoder& d, std::string_view name) {
  using S = Shapes<T>;
  if (name == "add") return Modified<T, S::template Two, Add>(d);
  if (name == "sub") return Modified<T, S::template Two, Sub>(d);
  if (name == "mul") return Modified<T, S::template Two, Mul>(d);
  if (name == "div") return Modified<T, S::template Two, Div>(d);
  if (name == "fma" || name == "mad") return Modified<T, S::template Three, Fma>(d);
  if (d.Has("xorsign")) return nullptr;
  if (name == "min")
    return d.Has("NaN") ? Modified<T, S::template Two, Min<true>>(d) : Modified<T, S::template Two, Min<false>>(d);
  if (name == "max")
    return d.Has("NaN") ? Modified<T, S::template Two, Max<true>>(d) : Modified<T, S::template Two, Max<false>>(d);
  if (name == "neg") return Modified<T, S::template One, Neg>(d);
  if (name == "abs") return Modified<T, S::template One, Abs>(d);
  if (name == "copysign") return Modified<T, S::template Two, Copysign>(d);
  if (name == "rcp") return Modified<T, S::template One, Rcp>(d);
  if (name == "sqrt") return Modified<T, S::template One, Sqrt>(d);
  if (name == "rsqrt") return Modified<T, S::template One, Rsqrt>(d);
  return nullptr;
}

Handler SelectSingle(const Decoder& d, std::string_view name) {
  using S = Shapes<float>;
  if (name == "sin") return Modified<float, S::One, Sin>(d);
  if (name == "cos") return Modified<float, S::One, Cos>(d);
  if (name == "lg2") return Modified<float, S::One, Lg2>(d);
  if (name == "ex2") return Modified<float, S::One, Ex2>(d);
  if (name == "tanh") return Modified<float, S::One, Tanh>(d);
  return nullptr;
}

}  // namespace

Handler FloatHandler(const Decoder& d, std::string_view name, ptx::Type type) {
  if (type == ptx::Type::kF64) return SelectCommon<double>(d, name);
  if (type != ptx::Type::kF32) return nullptr;
  Handler handler = SelectCommon<float>(d, name);
  return handler != nullptr ? handler : SelectSingle(d, name);
}

}  // namespace emulation
