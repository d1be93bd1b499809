#include "tests/emulation/nccl/reduce.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tests/emulation/machine/floats.h"

namespace emulation {
namespace {

struct F8E4m3 {
  uint8_t bits;
};
struct F8E5m2 {
  uint8_t bits;
};

// What elements are added in, and the way there and back.
template <class T>
struct Element {
  using Sum = T;
  static T Load(T x) { return x; }
  static T Store(T x) { return x; }
};
template <class T>
struct SmallFloat {
  using Sum = float;
  static float Load(T x) { return ToFloat(x); }
  static T Store(float x) { return FromFloat<T>(x); }
};
template <>
struct Element<Bf16> : SmallFloat<Bf16> {};
template <>
struct Element<F16> : SmallFloat<F16> {};
template <>
struct Element<F8E4m3> {
  using Sum = float;
  static float Load(F8E4m3 x) { return E4m3::Decode(x.bits); }
  static F8E4m3 Store(float x) { return {E4m3::Encode(x)}; }
};
template <>
struct Element<F8E5m2> {
  using Sum = float;
  static float Load(F8E5m2 x) { return E5m2::Decode(x.bits); }
  static F8E5m2 Store(float x) { return {E5m2::Encode(x)}; }
};

template <class S>
S Combine(S a, S b, ncclRedOp_t op) {
  if constexpr (std::is_integral_v<S>) {
    using U = std::make_unsigned_t<S>;
    if (op == ncclSum || op == ncclAvg) return static_cast<S>(static_cast<U>(static_cast<U>(a) + static_cast<U>(b)));
    if (op == ncclProd)
      return static_cast<S>(static_cast<U>(uint64_t{static_cast<U>(a)} * uint64_t{static_cast<U>(b)}));
  } else {
    if (op == ncclSum || op == ncclAvg) return a + b;
    if (op == ncclProd) return a * b;
  }
  if constexpr (std::is_floating_point_v<S>) {
    return op == ncclMax ? Larger<false>(a, b) : Smaller<false>(a, b);
  } else {
    return op == ncclMax ? std::max(a, b) : std::min(a, b);
  }
}

template <class T>
std::string ReduceAll(const std::vector<const char*>& inputs, size_t count, ncclRedOp_t op) {
  using Sum = typename Element<T>::Sum;
  std::vector<Sum> sums(count);
  std::vector<T> input(count);
  for (size_t rank = 0; rank < inputs.size(); rank++) {
    memcpy(input.data(), inputs[rank], count * sizeof(T));
    for (size_t i = 0; i < count; i++) {
      const Sum x = Element<T>::Load(input[i]);
      sums[i] = rank == 0 ? x : Combine(sums[i], x, op);
    }
  }
  for (size_t i = 0; i < count; i++) {
    if (op == ncclAvg) sums[i] = static_cast<Sum>(sums[i] / static_cast<Sum>(inputs.size()));
    input[i] = Element<T>::Store(sums[i]);
  }
  std::string output(count * sizeof(T), 0);
  memcpy(output.data(), input.data(), output.size());
  return output;
}

struct TypeEntry {
  const char* name;
  size_t bytes;
  std::string (*reduce)(const std::vector<const char*>&, size_t, ncclRedOp_t);
};
// In the order of ncclDataType_t.
constexpr TypeEntry kTypes[ncclNumTypes] = {
    {"i8", 1, ReduceAll<int8_t>},    {"u8", 1, ReduceAll<uint8_t>},      {"i32", 4, ReduceAll<int32_t>},
    {"u32", 4, ReduceAll<uint32_t>}, {"i64", 8, ReduceAll<int64_t>},     {"u64", 8, ReduceAll<uint64_t>},
    {"f16", 2, ReduceAll<F16>},      {"f32", 4, ReduceAll<float>},       {"f64", 8, ReduceAll<double>},
    {"bf16", 2, ReduceAll<Bf16>},    {"fp8-e4m3", 1, ReduceAll<F8E4m3>}, {"fp8-e5m2", 1, ReduceAll<F8E5m2>},
};

bool Known(ncclDataType_t type) { return type >= 0 && type < ncclNumTypes; }

}  // namespace

size_t BytesOf(ncclDataType_t type) { return Known(type) ? kTypes[type].bytes : 0; }
const char* NameOfType(ncclDataType_t type) { return Known(type) ? kTypes[type].name : "of no type"; }
const char* NameOfOp(ncclRedOp_t op) {
  static const char* const kOps[] = {"sum", "product", "maximum", "minimum", "average"};
  return op >= 0 && op < ncclNumOps ? kOps[op] : "no operation";
}
bool Reduces(CallKind kind) {
  return kind == CallKind::kAllReduce || kind == CallKind::kReduce || kind == CallKind::kReduceScatter;
}

std::string Reduce(const std::vector<const char*>& inputs, size_t count, ncclDataType_t type, ncclRedOp_t op) {
  return kTypes[type].reduce(inputs, count, op);
}

}  // namespace emulation
