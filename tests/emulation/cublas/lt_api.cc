// libcublasLt: handles, heuristics, products.
#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "tests/emulation/cublas/lt_algorithms.h"
#include "tests/emulation/cublas/lt_descriptors.h"
#include "tests/emulation/cublas/session.h"
#include "tests/emulation/cudart/stand_in.h"

// The header leaves it open.
struct cublasLtContext {
  emulation::Session session;
  emulation::KernelMemory kernels;
};

namespace emulation {
namespace {

// What a handle takes of the device; a card's figure depends on driver and library and is measured there.
uint64_t HandleBytes() { return emulated_setting("EMULATED_CUBLAS_HANDLE", 4 << 20); }

Verdict Invalid(std::string why) { return {CUBLAS_STATUS_INVALID_VALUE, std::move(why)}; }
Verdict NotSupported(std::string why) { return {CUBLAS_STATUS_NOT_SUPPORTED, std::move(why)}; }

Matrix MatrixOf(const Layout& layout, const void* data) {
  return {data,
          static_cast<cudaDataType>(layout.type),
          static_cast<int64_t>(layout.rows),
          static_cast<int64_t>(layout.cols),
          layout.ld,
          layout.stride};
}

bool SetEpilogue(uint32_t epilogue, Product* p) {
  p->has_bias = (epilogue & CUBLASLT_EPILOGUE_BIAS) != 0;
  p->relu = (epilogue & CUBLASLT_EPILOGUE_RELU) != 0;
  p->gelu = (epilogue & CUBLASLT_EPILOGUE_GELU) != 0;
  switch (epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_RELU:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
    case CUBLASLT_EPILOGUE_GELU:
    case CUBLASLT_EPILOGUE_GELU_BIAS:
      return true;
    default:
      return false;
  }
}

// fp8 with an output of 8 or 32 bits has a bias of 16BF unless told otherwise (or of the type of C); everything else
// that of D.
cudaDataType BiasTypeOf(const MatmulDesc& description, const Product& p) {
  if (description.bias_type >= 0) return static_cast<cudaDataType>(description.bias_type);
  if (p.a.type == CUDA_R_8F_E4M3 && p.d.type == CUDA_R_32F) return CUDA_R_16BF;
  return p.d.type == CUDA_R_8F_E4M3 ? p.c.type : p.d.type;
}

// The product that the descriptors describe; `data` of A, B, C and D.
Verdict Describe(const char* call, const MatmulDesc* description, const Layout* const (&layouts)[4],
                 const void* const (&data)[4], Product* p) {
  if (description == nullptr) return Invalid("the operation is no descriptor, or a destroyed one");
  for (const Layout* layout : layouts) {
    if (layout == nullptr) return Invalid("a layout is no descriptor, or a destroyed one");
    if (layout->order != CUBLASLT_ORDER_COL) return NotSupported("an order other than CUBLASLT_ORDER_COL");
    if (layout->batches != layouts[0]->batches) return Invalid("batch counts that differ");
    if (layout->rows == 0 || layout->cols == 0) return Invalid("a matrix without elements");
  }
  if (description->transc != CUBLAS_OP_N) return NotSupported("C transposed");
  p->call = call;
  p->transa = static_cast<cublasOperation_t>(description->transa);
  p->transb = static_cast<cublasOperation_t>(description->transb);
  p->a = MatrixOf(*layouts[0], data[0]);
  p->b = MatrixOf(*layouts[1], data[1]);
  p->c = MatrixOf(*layouts[2], data[2]);
  p->d = MatrixOf(*layouts[3], data[3]);
  p->m = p->d.rows;
  p->n = p->d.cols;
  p->k = p->transa == CUBLAS_OP_N ? p->a.cols : p->a.rows;
  p->batches = layouts[0]->batches;
  p->compute = static_cast<cublasComputeType_t>(description->compute);
  p->scale = static_cast<cudaDataType>(description->scale);
  if (!SetEpilogue(description->epilogue, p)) return NotSupported("epilogue " + std::to_string(description->epilogue));
  p->bias = description->bias;
  p->bias_stride = description->bias_stride;
  p->bias_type = BiasTypeOf(*description, *p);
  p->a_scale = {description->a_scale, description->a_scale_mode == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F};
  p->b_scale = {description->b_scale, description->b_scale_mode == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F};
  p->c_scale = {description->c_scale, false};
  p->d_scale = {description->d_scale, false};
  for (const int32_t mode : {description->a_scale_mode, description->b_scale_mode}) {
    if (mode != CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F && mode != CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F)
      return NotSupported("scale mode " + std::to_string(mode));
  }
  return {};
}

Verdict SetFactors(const MatmulDesc& description, const void* alpha, const void* beta, Product* p) {
  if (alpha == nullptr || beta == nullptr) return Invalid("alpha or beta is a null pointer");
  const auto set = [&](const void* from, Factor* factor) {
    factor->on_device = description.pointer_mode == CUBLASLT_POINTER_MODE_DEVICE;
    factor->device = from;
    if (factor->on_device) return;
    memcpy(&factor->f32, from, 4);
    memcpy(&factor->i32, from, 4);
  };
  if (description.pointer_mode != CUBLASLT_POINTER_MODE_HOST &&
      description.pointer_mode != CUBLASLT_POINTER_MODE_DEVICE)
    return NotSupported("pointer mode " + std::to_string(description.pointer_mode));
  set(alpha, &p->alpha);
  set(beta, &p->beta);
  return {};
}

Verdict CheckAlgorithm(const Algorithm& algorithm, const Product& p) {
  if (algorithm.problem != ProblemOf(p))
    return Invalid("the algorithm was found for another problem (sizes, types, layouts or epilogue)");
  const struct {
    const char* name;
    const void* data;
    uint32_t alignment;
  } promised[] = {{"A", p.a.data, algorithm.a_alignment},
                  {"B", p.b.data, algorithm.b_alignment},
                  {"C", p.c.data, algorithm.c_alignment},
                  {"D", p.d.data, algorithm.d_alignment}};
  for (const auto& matrix : promised) {
    if (reinterpret_cast<uint64_t>(matrix.data) % matrix.alignment != 0)
      return NotSupported(std::string("the algorithm was found for a matrix ") + matrix.name + " aligned to " +
                          std::to_string(matrix.alignment) + " bytes (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_" +
                          matrix.name + "_BYTES)");
  }
  return {};
}

Verdict SetWorkspace(const Algorithm& algorithm, void* workspace, uint64_t bytes, Product* p) {
  if (algorithm.workspace_bytes > bytes)
    return Invalid("the algorithm needs a workspace of " + std::to_string(algorithm.workspace_bytes) +
                   " bytes, given are " + std::to_string(bytes));
  if (bytes > 0 && workspace == nullptr)
    return Invalid("a workspace of " + std::to_string(bytes) + " bytes at a null pointer");
  if (reinterpret_cast<uint64_t>(workspace) % kWorkspaceAlignment != 0)
    return Invalid("the workspace is not aligned to 256 bytes");
  p->parts = algorithm.parts;
  p->workspace = workspace;
  p->workspace_bytes = algorithm.workspace_bytes;
  return {};
}

void Fill(const Algorithm& algorithm, cublasLtMatmulHeuristicResult_t* result) {
  *result = {};
  memcpy(&result->algo, &algorithm, sizeof algorithm);
  result->workspaceSize = algorithm.workspace_bytes;
  result->state = CUBLAS_STATUS_SUCCESS;
  result->wavesCount = 1;
}

#define REFUSE_UNLESS_OK(call, verdict)                                                           \
  if (const Verdict verdict_of_call = (verdict); verdict_of_call.status != CUBLAS_STATUS_SUCCESS) \
  return Refuse(call, verdict_of_call)

cublasStatus_t FindAlgorithms(cublasLtHandle_t handle, const MatmulDesc* description, const Layout* const (&layouts)[4],
                              const Preference* preference, int wanted, cublasLtMatmulHeuristicResult_t* results,
                              int* found) {
  const char* const call = "cublasLtMatmulAlgoGetHeuristic";
  if (handle == nullptr || preference == nullptr || results == nullptr || found == nullptr || wanted < 1)
    return Refuse(call, Invalid("a null pointer, or no algorithm requested"));
  *found = 0;
  if (preference->search_mode != CUBLASLT_SEARCH_BEST_FIT)
    return Refuse(call, NotSupported("a search mode other than best fit"));
  Product product;
  REFUSE_UNLESS_OK(call, Describe(call, description, layouts, {nullptr, nullptr, nullptr, nullptr}, &product));
  REFUSE_UNLESS_OK(call, CheckShape(product, Entry::kMatmul, handle->session.capability()));
  for (const uint32_t alignment :
       {preference->a_alignment, preference->b_alignment, preference->c_alignment, preference->d_alignment}) {
    if (alignment == 0 || alignment % kAlignment != 0)
      return Refuse(call, NotSupported("no algorithm for matrices aligned to " + std::to_string(alignment) + " bytes"));
  }
  for (const Algorithm& algorithm : AlgorithmsFor(product, *preference)) {
    if (*found < wanted) Fill(algorithm, &results[(*found)++]);
  }
  return CUBLAS_STATUS_SUCCESS;
}

// Without an algorithm the library chooses by the workspace that it was given and the pointers that it sees.
Algorithm Choose(const Product& product, uint64_t workspace_bytes) {
  return AlgorithmsFor(product, {Preference::kMark, CUBLASLT_SEARCH_BEST_FIT, workspace_bytes, kAlignment, kAlignment,
                                 kAlignment, kAlignment})
      .front();
}

}  // namespace
}  // namespace emulation

using namespace emulation;  // NOLINT(google-build-using-namespace): the functions below are in no namespace

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  auto* context = new cublasLtContext;
  const cublasStatus_t status = Session::Open("cublasLtCreate", HandleBytes(), &context->session);
  if (status == CUBLAS_STATUS_SUCCESS) {
    *handle = context;
  } else {
    delete context;
  }
  return status;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->session.Close(handle->kernels.bytes());
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasLtGetStatusName(cublasStatus_t status) { return NameOfStatus(status); }
const char* cublasLtGetStatusString(cublasStatus_t status) { return TextOfStatus(status); }
size_t cublasLtGetVersion() { return CUBLAS_VERSION; }
size_t cublasLtGetCudartVersion() { return CUDART_VERSION; }
cublasStatus_t cublasLtGetProperty(libraryPropertyType type, int* value) { return GetVersionPart(type, value); }

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t description,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int* found) {
  return FindAlgorithms(handle, Of(description), {Of(a), Of(b), Of(c), Of(d)}, Of(preference), wanted, results, found);
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t description,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                       cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t* algo,
                                       cublasLtMatmulHeuristicResult_t* result) {
  const char* const call = "cublasLtMatmulAlgoCheck";
  const Algorithm* algorithm = Of(algo);
  if (handle == nullptr || algorithm == nullptr || result == nullptr)
    return Refuse(call, Invalid("a null pointer, or no algorithm"));
  Product product;
  REFUSE_UNLESS_OK(call, Describe(call, Of(description), {Of(a), Of(b), Of(c), Of(d)},
                                  {nullptr, nullptr, nullptr, nullptr}, &product));
  REFUSE_UNLESS_OK(call, CheckShape(product, Entry::kMatmul, handle->session.capability()));
  REFUSE_UNLESS_OK(call, CheckAlgorithm(*algorithm, product));
  Fill(Algorithm(*algorithm), result);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute, void* buffer,
                                                    size_t bytes, size_t* written) {
  const char* const call = "cublasLtMatmulAlgoConfigGetAttribute";
  const Algorithm* algorithm = Of(algo);
  if (algorithm == nullptr) return Refuse(call, Invalid("no algorithm"));
  if (attribute != CUBLASLT_ALGO_CONFIG_ID && attribute != CUBLASLT_ALGO_CONFIG_SPLITK_NUM)
    return Refuse(call, NotSupported("attribute " + std::to_string(attribute) + " is not emulated"));
  const int32_t value = attribute == CUBLASLT_ALGO_CONFIG_ID ? algorithm->id : algorithm->parts;
  if (written != nullptr) *written = sizeof value;
  if (bytes == 0 && written != nullptr) return CUBLAS_STATUS_SUCCESS;
  if (buffer == nullptr || bytes != sizeof value) return Refuse(call, Invalid("the attribute has 4 bytes"));
  memcpy(buffer, &value, sizeof value);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t description, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algo, void* workspace, size_t workspace_bytes,
                              cudaStream_t stream) {
  const char* const call = "cublasLtMatmul";
  if (handle == nullptr) return Refuse(call, {CUBLAS_STATUS_NOT_INITIALIZED, "no handle"});
  if (const cublasStatus_t status = handle->session.CheckDevice(call); status != CUBLAS_STATUS_SUCCESS) return status;
  Product product;
  REFUSE_UNLESS_OK(call, Describe(call, Of(description), {Of(a_layout), Of(b_layout), Of(c_layout), Of(d_layout)},
                                  {a, b, c, d}, &product));
  REFUSE_UNLESS_OK(call, SetFactors(*Of(description), alpha, beta, &product));
  REFUSE_UNLESS_OK(call, CheckShape(product, Entry::kMatmul, handle->session.capability()));
  if (algo != nullptr && Of(algo) == nullptr) return Refuse(call, Invalid("an algorithm that no heuristic filled in"));
  const Algorithm algorithm = algo != nullptr ? *Of(algo) : Choose(product, workspace_bytes);
  REFUSE_UNLESS_OK(call, SetWorkspace(algorithm, workspace, workspace_bytes, &product));
  REFUSE_UNLESS_OK(call, CheckPointers(product));
  REFUSE_UNLESS_OK(call, CheckAlgorithm(algorithm, product));
  REFUSE_UNLESS_OK(call, handle->kernels.Load(product));
  return Enqueue(product, stream);
}

}  // extern "C"
