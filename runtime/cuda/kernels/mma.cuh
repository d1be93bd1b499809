// Tensor core products of bf16 with f32 sums, and the copies that feed them.
//
// Fragments (lane l, 8×8 matrices): a register holds elements 2(l mod 4) and the next of row l/4. A of 16 rows by 16:
// rows 0–7, rows 8–15, then both again at depth 8. B of 16 by 8, transposed: depth 0–7, depth 8–15. C: registers 0, 1
// hold columns 2(l mod 4) and the next of row l/4; 2, 3 those of row l/4 + 8.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <cstring>

namespace headroom::runtime::cuda {

using Bf16 = __nv_bfloat16;

__device__ inline uint32_t SharedAddress(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

// Copies that run beside the thread that issued them. 16 bytes past the first-level cache, or zeros.
__device__ inline void CopyAsync16(void* to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :
               : "r"(SharedAddress(to)), "l"(from), "r"(valid ? 16 : 0)
               : "memory");
}
// 4 bytes, or zeros: for rows that begin anywhere.
__device__ inline void CopyAsync4(void* to, const void* from, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
               :
               : "r"(SharedAddress(to)), "l"(from), "r"(valid ? 4 : 0)
               : "memory");
}
__device__ inline void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
__device__ inline void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" : : "n"(kPending) : "memory");
}

// Matrices whose row r lies where lane r (of the second one lane 8 + r, …) says.
__device__ inline void LoadMatrices(uint32_t (&m)[4], const Bf16* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(SharedAddress(row))
               : "memory");
}
__device__ inline void LoadMatrices(uint32_t (&m)[2], const Bf16* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(m[0]), "=r"(m[1])
               : "r"(SharedAddress(row))
               : "memory");
}
__device__ inline void LoadTransposed(uint32_t (&m)[4], const Bf16* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(SharedAddress(row))
               : "memory");
}
__device__ inline void LoadTransposed(uint32_t (&m)[2], const Bf16* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(m[0]), "=r"(m[1])
               : "r"(SharedAddress(row))
               : "memory");
}
__device__ inline uint32_t Transpose(uint32_t m) {
  uint32_t transposed;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(transposed) : "r"(m));
  return transposed;
}

// c += a · b, depth 16 and depth 8.
__device__ inline void MultiplyAdd(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ inline void MultiplyAdd8(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t b) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a0), "r"(a1), "r"(b));
}

// Two bf16, rounded to nearest even.
__device__ inline uint32_t Pack(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

// 2^x; 0 for −∞.
__device__ inline float Exp2(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}

inline constexpr float kLog2E = 1.44269504f;

// A head of this many bf16 in shared memory. Rows lie an odd number of 16 bytes apart: the 8 rows of a matrix are in
// different banks. Products over the head go in steps of 16, the last one of 72 in a step of 8: nothing is padded.
template <int kHeadDim>
struct HeadShape {
  static_assert(kHeadDim % 8 == 0);
  static constexpr int kChunks = kHeadDim / 8;  // of 16 bytes, and matrices beside each other
  static constexpr int kStride = kHeadDim + (kChunks % 2 == 0 ? 8 : 0);
  static constexpr int kSteps = kHeadDim / 16;
  static constexpr bool kHasHalfStep = kChunks % 2 != 0;
};

}  // namespace headroom::runtime::cuda
