#include "tests/emulation/cublas/grouped.h"

#include <cstdio>
#include <cstring>
#include <string>

#include "tests/emulation/cublas/rules.h"
#include "tests/emulation/cudart/stand_in.h"

namespace emulation {
namespace {

// The addresses as the device has them when the operation's turn comes.
bool FetchAddresses(const void* from, size_t count, const char* what, std::vector<void*>* addresses) {
  const void* host = emulated_host(from, count * sizeof(void*), 1, what);
  if (host == nullptr) return false;
  addresses->resize(count);
  memcpy(addresses->data(), host, count * sizeof(void*));
  return true;
}

void Compute(const Grouped& grouped) {
  size_t problems = 0;
  for (const Grouped::Group& group : grouped.groups) problems += group.problems;
  std::vector<void*> a, b, c;
  if (!FetchAddresses(grouped.a, problems, "cublasGemmGroupedBatchedEx: array of A", &a) ||
      !FetchAddresses(grouped.b, problems, "cublasGemmGroupedBatchedEx: array of B", &b) ||
      !FetchAddresses(grouped.c, problems, "cublasGemmGroupedBatchedEx: array of C", &c))
    return;
  size_t number = 0;
  for (const Grouped::Group& group : grouped.groups) {
    for (int problem = 0; problem < group.problems; problem++, number++) {
      Product product = group.product;
      if (product.m == 0 || product.n == 0) continue;  // an expert without tokens
      product.a.data = a[number];
      product.b.data = b[number];
      product.c.data = product.d.data = c[number];
      if (const Verdict verdict = CheckPointers(product); verdict.status != CUBLAS_STATUS_SUCCESS) {
        // On a card a kernel would touch what it must not: the device is left with an error that stays.
        const std::string what = "cublasGemmGroupedBatchedEx, problem " + std::to_string(number) + ": " + verdict.why;
        emulated_fail(grouped.device, cudaErrorIllegalAddress, what.c_str());
        return;
      }
      Compute(product);
    }
  }
}

}  // namespace

cublasStatus_t Enqueue(const Grouped& grouped, cudaStream_t stream) {
  const auto run = [](void* context) {
    Compute(*static_cast<const Grouped*>(context));
    return 1;
  };
  const auto release = [](void* context) { delete static_cast<Grouped*>(context); };
  return emulated_push(stream, run, release, new Grouped(grouped)) == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                                                                  : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // namespace emulation
