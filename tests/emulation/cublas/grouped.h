// cublasGemmGroupedBatchedEx: groups of products of one shape each, whose matrices are found through arrays of pointers
// in device memory.
#pragma once

#include <cublas_api.h>

#include <vector>

#include "tests/emulation/cublas/product.h"

namespace emulation {

struct Grouped {
  struct Group {
    Product product;  // its matrices without addresses
    int problems;
  };
  int device = 0;
  std::vector<Group> groups;
  // Device memory: an address for each problem of each group.
  const void* const* a = nullptr;
  const void* const* b = nullptr;
  void* const* c = nullptr;
};

cublasStatus_t Enqueue(const Grouped& grouped, cudaStream_t stream);

}  // namespace emulation
