// One call's work: D = epilogue(alpha · op(A) · op(B) + beta · C), as a stream will do it.
#pragma once

#include <cublas_api.h>
#include <library_types.h>

#include <cstdint>

namespace emulation {

// Column-major in device memory.
struct Matrix {
  const void* data = nullptr;
  cudaDataType type = CUDA_R_32F;
  int64_t rows = 0, cols = 0;  // as stored
  int64_t ld = 0;
  int64_t stride = 0;  // elements to the next one of the batch
};

// alpha or beta: a value, or where it lies on the device.
struct Factor {
  bool on_device = false;
  const void* device = nullptr;
  float f32 = 0;
  int32_t i32 = 0;
};

// What fp8 operands are multiplied by: 1, one f32, or an f32 for each row of op(A) or column of op(B).
struct Scale {
  const void* data = nullptr;
  bool vector = false;
};

struct Product {
  const char* call = "";  // the function of the library, for messages
  int64_t m = 0, n = 0, k = 0;
  int batches = 1;
  cublasOperation_t transa = CUBLAS_OP_N, transb = CUBLAS_OP_N;
  Matrix a, b, c, d;
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType scale = CUDA_R_32F;  // of alpha and beta
  Factor alpha, beta;

  bool has_bias = false, relu = false, gelu = false;
  const void* bias = nullptr;  // one for each row of D
  cudaDataType bias_type = CUDA_R_32F;
  int64_t bias_stride = 0;
  Scale a_scale, b_scale, c_scale, d_scale;

  // k is cut into as many parts whose sums are added at last; their f32 lie in the workspace on a card.
  int parts = 1;
  void* workspace = nullptr;
  uint64_t workspace_bytes = 0;  // that are really used
};

// Reads and writes device memory through the stand-in of libcudart; a fault leaves a sticky error there.
void Compute(const Product& product);

// Puts Compute() into the stream.
cublasStatus_t Enqueue(const Product& product, cudaStream_t stream);

}  // namespace emulation
