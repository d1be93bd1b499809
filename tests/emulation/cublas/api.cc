// libcublas: handles, and the products that Headroom has a use for.
#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "tests/emulation/cublas/elements.h"
#include "tests/emulation/cublas/grouped.h"
#include "tests/emulation/cublas/session.h"

// The header leaves it open.
struct cublasContext {
  emulation::Session session;
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
  cublasPointerMode_t pointer_mode = CUBLAS_POINTER_MODE_HOST;
  cublasMath_t math_mode = CUBLAS_DEFAULT_MATH;
};

namespace emulation {
namespace {

// What a handle takes of the device; a card's figure depends on driver and library and is measured there.
constexpr uint64_t kHandleBytes = 8 << 20;
// What NVIDIA advises for the workspace: 32 MiB from capability 9.0 on, 4 MiB below. More is never used here.
constexpr uint64_t kWorkspaceAdvised = 4 << 20, kWorkspaceAdvised90 = 32 << 20;
constexpr int kParts = 2;

Verdict Invalid(std::string why) { return {CUBLAS_STATUS_INVALID_VALUE, std::move(why)}; }

Factor FactorOf(const cublasContext& handle, const void* from, size_t index = 0) {
  Factor factor;
  factor.on_device = handle.pointer_mode == CUBLAS_POINTER_MODE_DEVICE;
  factor.device = static_cast<const char*>(from) + 4 * index;
  if (factor.on_device) return factor;
  memcpy(&factor.f32, factor.device, 4);
  memcpy(&factor.i32, factor.device, 4);
  return factor;
}

struct Sizes {
  cublasOperation_t transa, transb;
  int m, n, k, lda, ldb, ldc;
};

Product ProductOf(const char* call, const cublasContext& handle, const Sizes& s, cudaDataType a_type,
                  cudaDataType b_type, cudaDataType c_type, cublasComputeType_t compute) {
  Product p;
  p.call = call;
  p.m = s.m;
  p.n = s.n;
  p.k = s.k;
  p.transa = s.transa;
  p.transb = s.transb;
  const bool a_plain = s.transa == CUBLAS_OP_N, b_plain = s.transb == CUBLAS_OP_N;
  p.a = {nullptr, a_type, a_plain ? s.m : s.k, a_plain ? s.k : s.m, s.lda, 0};
  p.b = {nullptr, b_type, b_plain ? s.k : s.n, b_plain ? s.n : s.k, s.ldb, 0};
  p.c = p.d = {nullptr, c_type, s.m, s.n, s.ldc, 0};
  p.compute = compute;
  if (compute == CUBLAS_COMPUTE_32F && a_type == CUDA_R_32F && handle.math_mode == CUBLAS_TF32_TENSOR_OP_MATH)
    p.compute = CUBLAS_COMPUTE_32F_FAST_TF32;
  p.scale = compute == CUBLAS_COMPUTE_32I || compute == CUBLAS_COMPUTE_32I_PEDANTIC ? CUDA_R_32I : CUDA_R_32F;
  return p;
}

// The real library takes memory of its own where none was set. Here that is a failure: the plan knows of no such bytes.
Verdict SetWorkspace(const cublasContext& handle, Product* p) {
  if (handle.workspace == nullptr)
    return {
        CUBLAS_STATUS_ALLOC_FAILED,
        "no workspace was set since the handle was made or its stream was set: the real library would allocate one"};
  const uint64_t advised = handle.session.capability() >= 90 ? kWorkspaceAdvised90 : kWorkspaceAdvised;
  const uint64_t needed = p->k == 0 ? 0 : std::min(PartialSumBytes(*p, kParts), advised);
  if (handle.workspace_bytes < needed)
    return {CUBLAS_STATUS_ALLOC_FAILED, "a workspace of " + std::to_string(handle.workspace_bytes) +
                                            " bytes, this product uses " + std::to_string(needed)};
  p->workspace = handle.workspace;
  p->workspace_bytes = needed;
  return {};
}

cublasStatus_t CheckHandle(const char* call, cublasHandle_t handle) {
  if (handle == nullptr) return Refuse(call, {CUBLAS_STATUS_NOT_INITIALIZED, "no handle"});
  return handle->session.CheckDevice(call);
}

// One product, or a batch of one shape.
cublasStatus_t Multiply(cublasHandle_t handle, Product p, const void* alpha, const void* beta) {
  if (const cublasStatus_t status = CheckHandle(p.call, handle); status != CUBLAS_STATUS_SUCCESS) return status;
  if (p.m < 0 || p.n < 0 || p.k < 0) return Refuse(p.call, Invalid("a negative size"));
  if (p.m == 0 || p.n == 0 || p.batches == 0) return CUBLAS_STATUS_SUCCESS;
  if (alpha == nullptr || beta == nullptr) return Refuse(p.call, Invalid("alpha or beta is a null pointer"));
  p.alpha = FactorOf(*handle, alpha);
  p.beta = FactorOf(*handle, beta);
  Verdict verdict = CheckShape(p, Entry::kGemmEx, handle->session.capability());
  if (verdict.status == CUBLAS_STATUS_SUCCESS) verdict = SetWorkspace(*handle, &p);
  if (verdict.status == CUBLAS_STATUS_SUCCESS) verdict = CheckPointers(p);
  if (verdict.status != CUBLAS_STATUS_SUCCESS) return Refuse(p.call, verdict);
  return Enqueue(p, handle->stream);
}

}  // namespace
}  // namespace emulation

using namespace emulation;  // NOLINT(google-build-using-namespace): the functions below are in no namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  auto* context = new cublasContext;
  const cublasStatus_t status = Session::Open("cublasCreate", kHandleBytes, &context->session);
  if (status == CUBLAS_STATUS_SUCCESS) {
    *handle = context;
  } else {
    delete context;
  }
  return status;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->session.Close();
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasGetStatusName(cublasStatus_t status) { return NameOfStatus(status); }
const char* cublasGetStatusString(cublasStatus_t status) { return TextOfStatus(status); }
cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) {
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetProperty(libraryPropertyType type, int* value) { return GetVersionPart(type, value); }

// As documented, it also takes back the workspace that was set.
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  if (const cublasStatus_t status = CheckHandle("cublasSetStream", handle); status != CUBLAS_STATUS_SUCCESS)
    return status;
  handle->stream = stream;
  handle->workspace = nullptr;
  handle->workspace_bytes = 0;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, cudaStream_t* stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  *stream = handle->stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t bytes) {
  if (const cublasStatus_t status = CheckHandle("cublasSetWorkspace", handle); status != CUBLAS_STATUS_SUCCESS)
    return status;
  if (reinterpret_cast<uint64_t>(workspace) % kWorkspaceAlignment != 0)
    return Refuse("cublasSetWorkspace", Invalid("the workspace is not aligned to 256 bytes"));
  handle->workspace = bytes == 0 ? nullptr : workspace;
  handle->workspace_bytes = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->pointer_mode = mode;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t* mode) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  *mode = handle->pointer_mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (mode != CUBLAS_DEFAULT_MATH && mode != CUBLAS_PEDANTIC_MATH && mode != CUBLAS_TF32_TENSOR_OP_MATH)
    return Refuse("cublasSetMathMode",
                  {CUBLAS_STATUS_NOT_SUPPORTED, "math mode " + std::to_string(mode) + " is not emulated"});
  handle->math_mode = mode;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  *mode = handle->math_mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb,
                                          int m, int n, int k, const void* alpha, const void* a, cudaDataType a_type,
                                          int lda, long long a_stride, const void* b, cudaDataType b_type, int ldb,
                                          long long b_stride, const void* beta, void* c, cudaDataType c_type, int ldc,
                                          long long c_stride, int batches, cublasComputeType_t compute,
                                          cublasGemmAlgo_t) {
  const char* const call = "cublasGemmStridedBatchedEx";
  if (handle == nullptr) return CheckHandle(call, handle);
  if (batches < 0) return Refuse(call, Invalid("batch count " + std::to_string(batches)));
  Product p = ProductOf(call, *handle, {transa, transb, m, n, k, lda, ldb, ldc}, a_type, b_type, c_type, compute);
  p.batches = batches;
  p.a.data = a;
  p.b.data = b;
  p.c.data = p.d.data = c;
  p.a.stride = a_stride;
  p.b.stride = b_stride;
  p.c.stride = p.d.stride = c_stride;
  return Multiply(handle, p, alpha, beta);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n,
                            int k, const void* alpha, const void* a, cudaDataType a_type, int lda, const void* b,
                            cudaDataType b_type, int ldb, const void* beta, void* c, cudaDataType c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t) {
  const char* const call = "cublasGemmEx";
  if (handle == nullptr) return CheckHandle(call, handle);
  Product p = ProductOf(call, *handle, {transa, transb, m, n, k, lda, ldb, ldc}, a_type, b_type, c_type, compute);
  p.a.data = a;
  p.b.data = b;
  p.c.data = p.d.data = c;
  return Multiply(handle, p, alpha, beta);
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n,
                              int k, const float* alpha, const float* a, int lda, const float* b, int ldb,
                              const float* beta, float* c, int ldc) {
  return cublasGemmEx(handle, transa, transb, m, n, k, alpha, a, CUDA_R_32F, lda, b, CUDA_R_32F, ldb, beta, c,
                      CUDA_R_32F, ldc, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}

// The arrays of sizes and factors lie on the host, those of matrices on the device.
cublasStatus_t cublasGemmGroupedBatchedEx(cublasHandle_t handle, const cublasOperation_t transa[],
                                          const cublasOperation_t transb[], const int m[], const int n[], const int k[],
                                          const void* alpha, const void* const a[], cudaDataType_t a_type,
                                          const int lda[], const void* const b[], cudaDataType_t b_type,
                                          const int ldb[], const void* beta, void* const c[], cudaDataType_t c_type,
                                          const int ldc[], int group_count, const int group_size[],
                                          cublasComputeType_t compute) {
  const char* const call = "cublasGemmGroupedBatchedEx";
  if (const cublasStatus_t status = CheckHandle(call, handle); status != CUBLAS_STATUS_SUCCESS) return status;
  if (group_count < 0) return Refuse(call, Invalid("group count " + std::to_string(group_count)));
  if (alpha == nullptr || beta == nullptr || a == nullptr || b == nullptr || c == nullptr)
    return Refuse(call, Invalid("a null pointer"));
  Grouped grouped;
  grouped.device = handle->session.device();
  grouped.a = a;
  grouped.b = b;
  grouped.c = c;
  for (int g = 0; g < group_count; g++) {
    if (group_size[g] < 0 || m[g] < 0 || n[g] < 0 || k[g] < 0)
      return Refuse(call, Invalid("a negative size in group " + std::to_string(g)));
    Product p = ProductOf(call, *handle, {transa[g], transb[g], m[g], n[g], k[g], lda[g], ldb[g], ldc[g]}, a_type,
                          b_type, c_type, compute);
    p.alpha = FactorOf(*handle, alpha, g);
    p.beta = FactorOf(*handle, beta, g);
    Verdict verdict = CheckShape(p, Entry::kGrouped, handle->session.capability());
    if (verdict.status == CUBLAS_STATUS_SUCCESS) verdict = SetWorkspace(*handle, &p);
    if (verdict.status != CUBLAS_STATUS_SUCCESS) {
      verdict.why = "group " + std::to_string(g) + ": " + verdict.why;
      return Refuse(call, verdict);
    }
    grouped.groups.push_back({p, group_size[g]});
  }
  return Enqueue(grouped, handle->stream);
}

}  // extern "C"
