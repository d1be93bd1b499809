#include "tests/emulation/cublas/lt_algorithms.h"

namespace emulation {
namespace {

// A long sum over few elements of D leaves most multiprocessors idle unless k is cut.
constexpr int64_t kLongSum = 256;
constexpr int kParts[] = {4, 2, 1};

}  // namespace

const Algorithm* Of(const cublasLtMatmulAlgo_t* algorithm) {
  static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t));
  const auto* record = reinterpret_cast<const Algorithm*>(algorithm);
  return record != nullptr && record->mark == Algorithm::kMark ? record : nullptr;
}

uint64_t ProblemOf(const Product& p) {
  uint64_t hash = 14695981039346656037ull;  // FNV-1a over the words
  const auto add = [&](uint64_t word) { hash = (hash ^ word) * 1099511628211ull; };
  for (const int64_t word :
       {p.m, p.n, p.k, int64_t{p.batches}, int64_t{p.transa}, int64_t{p.transb}, int64_t{p.compute}, int64_t{p.scale}})
    add(static_cast<uint64_t>(word));
  for (const Matrix* x : {&p.a, &p.b, &p.c, &p.d}) {
    add(x->type);
    add(static_cast<uint64_t>(x->ld));
    add(static_cast<uint64_t>(x->stride));
  }
  add((p.has_bias ? 1 : 0) | (p.relu ? 2 : 0) | (p.gelu ? 4 : 0));
  return hash;
}

std::vector<Algorithm> AlgorithmsFor(const Product& product, const Preference& preference) {
  std::vector<Algorithm> algorithms;
  for (const int parts : kParts) {
    if (parts > 1 && product.k < kLongSum) continue;
    const uint64_t workspace = parts == 1 ? 0 : PartialSumBytes(product, parts);
    if (workspace > preference.workspace_bytes_max) continue;
    algorithms.push_back({Algorithm::kMark, parts, parts, preference.a_alignment, preference.b_alignment,
                          preference.c_alignment, preference.d_alignment, workspace, ProblemOf(product)});
  }
  return algorithms;
}

}  // namespace emulation
