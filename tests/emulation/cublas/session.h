// What both libraries have in common: their share of the device, the device that a handle belongs to, and words for a
// refusal.
#pragma once

#include <cublas_api.h>

#include <array>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>

#include "tests/emulation/cublas/rules.h"

namespace emulation {

// The device that was current when the handle was made, and the bytes that the library took there.
class Session {
 public:
  // Makes the context, as the real libraries do.
  static cublasStatus_t Open(const char* call, uint64_t bytes, Session* session);
  // `more`: bytes that were taken since for what it ran.
  void Close(uint64_t more = 0) const;
  // A handle works on its own device only.
  cublasStatus_t CheckDevice(const char* call) const;
  int device() const { return device_; }
  int capability() const { return capability_; }

 private:
  int device_ = 0;
  int capability_ = 0;
  uint64_t bytes_ = 0;
};

// The kernels of the library that a handle has run: one is loaded, and takes memory of the device, when it is first
// needed. Which products share one is the library's secret; here it is type, transpositions, bias and parts.
class KernelMemory {
 public:
  // CUBLAS_STATUS_ALLOC_FAILED when there is no room for one more.
  Verdict Load(const Product& product);
  uint64_t bytes();

 private:
  std::mutex mutex_;
  std::set<std::array<int, 5>> loaded_;
};

// Says why on stderr and returns the status.
cublasStatus_t Refuse(const char* call, const Verdict& verdict);

const char* NameOfStatus(cublasStatus_t status);
const char* TextOfStatus(cublasStatus_t status);
// Major, minor and patch of CUBLAS_VERSION.
cublasStatus_t GetVersionPart(libraryPropertyType type, int* value);

}  // namespace emulation
