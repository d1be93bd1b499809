// Logic, shifts and bit fields.
#include <algorithm>
#include <bit>

#include "tests/emulation/machine/lanes.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

struct And {
  template <class T>
  T operator()(T a, T b) const {
    return a & b;
  }
};
struct Or {
  template <class T>
  T operator()(T a, T b) const {
    return a | b;
  }
};
struct Xor {
  template <class T>
  T operator()(T a, T b) const {
    return a ^ b;
  }
};
struct Not {
  template <class T>
  T operator()(T a) const {
    return static_cast<T>(~a);
  }
};
struct Cnot {
  template <class T>
  T operator()(T a) const {
    return a == 0;
  }
};
// Shifts beyond the width give 0, or the sign.
struct Shl {
  template <class T>
  T operator()(T a, uint32_t n) const {
    return n < 8 * sizeof(T) ? static_cast<T>(static_cast<uint64_t>(a) << n) : T{0};
  }
};
struct Shr {
  template <class T>
  T operator()(T a, uint32_t n) const {
    const uint32_t most = 8 * sizeof(T) - 1;
    if (std::is_unsigned_v<T> && n > most) return 0;
    return static_cast<T>(a >> std::min(n, most));
  }
};
struct Popc {
  template <class T>
  uint32_t operator()(T a) const {
    return std::popcount(a);
  }
};
struct Clz {
  template <class T>
  uint32_t operator()(T a) const {
    return std::countl_zero(a);
  }
};
struct Brev {
  template <class T>
  T operator()(T a) const {
    T result = 0;
    for (size_t bit = 0; bit < 8 * sizeof(T); bit++) result |= (a >> bit & 1) << (8 * sizeof(T) - 1 - bit);
    return result;
  }
};
// Place of the highest bit that differs from the sign; all ones when there is none. kShiftAmount: how far it is from
// the top instead.
template <bool kShiftAmount>
struct Bfind {
  template <class T>
  uint32_t operator()(T a) const {
    using U = std::make_unsigned_t<T>;
    const U bits = static_cast<U>(a < 0 ? ~a : a);
    if (bits == 0) return ~0u;
    const uint32_t place = 8 * sizeof(T) - 1 - std::countl_zero(bits);
    return kShiftAmount ? 8 * sizeof(T) - 1 - place : place;
  }
};

template <class T>
Handler SelectUnsigned(std::string_view name) {
  if (name == "and") return Binary<T, T, T, And>;
  if (name == "or") return Binary<T, T, T, Or>;
  if (name == "xor") return Binary<T, T, T, Xor>;
  if (name == "not") return Unary<T, T, Not>;
  if (name == "cnot") return Unary<T, T, Cnot>;
  if (name == "shl") return Binary<T, T, uint32_t, Shl>;
  if constexpr (sizeof(T) >= 4) {
    if (name == "popc") return Unary<uint32_t, T, Popc>;
    if (name == "clz") return Unary<uint32_t, T, Clz>;
    if (name == "brev") return Unary<T, T, Brev>;
  }
  return nullptr;
}

// One truth table for three inputs, looked up bit by bit.
void Lop3(Warp& w, const Instruction& i, Mask mask) {
  const uint32_t* a = Lanes<uint32_t>(w, i.a);
  const uint32_t* b = Lanes<uint32_t>(w, i.b);
  const uint32_t* c = Lanes<uint32_t>(w, i.c);
  uint32_t t[kLanes] = {};
  for (int row = 0; row < 8; row++) {
    if (!(i.value >> row & 1)) continue;
    const uint32_t x = row & 4 ? 0 : ~0u, y = row & 2 ? 0 : ~0u, z = row & 1 ? 0 : ~0u;
    for (int lane = 0; lane < kLanes; lane++) t[lane] |= (a[lane] ^ x) & (b[lane] ^ y) & (c[lane] ^ z);
  }
  Store(Lanes<uint32_t>(w, i.dst), t, mask);
}

// The bytes of {b, a} picked by the nibbles of c; bit 3 of a nibble spreads the byte's sign.
struct Prmt {
  uint32_t operator()(uint32_t a, uint32_t b, uint32_t c) const {
    const uint64_t bytes = uint64_t{b} << 32 | a;
    uint32_t result = 0;
    for (int k = 0; k < 4; k++) {
      const uint32_t pick = c >> (4 * k) & 15;
      uint32_t byte = bytes >> (8 * (pick & 7)) & 0xff;
      if (pick & 8) byte = byte & 0x80 ? 0xff : 0;
      result |= byte << (8 * k);
    }
    return result;
  }
};

enum PrmtMode : uint8_t { kF4e, kB4e, kRc8, kEcl, kEcr, kRc16 };

// The named modes make a selector from the low two bits of c.
template <PrmtMode kMode>
struct PrmtNamed {
  uint32_t operator()(uint32_t a, uint32_t b, uint32_t c) const {
    static constexpr uint16_t kSelectors[6][4] = {{0x3210, 0x4321, 0x5432, 0x6543}, {0x5670, 0x6701, 0x7012, 0x0123},
                                                  {0x0000, 0x1111, 0x2222, 0x3333}, {0x3210, 0x3211, 0x3222, 0x3333},
                                                  {0x0000, 0x1110, 0x2210, 0x3210}, {0x1010, 0x3232, 0x1010, 0x3232}};
    return Prmt()(a, b, kSelectors[kMode][c & 3]);
  }
};

// Funnel shifts of {b, a} by c, which wraps at 32 or is clamped to it.
template <bool kLeft, bool kWrap>
struct Shf {
  uint32_t operator()(uint32_t a, uint32_t b, uint32_t c) const {
    const uint64_t both = uint64_t{b} << 32 | a;
    const uint32_t n = kWrap ? c & 31 : std::min(c, 32u);
    return static_cast<uint32_t>(kLeft ? both << n >> 32 : both >> n);
  }
};

// `count` ones from bit `position` on. What wraps at 32, or is clamped to it, are both.
template <bool kWrap>
struct Bmsk {
  uint32_t operator()(uint32_t position, uint32_t count) const {
    const uint32_t from = kWrap ? position & 31 : std::min(position, 32u),
                   n = kWrap ? count & 31 : std::min(count, 32u);
    return static_cast<uint32_t>(((uint64_t{1} << n) - 1) << from);
  }
};

// The low `count` bits with zeros, or copies of their highest, above them.
template <class T, bool kWrap>
struct Szext {
  T operator()(T a, uint32_t count) const {
    const uint32_t n = kWrap ? count & 31 : std::min(count, 32u);
    return n == 0 ? T{0} : static_cast<T>(static_cast<T>(static_cast<uint32_t>(a) << (32 - n)) >> (32 - n));
  }
};

template <class T>
struct Bfe {
  T operator()(T a, uint32_t b, uint32_t c) const {
    using U = std::make_unsigned_t<T>;
    constexpr uint32_t kTop = 8 * sizeof(T) - 1;
    const uint32_t position = b & 0xff, length = c & 0xff;
    if (length == 0) return 0;
    const U sign = std::is_signed_v<T> ? static_cast<U>(a) >> std::min(position + length - 1, kTop) & 1 : 0;
    U result = position > kTop ? 0 : static_cast<U>(a) >> position;
    const uint32_t kept = position > kTop ? 0 : std::min(length, kTop + 1 - position);
    const U low = kept > kTop ? ~U{0} : (U{1} << kept) - 1;
    result &= low;
    return static_cast<T>(sign ? result | ~low : result);
  }
};

template <class T>
void Bfi(Warp& w, const Instruction& i, Mask mask) {
  const T* a = Lanes<T>(w, i.a);
  const T* b = Lanes<T>(w, i.b);
  const uint32_t* c = Lanes<uint32_t>(w, i.c);
  const uint32_t* length = Lanes<uint32_t>(w, i.d);
  T t[kLanes];
  for (int lane = 0; lane < kLanes; lane++) {
    const uint32_t position = c[lane] & 0xff, n = length[lane] & 0xff;
    constexpr uint32_t kBits = 8 * sizeof(T);
    const T field = n >= kBits ? ~T{0} : (T{1} << n) - 1;
    const T place = position >= kBits ? 0 : field << position;
    t[lane] = (b[lane] & ~place) | (position >= kBits ? 0 : (a[lane] << position) & place);
  }
  Store(Lanes<T>(w, i.dst), t, mask);
}

}  // namespace

Handler BitHandler(const Decoder& d, std::string_view name, ptx::Type type) {
  Handler handler = ForBits(type, [&](auto tag) -> Handler {
    using T = typename decltype(tag)::type;
    if constexpr (sizeof(T) <= 8) return SelectUnsigned<T>(name);
    return nullptr;
  });
  if (handler != nullptr) return handler;
  return ForIntegers(type, [&](auto tag) -> Handler {
    using T = typename decltype(tag)::type;
    if (name == "shr") return Binary<T, T, uint32_t, Shr>;
    if (name == "bfind") return d.Has("shiftamt") ? Unary<uint32_t, T, Bfind<true>> : Unary<uint32_t, T, Bfind<false>>;
    return nullptr;
  });
}

void DecodeLop3(Decoder& d, Instruction& i) {
  if (d.TypeAt() != ptx::Type::kB32 || d.operands() != 5) return;
  i.dst = d.Destination(d.operand(0));
  i.a = d.Source(d.operand(1), 4);
  i.b = d.Source(d.operand(2), 4);
  i.c = d.Source(d.operand(3), 4);
  if (d.operand(4).kind != ptx::Operand::Kind::kInteger) d.Fail("the truth table is no number");
  i.value = d.operand(4).value;
  i.run = Lop3;
}

void DecodePrmt(Decoder& d, Instruction& i) {
  i.dst = d.Destination(d.operand(0));
  i.a = d.Source(d.operand(1), 4);
  i.b = d.Source(d.operand(2), 4);
  i.c = d.Source(d.operand(3), 4);
  i.run = Ternary<uint32_t, uint32_t, uint32_t, uint32_t, Prmt>;
  const auto named = [&]<PrmtMode kMode>() {
    return Ternary<uint32_t, uint32_t, uint32_t, uint32_t, PrmtNamed<kMode>>;
  };
  if (d.Has("f4e")) i.run = named.operator()<kF4e>();
  if (d.Has("b4e")) i.run = named.operator()<kB4e>();
  if (d.Has("rc8")) i.run = named.operator()<kRc8>();
  if (d.Has("ecl")) i.run = named.operator()<kEcl>();
  if (d.Has("ecr")) i.run = named.operator()<kEcr>();
  if (d.Has("rc16")) i.run = named.operator()<kRc16>();
}

void DecodeShf(Decoder& d, Instruction& i) {
  i.dst = d.Destination(d.operand(0));
  i.a = d.Source(d.operand(1), 4);
  i.b = d.Source(d.operand(2), 4);
  i.c = d.Source(d.operand(3), 4);
  const bool wrap = d.Has("wrap");
  if (d.Has("l")) {
    i.run = wrap ? Ternary<uint32_t, uint32_t, uint32_t, uint32_t, Shf<true, true>>
                 : Ternary<uint32_t, uint32_t, uint32_t, uint32_t, Shf<true, false>>;
  } else {
    i.run = wrap ? Ternary<uint32_t, uint32_t, uint32_t, uint32_t, Shf<false, true>>
                 : Ternary<uint32_t, uint32_t, uint32_t, uint32_t, Shf<false, false>>;
  }
}

void DecodeBmsk(Decoder& d, Instruction& i) {
  i.dst = d.Destination(d.operand(0));
  i.a = d.Source(d.operand(1), 4);
  i.b = d.Source(d.operand(2), 4);
  i.run = d.Has("wrap") ? Binary<uint32_t, uint32_t, uint32_t, Bmsk<true>>
                        : Binary<uint32_t, uint32_t, uint32_t, Bmsk<false>>;
}

void DecodeSzext(Decoder& d, Instruction& i) {
  i.dst = d.Destination(d.operand(0));
  i.a = d.Source(d.operand(1), 4);
  i.b = d.Source(d.operand(2), 4);
  const auto select = [&]<class T>() {
    return d.Has("wrap") ? Binary<T, T, uint32_t, Szext<T, true>> : Binary<T, T, uint32_t, Szext<T, false>>;
  };
  i.run = d.TypeAt() == ptx::Type::kS32 ? select.operator()<int32_t>() : select.operator()<uint32_t>();
}

// bfe D, A, POSITION, LENGTH and bfi D, A, INTO, POSITION, LENGTH
void DecodeBitField(Decoder& d, Instruction& i) {
  const int bytes = ptx::SizeOf(d.TypeAt());
  i.dst = d.Destination(d.operand(0));
  i.a = d.Source(d.operand(1), bytes);
  if (d.statement().op[0] == "bfi") {
    i.b = d.Source(d.operand(2), bytes);
    i.c = d.Source(d.operand(3), 4);
    i.d = d.Source(d.operand(4), 4);
    i.run = bytes == 4 ? Bfi<uint32_t> : bytes == 8 ? Bfi<uint64_t> : nullptr;
    return;
  }
  i.b = d.Source(d.operand(2), 4);
  i.c = d.Source(d.operand(3), 4);
  i.run = ForIntegers(d.TypeAt(), [&](auto tag) -> Handler {
    using T = typename decltype(tag)::type;
    if constexpr (sizeof(T) >= 4) return Ternary<T, T, uint32_t, uint32_t, Bfe<T>>;
    return nullptr;
  });
}

}  // namespace emulation
