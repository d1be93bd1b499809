// Loads and stores of one or four neighbouring values, as f32 in registers. For kernels alone.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "runtime/cuda/kernels/grid.h"

namespace headroom::runtime::cuda {

using Bf16 = __nv_bfloat16;

template <int kCount>
struct Values {
  float at[kCount];
};

__device__ inline uint32_t PackBf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return static_cast<uint32_t>(__bfloat16_as_ushort(pair.x)) | static_cast<uint32_t>(__bfloat16_as_ushort(pair.y))
                                                                   << 16;
}

// Four values: an access of 16 bytes (f32) or 8 (bf16), aligned to itself.
template <int kCount>
__device__ inline Values<kCount> Load(const float* p) {
  if constexpr (kCount == 4) {
    const float4 v = *reinterpret_cast<const float4*>(p);
    return {v.x, v.y, v.z, v.w};
  } else {
    return {*p};
  }
}
template <int kCount>
__device__ inline Values<kCount> Load(const Bf16* p) {
  if constexpr (kCount == 4) {
    const uint2 v = *reinterpret_cast<const uint2*>(p);
    return {__uint_as_float(v.x << 16), __uint_as_float(v.x & 0xffff0000u), __uint_as_float(v.y << 16),
            __uint_as_float(v.y & 0xffff0000u)};
  } else {
    return {__bfloat162float(*p)};
  }
}
// __stwb: nvcc makes several accesses of an assignment where the address is a sum of two products.
template <int kCount>
__device__ inline void Store(float* p, const Values<kCount>& v) {
  if constexpr (kCount == 4) {
    __stwb(reinterpret_cast<float4*>(p), make_float4(v.at[0], v.at[1], v.at[2], v.at[3]));
  } else {
    *p = v.at[0];
  }
}
template <int kCount>
__device__ inline void Store(Bf16* p, const Values<kCount>& v) {
  if constexpr (kCount == 4) {
    __stwb(reinterpret_cast<uint2*>(p), make_uint2(PackBf16(v.at[0], v.at[1]), PackBf16(v.at[2], v.at[3])));
  } else {
    *p = __float2bfloat16_rn(v.at[0]);
  }
}

// Whether four f32 from there on are one access. Null is.
inline bool AlignedForFour(const float* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

// Whether all rows can be accessed four values at a time.
template <typename Rows>
inline bool ByFour(const Rows& rows) {
  const int64_t bytes = rows.bf16 ? 8 : 16;
  return rows.cols % 4 == 0 && rows.stride % 4 == 0 && reinterpret_cast<uintptr_t>(rows.data) % bytes == 0;
}

// call(T()) with T = Bf16 or float.
template <typename Call>
inline cudaError_t WithType(bool bf16, const Call& call) {
  return bf16 ? call(Bf16()) : call(float());
}

}  // namespace headroom::runtime::cuda
