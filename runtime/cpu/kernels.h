// The table of vector kernels, one per instruction set, filled by runtime/cpu/isa.
//
// The sources in isa/ are compiled once for each instruction set, and everything else for baseline x86-64. Those
// sources include only this header, isa/simd.h and C headers: an inline function of the C++ library compiled there with
// AVX-512 could be the copy that the linker keeps for the whole program. So this header, too, holds plain types only.
//
// All pointers may be unaligned. `n` counts elements. Arrays indexed [Element] come once per type of the element that
// the comment names.
#pragma once

#include <stdint.h>

namespace headroom::runtime::cpu {

enum Element : int { kElementF32 = 0, kElementBf16 = 1, kElements = 2 };

// Columns of a packed operand are rounded up to this many, whatever the vector length.
constexpr int64_t kColumnQuantum = 16;
constexpr int64_t kGemvRowsMax = 8;

struct Kernels {
  // [x][y]: y = x.
  void (*convert[kElements][kElements])(const void* x, void* y, int64_t n);
  // [x]: y += x.
  void (*add[kElements])(const void* x, float* y, int64_t n);
  // [x]: y += factor · x.
  void (*add_scaled[kElements])(const void* x, float factor, float* y, int64_t n);
  // [y].
  void (*gelu_tanh[kElements])(const float* x, void* y, int64_t n);
  void (*gelu_erf[kElements])(const float* x, void* y, int64_t n);
  void (*silu_mul[kElements])(const float* gate, const float* up, void* y, int64_t n);
  // [y]; bias may be null. x and y may be the same row, where nothing accumulates.
  void (*layer_norm[kElements])(const float* x, const float* gain, const float* bias, float eps, void* y, int64_t n);
  void (*rms_norm[kElements])(const float* x, const float* gain, float eps, bool accumulate, void* y, int64_t n);
  // (a, b) = (a·cos − b·sin, b·cos + a·sin).
  void (*rotate)(float* a, float* b, const float* cos, const float* sin, int64_t n);

  // [w and x]: y[r][j] (+)= x[r]·w[j] (+ bias[j]) for r < m ≤ kGemvRowsMax, j < n; rows of x, w, y are x_stride,
  // w_stride, y_stride elements apart. Reads each row of w once.
  void (*gemv[kElements])(const void* w, int64_t w_stride, int64_t n, int64_t k, const void* x, int64_t x_stride,
                          int64_t m, const float* bias, bool accumulate, float* y, int64_t y_stride);

  // c[m][n] (+)= a[m][k]·b[k][n] in f32; n a multiple of kColumnQuantum, rows a_stride, b_stride, c_stride floats
  // apart.
  void (*gemm_f32)(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_stride, const float* b, int64_t b_stride,
                   bool accumulate, float* c, int64_t c_stride);
  // The same on bf16 pairs, with the processor's own bf16 product; null where it has none. k counts pairs: a[m][2k] in
  // rows of a_stride pairs, b[k][n][2] in rows of b_stride pairs.
  void (*gemm_bf16)(int64_t m, int64_t n, int64_t k, const uint32_t* a, int64_t a_stride, const uint32_t* b,
                    int64_t b_stride, bool accumulate, float* c, int64_t c_stride);
  // dst[c][r] = src[r][c] on 32-bit words; rows and cols multiples of 8.
  void (*transpose)(const uint32_t* src, int64_t src_stride, int64_t rows, int64_t cols, uint32_t* dst,
                    int64_t dst_stride);
  // dst[2i] = a[i], dst[2i + 1] = b[i] on 16-bit words; n a multiple of 8.
  void (*interleave)(const uint16_t* a, const uint16_t* b, uint16_t* dst, int64_t n);

  // One row of the running softmax over the next `n` scores. With t = scale · scores and m the larger of *running_max
  // and all t: p = exp(t − m) for n entries and 0 for the rest up to n_padded (a multiple of kColumnQuantum),
  // *running_sum = *running_sum·c + Σp, *running_max = m, where c = exp(old maximum − m) is returned (0 for the first
  // call, with −inf). [p]: p may be the memory of scores when f32. n ≥ 1.
  float (*softmax_step[kElements])(float* scores, int64_t n, int64_t n_padded, float scale, float* running_max,
                                   float* running_sum, void* p);
  // y = x · factor. [y]: y may be x when f32.
  void (*scale[kElements])(const float* x, float factor, void* y, int64_t n);
};

// Only the table that the machine can run may be called.
const Kernels* Avx2Kernels();
const Kernels* Avx512Kernels();
const Kernels* Avx512Bf16Kernels();

}  // namespace headroom::runtime::cpu
