// What the stand-ins accept: combinations that NVIDIA's documentation of cuBLAS 13 lists, and of these the ones that a
// card runs on its tensor cores.
#pragma once

#include <cublas_api.h>

#include <string>

#include "tests/emulation/cublas/product.h"

namespace emulation {

constexpr uint64_t kAlignment = 16;  // of matrices, leading dimensions and biases: what tensor cores load at once
constexpr uint64_t kWorkspaceAlignment = 256;  // documented for cublasSetWorkspace and cublasLtMatmul

enum class Entry { kGemmEx, kGrouped, kMatmul };

struct Verdict {
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  std::string why;
};

// Types, compute type, operations, sizes, leading dimensions and epilogue of a product on a device of `capability` (80
// for 8.0). Pointers apart.
Verdict CheckShape(const Product& product, Entry entry, int capability);
// Pointers: there, aligned, and D apart from what is read. Matrices whose addresses lie in device memory (grouped) are
// checked when they are known.
Verdict CheckPointers(const Product& product);

// Bytes of f32 that the sums of `parts` parts of k take.
uint64_t PartialSumBytes(const Product& product, int parts);

}  // namespace emulation
