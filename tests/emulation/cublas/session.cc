#include "tests/emulation/cublas/session.h"

#include <cuda_runtime_api.h>

#include <cstdio>

#include "tests/emulation/cudart/stand_in.h"

namespace emulation {
namespace {

struct StatusText {
  cublasStatus_t status;
  const char *name, *text;
};
constexpr StatusText kStatuses[] = {
    {CUBLAS_STATUS_SUCCESS, "CUBLAS_STATUS_SUCCESS", "the operation completed"},
    {CUBLAS_STATUS_NOT_INITIALIZED, "CUBLAS_STATUS_NOT_INITIALIZED", "the library was not initialized"},
    {CUBLAS_STATUS_ALLOC_FAILED, "CUBLAS_STATUS_ALLOC_FAILED", "the resource allocation failed"},
    {CUBLAS_STATUS_INVALID_VALUE, "CUBLAS_STATUS_INVALID_VALUE", "an unsupported value or parameter was passed"},
    {CUBLAS_STATUS_ARCH_MISMATCH, "CUBLAS_STATUS_ARCH_MISMATCH", "the device lacks a feature"},
    {CUBLAS_STATUS_EXECUTION_FAILED, "CUBLAS_STATUS_EXECUTION_FAILED", "the product failed to execute"},
    {CUBLAS_STATUS_INTERNAL_ERROR, "CUBLAS_STATUS_INTERNAL_ERROR", "an internal operation failed"},
    {CUBLAS_STATUS_NOT_SUPPORTED, "CUBLAS_STATUS_NOT_SUPPORTED", "the functionality is not supported"},
};

const StatusText* Find(cublasStatus_t status) {
  for (const StatusText& entry : kStatuses) {
    if (entry.status == status) return &entry;
  }
  return nullptr;
}

}  // namespace

cublasStatus_t Session::Open(const char* call, uint64_t bytes, Session* session) {
  int major = 0, minor = 0;
  if (cudaFree(nullptr) != cudaSuccess || cudaGetDevice(&session->device_) != cudaSuccess ||
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, session->device_) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, session->device_) != cudaSuccess)
    return Refuse(call, {CUBLAS_STATUS_NOT_INITIALIZED, "the device cannot be used"});
  session->capability_ = 10 * major + minor;
  if (emulated_take(bytes) == 0)
    return Refuse(call, {CUBLAS_STATUS_ALLOC_FAILED, std::to_string(bytes) + " bytes for the handle are not free"});
  session->bytes_ = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

void Session::Close(uint64_t more) const {
  int current = 0;
  cudaGetDevice(&current);
  cudaSetDevice(device_);
  emulated_give_back(bytes_ + more);
  cudaSetDevice(current);
}

cublasStatus_t Session::CheckDevice(const char* call) const {
  int current = -1;
  cudaGetDevice(&current);
  if (current == device_) return CUBLAS_STATUS_SUCCESS;
  return Refuse(call, {CUBLAS_STATUS_INVALID_VALUE, "the handle belongs to device " + std::to_string(device_) +
                                                        ", current is " + std::to_string(current)});
}

namespace {
uint64_t KernelBytes() { return emulated_setting("EMULATED_CUBLAS_KERNEL", 1 << 20); }
}  // namespace

Verdict KernelMemory::Load(const Product& product) {
  const std::lock_guard lock(mutex_);
  const std::array<int, 5> kernel = {product.a.type, product.transa, product.transb, product.has_bias ? 1 : 0,
                                     product.parts};
  if (loaded_.contains(kernel)) return {};
  if (emulated_take(KernelBytes()) == 0) {
    return {CUBLAS_STATUS_ALLOC_FAILED, std::to_string(KernelBytes()) + " bytes for a kernel are not free"};
  }
  loaded_.insert(kernel);
  return {};
}

uint64_t KernelMemory::bytes() {
  const std::lock_guard lock(mutex_);
  return loaded_.size() * KernelBytes();
}

cublasStatus_t Refuse(const char* call, const Verdict& verdict) {
  if (verdict.status != CUBLAS_STATUS_SUCCESS)
    fprintf(stderr, "emulated cuBLAS: %s: %s (%s)\n", call, verdict.why.c_str(), NameOfStatus(verdict.status));
  return verdict.status;
}

const char* NameOfStatus(cublasStatus_t status) {
  return Find(status) == nullptr ? "CUBLAS_STATUS_UNKNOWN" : Find(status)->name;
}
const char* TextOfStatus(cublasStatus_t status) {
  return Find(status) == nullptr ? "unknown cuBLAS status" : Find(status)->text;
}

cublasStatus_t GetVersionPart(libraryPropertyType type, int* value) {
  if (value == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  switch (type) {
    case MAJOR_VERSION:
      *value = CUBLAS_VER_MAJOR;
      return CUBLAS_STATUS_SUCCESS;
    case MINOR_VERSION:
      *value = CUBLAS_VER_MINOR;
      return CUBLAS_STATUS_SUCCESS;
    case PATCH_LEVEL:
      *value = CUBLAS_VER_PATCH;
      return CUBLAS_STATUS_SUCCESS;
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

}  // namespace emulation
