#include "tests/emulation/cublas/elements.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "tests/emulation/machine/floats.h"

namespace emulation {
namespace {

template <class T>
void WidenAll(const void* from, int64_t count, float* to) {
  const T* x = static_cast<const T*>(from);
  for (int64_t i = 0; i < count; i++) to[i] = ToFloat(x[i]);
}

template <class T>
void NarrowAll(const float* from, int64_t count, void* to) {
  T* y = static_cast<T*>(to);
  for (int64_t i = 0; i < count; i++) y[i] = FromFloat<T>(from[i]);
}

const std::array<float, 256>& E4m3Values() {
  static const std::array<float, 256> kValues = [] {
    std::array<float, 256> values{};
    for (int bits = 0; bits < 256; bits++) values[bits] = E4m3::Decode(static_cast<uint8_t>(bits));
    return values;
  }();
  return kValues;
}

}  // namespace

size_t BytesOf(cudaDataType type) {
  switch (type) {
    case CUDA_R_32F:
    case CUDA_R_32I:
      return 4;
    case CUDA_R_16BF:
    case CUDA_R_16F:
      return 2;
    case CUDA_R_8I:
    case CUDA_R_8F_E4M3:
      return 1;
    default:
      return 0;
  }
}

const char* NameOf(cudaDataType type) {
  switch (type) {
    case CUDA_R_32F:
      return "32F";
    case CUDA_R_32I:
      return "32I";
    case CUDA_R_16BF:
      return "16BF";
    case CUDA_R_16F:
      return "16F";
    case CUDA_R_8I:
      return "8I";
    case CUDA_R_8F_E4M3:
      return "8F_E4M3";
    case CUDA_R_8F_E5M2:
      return "8F_E5M2";
    case CUDA_R_64F:
      return "64F";
    default:
      return "another type";
  }
}

void Widen(cudaDataType type, const void* from, int64_t count, float* to) {
  if (type == CUDA_R_16BF) return WidenAll<Bf16>(from, count, to);
  if (type == CUDA_R_16F) return WidenAll<F16>(from, count, to);
  if (type == CUDA_R_32F) {
    memcpy(to, from, count * sizeof(float));
    return;
  }
  const uint8_t* bits = static_cast<const uint8_t*>(from);
  const std::array<float, 256>& values = E4m3Values();
  for (int64_t i = 0; i < count; i++) to[i] = values[bits[i]];
}

void Widen(cudaDataType, const void* from, int64_t count, uint32_t* to) {
  const int8_t* x = static_cast<const int8_t*>(from);
  for (int64_t i = 0; i < count; i++) to[i] = static_cast<uint32_t>(int32_t{x[i]});
}

void Narrow(cudaDataType type, const float* from, int64_t count, void* to) {
  if (type == CUDA_R_16BF) return NarrowAll<Bf16>(from, count, to);
  if (type == CUDA_R_16F) return NarrowAll<F16>(from, count, to);
  if (type == CUDA_R_32F) {
    memcpy(to, from, count * sizeof(float));
    return;
  }
  uint8_t* bits = static_cast<uint8_t*>(to);
  for (int64_t i = 0; i < count; i++) bits[i] = E4m3::Encode(from[i]);
}

}  // namespace emulation
