// Matrices on the device with their values in double, and the product that they should give.
#pragma once

#include <cublas_api.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

#include "tests/emulation/programs/case.h"

// Ends the process when a call does not answer `wanted`.
#define ANSWERS(wanted, call)                                                                   \
  do {                                                                                          \
    const cublasStatus_t status_of_call = (call);                                               \
    if (status_of_call != (wanted)) {                                                           \
      printf("line %d: status %d, %d is wanted\n", __LINE__, int(status_of_call), int(wanted)); \
      exit(1);                                                                                  \
    }                                                                                           \
  } while (0)
#define BLAS(call) ANSWERS(CUBLAS_STATUS_SUCCESS, call)

inline size_t ElementBytes(cudaDataType type) {
  return type == CUDA_R_32F || type == CUDA_R_32I ? 4 : type == CUDA_R_16BF || type == CUDA_R_16F ? 2 : 1;
}

// `x` as the type holds it.
inline double Rounded(cudaDataType type, double x) {
  const auto f = static_cast<float>(x);
  switch (type) {
    case CUDA_R_16BF:
      return __bfloat162float(__float2bfloat16(f));
    case CUDA_R_16F:
      return __half2float(__float2half(f));
    case CUDA_R_8F_E4M3:
      return float(__nv_fp8_e4m3(f));
    case CUDA_R_8I:
    case CUDA_R_32I:
      return std::round(x);
    default:
      return f;
  }
}

inline void Store(cudaDataType type, double x, void* to) {
  const auto f = static_cast<float>(x);
  switch (type) {
    case CUDA_R_16BF:
      *static_cast<__nv_bfloat16*>(to) = __float2bfloat16(f);
      return;
    case CUDA_R_16F:
      *static_cast<__half*>(to) = __float2half(f);
      return;
    case CUDA_R_8F_E4M3:
      *static_cast<__nv_fp8_e4m3*>(to) = __nv_fp8_e4m3(f);
      return;
    case CUDA_R_8I:
      *static_cast<int8_t*>(to) = static_cast<int8_t>(x);
      return;
    case CUDA_R_32I:
      *static_cast<int32_t*>(to) = static_cast<int32_t>(x);
      return;
    default:
      *static_cast<float*>(to) = f;
  }
}

inline double Load(cudaDataType type, const void* from) {
  switch (type) {
    case CUDA_R_16BF:
      return __bfloat162float(*static_cast<const __nv_bfloat16*>(from));
    case CUDA_R_16F:
      return __half2float(*static_cast<const __half*>(from));
    case CUDA_R_8F_E4M3:
      return float(*static_cast<const __nv_fp8_e4m3*>(from));
    case CUDA_R_8I:
      return *static_cast<const int8_t*>(from);
    case CUDA_R_32I:
      return *static_cast<const int32_t*>(from);
    default:
      return *static_cast<const float*>(from);
  }
}

inline std::mt19937_64& Random() {
  static std::mt19937_64 random(20261130);
  return random;
}

// Column-major with `ld` of the caller's choice; what lies between the columns is never written.
struct OnDevice {
  cudaDataType type;
  int rows, cols, ld;
  std::vector<double> values;  // [col][row]
  void* data = nullptr;

  OnDevice(cudaDataType type_, int rows_, int cols_, int ld_)
      : type(type_), rows(rows_), cols(cols_), ld(ld_), values(rows_ * cols_) {
    OK(cudaMalloc(&data, size_t(ld) * cols * ElementBytes(type)));
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  ~OnDevice() { cudaFree(data); }

  double& at(int row, int col) { return values[row + size_t(col) * rows]; }

  // Values within ±1, or ±127 for integers.
  OnDevice& Fill() {
    std::uniform_real_distribution<double> uniform(-1, 1);
    const bool integer = type == CUDA_R_8I || type == CUDA_R_32I;
    for (double& x : values) x = Rounded(type, uniform(Random()) * (integer ? 127 : 1));
    Upload();
    return *this;
  }
  void Upload() {
    std::vector<char> column(rows * ElementBytes(type));
    for (int c = 0; c < cols; c++) {
      for (int r = 0; r < rows; r++) Store(type, at(r, c), &column[r * ElementBytes(type)]);
      OK(cudaMemcpy(static_cast<char*>(data) + size_t(c) * ld * ElementBytes(type), column.data(), column.size(),
                    cudaMemcpyHostToDevice));
    }
  }
  std::vector<double> Download() const {
    std::vector<double> got(values.size());
    std::vector<char> column(rows * ElementBytes(type));
    for (int c = 0; c < cols; c++) {
      OK(cudaMemcpy(column.data(), static_cast<char*>(data) + size_t(c) * ld * ElementBytes(type), column.size(),
                    cudaMemcpyDeviceToHost));
      for (int r = 0; r < rows; r++) got[r + size_t(c) * rows] = Load(type, &column[r * ElementBytes(type)]);
    }
    return got;
  }
};

// Σ a·b and Σ |a·b| of one element of op(A)·op(B).
struct Sum {
  double value, magnitude;
};
inline Sum SumOf(OnDevice& a, bool a_transposed, OnDevice& b, bool b_transposed, int row, int col, int k) {
  Sum sum{0, 0};
  for (int p = 0; p < k; p++) {
    const double product = (a_transposed ? a.at(p, row) : a.at(row, p)) * (b_transposed ? b.at(col, p) : b.at(p, col));
    sum.value += product;
    sum.magnitude += std::abs(product);
  }
  return sum;
}

// What a result of `type` may differ from `wanted` by: half a unit of its last digit, and what k additions in f32 lose
// of the terms' magnitude.
inline double Tolerance(cudaDataType type, double wanted, double magnitude, int k) {
  if (type == CUDA_R_32I) return 0;
  const double digit = type == CUDA_R_32F ? 6e-8 : type == CUDA_R_16F ? 4.9e-4 : type == CUDA_R_16BF ? 3.95e-3 : 0.0626;
  const double smallest = type == CUDA_R_8F_E4M3 ? 1.0 / 1024 : type == CUDA_R_16F ? 3e-8 : 0;
  return digit * std::abs(wanted) + smallest + 6e-8 * (k + 8) * magnitude + 1e-6 * std::abs(wanted);
}

// Ends the process where a result is not what it should be.
inline void ExpectNear(const char* what, double got, double wanted, double tolerance, int row, int col) {
  if (std::abs(got - wanted) <= tolerance) return;
  printf("%s: element %d, %d is %g, %g +- %g is wanted\n", what, row, col, got, wanted, tolerance);
  exit(1);
}
