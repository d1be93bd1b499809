// What both libraries have in common: their share of the device, the device that a handle belongs to, and words for a
// refusal.
#pragma once

#include <cublas_api.h>

#include <cstdint>
#include <string>

#include "tests/emulation/cublas/rules.h"

namespace emulation {

// The device that was current when the handle was made, and the bytes that the library took there.
class Session {
 public:
  // Makes the context, as the real libraries do.
  static cublasStatus_t Open(const char* call, uint64_t bytes, Session* session);
  void Close() const;
  // A handle works on its own device only.
  cublasStatus_t CheckDevice(const char* call) const;
  int device() const { return device_; }
  int capability() const { return capability_; }

 private:
  int device_ = 0;
  int capability_ = 0;
  uint64_t bytes_ = 0;
};

// Says why on stderr and returns the status.
cublasStatus_t Refuse(const char* call, const Verdict& verdict);

const char* NameOfStatus(cublasStatus_t status);
const char* TextOfStatus(cublasStatus_t status);
// Major, minor and patch of CUBLAS_VERSION.
cublasStatus_t GetVersionPart(libraryPropertyType type, int* value);

}  // namespace emulation
