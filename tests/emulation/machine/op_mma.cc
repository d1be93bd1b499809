// mma.sync: D = A·B + C with A of m rows, B of 8 columns, depth k.
// The 32 lanes of one register of A are 8 rows of 4·p elements, row by row, p elements a register (1 tf32, 2 of 16
// bits, 4 of 8 bits). Register r of A holds rows 8(r mod 2)… and depths 4p(r/2)…; register r of B, transposed, columns
// 0…7 and depths 4p·r…. Products of these types are exact in f32, so the order of the additions is the only freedom; a
// card's order is not documented.
#include <algorithm>
#include <limits>

#include "tests/emulation/machine/floats.h"
#include "tests/emulation/machine/lanes.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

constexpr int kColumns = 8;

struct Tf32 {
  float value;
};
struct Bytes8 {
  uint8_t bits;
};
template <class E>
struct Eight : Bytes8 {};

float Value(Tf32 x) { return x.value; }
float Value(Bf16 x) { return ToFloat(x); }
float Value(F16 x) { return ToFloat(x); }
int32_t Value(int8_t x) { return x; }
int32_t Value(uint8_t x) { return x; }

template <class E>
float Value(Eight<E> x) {
  static const auto* const kTable = [] {
    auto* table = new std::array<float, 256>();
    for (int k = 0; k < 256; k++) (*table)[k] = E::Decode(static_cast<uint8_t>(k));
    return table;
  }();
  return (*kTable)[x.bits];
}

// Sums in which a row of 8 columns is one vector.
template <class Sum>
struct Row;
template <>
struct Row<float> {
  using type = float __attribute__((vector_size(32)));
};
template <>
struct Row<int32_t> {
  using type = uint32_t __attribute__((vector_size(32)));  // wraps
};
template <class Sum>
using RowOf = typename Row<Sum>::type;

template <class Element, class Sum>
struct Operands {
  static constexpr int kPerRegister = 4 / sizeof(Element);
  static constexpr int kBlock = 4 * kPerRegister;  // depths in one register

  // `registers` of A, `blocks` of depth.
  template <int kDepth>
  static void LoadA(const Warp& w, const Reg* list, int rows, Sum (&a)[16][kDepth]) {
    const int row_blocks = rows / 8;
    for (int r = 0; r < row_blocks * (kDepth / kBlock); r++) {
      const Element* from = Lanes<Element>(w, list[r]);
      for (int row = 0; row < 8; row++) {
        for (int k = 0; k < kBlock; k++)
          a[r % row_blocks * 8 + row][r / row_blocks * kBlock + k] = Value(from[row * kBlock + k]);
      }
    }
  }

  template <int kDepth>
  static void LoadB(const Warp& w, const Reg* list, Sum (&b)[kDepth][kColumns]) {
    for (int r = 0; r < kDepth / kBlock; r++) {
      const Element* from = Lanes<Element>(w, list[r]);
      for (int column = 0; column < kColumns; column++) {
        for (int k = 0; k < kBlock; k++) b[r * kBlock + k][column] = Value(from[column * kBlock + k]);
      }
    }
  }
};

// C and D: register 2h + e of f32 and s32 holds column 2(l mod 4) + e of row l/4 + 8h; f16 packs the two columns.
template <class Sum, bool kHalves>
void LoadC(const Warp& w, const Reg* list, int rows, Sum (&c)[16][kColumns]) {
  for (int half = 0; half < rows / 8; half++) {
    for (int lane = 0; lane < kLanes; lane++) {
      for (int e = 0; e < 2; e++) {
        Sum& to = c[lane / 4 + 8 * half][lane % 4 * 2 + e];
        if constexpr (kHalves) {
          to = ToFloat(Lanes<F16>(w, list[half])[2 * lane + e]);
        } else {
          to = Lanes<Sum>(w, list[2 * half + e])[lane];
        }
      }
    }
  }
}

template <class Sum, bool kHalves>
void StoreD(const Warp& w, const Reg* list, int rows, const Sum (&c)[16][kColumns]) {
  for (int half = 0; half < rows / 8; half++) {
    for (int lane = 0; lane < kLanes; lane++) {
      for (int e = 0; e < 2; e++) {
        const Sum from = c[lane / 4 + 8 * half][lane % 4 * 2 + e];
        if constexpr (kHalves) {
          Lanes<F16>(w, list[half])[2 * lane + e] = FromFloat<F16>(from);
        } else {
          Lanes<Sum>(w, list[2 * half + e])[lane] = from;
        }
      }
    }
  }
}

// Eight rows at once keep their sums in registers, with the depth as the outer loop.
template <int kDepth, class Sum>
void MultiplyRows(const Sum (*a)[kDepth], const Sum (&b)[kDepth][kColumns], Sum (*c)[kColumns]) {
  RowOf<Sum> sum[8];
  memcpy(sum, c, sizeof sum);
#pragma GCC unroll 32
  for (int k = 0; k < kDepth; k++) {
    RowOf<Sum> row;
    memcpy(&row, b[k], sizeof row);
#pragma GCC unroll 8
    for (int m = 0; m < 8; m++) sum[m] += a[m][k] * row;
  }
  memcpy(c, sum, sizeof sum);
}

// .satfinite: the sum of int8 products is clamped once, at the end.
template <int kDepth>
void MultiplySaturated(const int32_t (*a)[kDepth], const int32_t (&b)[kDepth][kColumns], int32_t (*c)[kColumns]) {
  for (int m = 0; m < 8; m++) {
    for (int n = 0; n < kColumns; n++) {
      int64_t sum = c[m][n];
      for (int k = 0; k < kDepth; k++) sum += a[m][k] * b[k][n];
      c[m][n] = static_cast<int32_t>(
          std::clamp<int64_t>(sum, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()));
    }
  }
}

// list: registers of D, A, B, C one after the other; mode: where B begins, flags: where C begins; value: saturates;
// count: rows.
template <class A, class B, int kDepth, class Sum, bool kHalves>
void Mma(Warp& w, const Instruction& i, Mask) {
  const int rows = i.count, sums = rows / 8 * (kHalves ? 1 : 2);
  alignas(64) Sum a[16][kDepth], b[kDepth][kColumns], c[16][kColumns];
  Operands<A, Sum>::LoadA(w, i.list + sums, rows, a);
  Operands<B, Sum>::LoadB(w, i.list + i.mode, b);
  LoadC<Sum, kHalves>(w, i.list + i.flags, rows, c);
  for (int first = 0; first < rows; first += 8) {
    if constexpr (std::is_same_v<Sum, int32_t>) {
      if (i.value != 0) {
        MultiplySaturated<kDepth>(a + first, b, c + first);
        continue;
      }
    }
    MultiplyRows<kDepth, Sum>(a + first, b, c + first);
  }
  StoreD<Sum, kHalves>(w, i.list, rows, c);
}

// By element types, depth in bytes of one row of A, and what C holds.
template <class A, class B, class Sum, bool kHalves>
Handler SelectDepth(int depth) {
  constexpr int kBlock = Operands<A, Sum>::kBlock;
  if (depth == kBlock) return Mma<A, B, kBlock, Sum, kHalves>;
  if (depth == 2 * kBlock) return Mma<A, B, 2 * kBlock, Sum, kHalves>;
  return nullptr;
}

template <class A, class B>
Handler SelectFloat(int depth, ptx::Type sum) {
  if (sum == ptx::Type::kF32) return SelectDepth<A, B, float, false>(depth);
  if constexpr (!std::is_same_v<A, Bf16> && !std::is_same_v<A, Tf32>) {
    if (sum == ptx::Type::kF16) return SelectDepth<A, B, float, true>(depth);
  }
  return nullptr;
}

Handler Select(int depth, ptx::Type sum, ptx::Type a, ptx::Type b) {
  using ptx::Type;
  if (a == Type::kBf16 && b == a) return SelectFloat<Bf16, Bf16>(depth, sum);
  if (a == Type::kF16 && b == a) return SelectFloat<F16, F16>(depth, sum);
  if (a == Type::kTf32 && b == a) return SelectFloat<Tf32, Tf32>(depth, sum);
  if (a == Type::kE4m3)
    return b == a ? SelectFloat<Eight<E4m3>, Eight<E4m3>>(depth, sum)
                  : SelectFloat<Eight<E4m3>, Eight<E5m2>>(depth, sum);
  if (a == Type::kE5m2)
    return b == a ? SelectFloat<Eight<E5m2>, Eight<E5m2>>(depth, sum)
                  : SelectFloat<Eight<E5m2>, Eight<E4m3>>(depth, sum);
  if (sum != Type::kS32) return nullptr;
  if (a == Type::kS8)
    return b == a ? SelectDepth<int8_t, int8_t, int32_t, false>(depth)
                  : SelectDepth<int8_t, uint8_t, int32_t, false>(depth);
  if (a == Type::kU8)
    return b == a ? SelectDepth<uint8_t, uint8_t, int32_t, false>(depth)
                  : SelectDepth<uint8_t, int8_t, int32_t, false>(depth);
  return nullptr;
}

}  // namespace

// mma.sync.aligned.mMn8kK.row.col[.satfinite].D.A.B.C d, a, b, c
void DecodeMma(Decoder& d, Instruction& i) {
  const std::vector<std::string_view>& op = d.statement().op;
  if (op.size() < 9 || !d.Has("row") || !d.Has("col") || d.Has("sp")) return;
  int rows = 0, columns = 0, depth = 0;
  if (sscanf(std::string(op[3]).c_str(), "m%dn%dk%d", &rows, &columns, &depth) != 3 || columns != kColumns) return;
  if (rows != 16 && !(rows == 8 && depth == 16 && ptx::SizeOf(d.TypeAt(2)) == 1)) return;
  std::vector<ptx::Operand> all;
  size_t begin[4];
  for (size_t k = 0; k < 4; k++) {
    begin[k] = all.size();
    const ptx::Operand& operand = d.operand(k);
    if (operand.kind != ptx::Operand::Kind::kVector) d.Fail("operands of mma are vectors");
    all.insert(all.end(), operand.elements.begin(), operand.elements.end());
  }
  const ptx::Type sum = d.TypeAt(3);
  if (d.TypeAt(0) != sum) return;  // mixed f16 and f32 sums
  i.list = d.List(all, 4);
  i.count = static_cast<uint8_t>(rows);
  i.mode = static_cast<uint8_t>(begin[2]);
  i.flags = static_cast<uint8_t>(begin[3]);
  i.value = d.Has("satfinite") ? 1 : 0;
  i.d = d.Constant(kAllLanes, 4);
  i.flow = Flow::kConverge;
  i.run = Select(depth, sum, d.TypeAt(2), d.TypeAt(1));
}

}  // namespace emulation
