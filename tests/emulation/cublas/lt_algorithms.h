// Algorithms of cuBLASLt as the emulation knows them: in how many parts k is summed, and the workspace that this takes.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <vector>

#include "tests/emulation/cublas/lt_descriptors.h"
#include "tests/emulation/cublas/rules.h"

namespace emulation {

// In the opaque words of cublasLtMatmulAlgo_t.
struct Algorithm {
  static constexpr uint32_t kMark = 0x416c676f;
  uint32_t mark;
  int32_t id, parts;
  uint32_t a_alignment, b_alignment, c_alignment, d_alignment;  // bytes that pointers were promised to be multiples of
  uint64_t workspace_bytes;
  uint64_t problem;  // ProblemOf()
};

const Algorithm* Of(const cublasLtMatmulAlgo_t* algorithm);

// Of everything that decides which kernel runs: types, sizes, leading dimensions, operations, epilogue. An algorithm is
// for one problem.
uint64_t ProblemOf(const Product& product);

// The fastest first, as its estimate would have it; the last one needs no workspace.
std::vector<Algorithm> AlgorithmsFor(const Product& product, const Preference& preference);

}  // namespace emulation
