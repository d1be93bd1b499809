// Products through cuBLASLt. What is computed row-major, y [M,N] = x · Wᵀ, is the same bytes as column-major yᵀ = W ·
// xᵀ: m = N, n = M, the first operand W, transposed ([N,K]) or as it lies ([K,N]), the second xᵀ as it lies.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "common/dtype.h"
#include "common/status.h"

namespace headroom::runtime::cuda {

// Everything that decides which kernel of the library runs.
struct ProductShape {
  int64_t rows = 0;  // a bucket of runtime/row_bucket.h
  int64_t n = 0;
  int64_t k = 0;
  int64_t x_row_stride = 0;  // elements
  int64_t y_row_stride = 0;
  DType dtype = DType::kBF16;  // of x and W: bf16 or f32, without TF32; y is f32
  bool bias = false;
  bool accumulate = false;
  bool weight_is_kn = false;
  auto operator<=>(const ProductShape&) const = default;
};

struct ProductPointers {
  const void* x = nullptr;
  const void* weight = nullptr;
  const float* bias = nullptr;
  float* y = nullptr;
  void* workspace = nullptr;
};

// Thread-safe.
class Products {
 public:
  // Every product works in `workspace_bytes` at a multiple of kProductWorkspaceAlignment (card_sizes.h).
  static absl::StatusOr<std::unique_ptr<Products>> Create(int64_t workspace_bytes);
  ~Products();

  // Chooses the algorithm, which stays.
  absl::Status Prepare(const ProductShape& shape);
  // Chooses the algorithm first where that was not done. False, and nothing done, when the library has none for rows or
  // pointers at such places: it documents multiples of 16 bytes, and takes some of the others.
  absl::StatusOr<bool> Run(const ProductShape& shape, const ProductPointers& pointers, cudaStream_t stream);

 private:
  struct Plan;
  explicit Products(int64_t workspace_bytes);
  // With mutex_ held.
  absl::StatusOr<Plan*> Find(const ProductShape& shape);

  const int64_t workspace_bytes_;
  cublasLtHandle_t handle_ = nullptr;
  std::mutex mutex_;
  std::map<ProductShape, std::unique_ptr<Plan>> plans_;
};

}  // namespace headroom::runtime::cuda
