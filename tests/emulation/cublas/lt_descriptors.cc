#include "tests/emulation/cublas/lt_descriptors.h"

#include <cstddef>
#include <cstring>
#include <string>

#include "tests/emulation/cublas/session.h"

namespace emulation {
namespace {

struct Attribute {
  int number;
  size_t offset, bytes;
};

#define ATTRIBUTE(number, type, member) \
  { number, offsetof(type, member), sizeof(type::member) }

constexpr Attribute kLayoutAttributes[] = {
    ATTRIBUTE(CUBLASLT_MATRIX_LAYOUT_TYPE, Layout, type),
    ATTRIBUTE(CUBLASLT_MATRIX_LAYOUT_ORDER, Layout, order),
    ATTRIBUTE(CUBLASLT_MATRIX_LAYOUT_ROWS, Layout, rows),
    ATTRIBUTE(CUBLASLT_MATRIX_LAYOUT_COLS, Layout, cols),
    ATTRIBUTE(CUBLASLT_MATRIX_LAYOUT_LD, Layout, ld),
    ATTRIBUTE(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, Layout, batches),
    ATTRIBUTE(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, Layout, stride),
};

constexpr Attribute kMatmulAttributes[] = {
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, MatmulDesc, compute),
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_SCALE_TYPE, MatmulDesc, scale),
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_POINTER_MODE, MatmulDesc, pointer_mode),
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_TRANSA, MatmulDesc, transa),
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_TRANSB, MatmulDesc, transb),
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_TRANSC, MatmulDesc, transc),
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_EPILOGUE, MatmulDesc, epilogue),
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_BIAS_POINTER, MatmulDesc, bias),
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, MatmulDesc, bias_stride),
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, MatmulDesc, bias_type),
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, MatmulDesc, sm_count),
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, MatmulDesc, a_scale),
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, MatmulDesc, b_scale),
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_C_SCALE_POINTER, MatmulDesc, c_scale),
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_D_SCALE_POINTER, MatmulDesc, d_scale),
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, MatmulDesc, a_scale_mode),
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, MatmulDesc, b_scale_mode),
    ATTRIBUTE(CUBLASLT_MATMUL_DESC_FAST_ACCUM, MatmulDesc, fast_accumulation),
};

constexpr Attribute kPreferenceAttributes[] = {
    ATTRIBUTE(CUBLASLT_MATMUL_PREF_SEARCH_MODE, Preference, search_mode),
    ATTRIBUTE(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, Preference, workspace_bytes_max),
    ATTRIBUTE(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, Preference, a_alignment),
    ATTRIBUTE(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, Preference, b_alignment),
    ATTRIBUTE(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, Preference, c_alignment),
    ATTRIBUTE(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, Preference, d_alignment),
};

template <size_t kCount>
const Attribute* Find(const Attribute (&attributes)[kCount], int number) {
  for (const Attribute& attribute : attributes) {
    if (attribute.number == number) return &attribute;
  }
  return nullptr;
}

// An attribute that the emulation does not know is refused rather than ignored.
cublasStatus_t CheckAccess(const char* call, const Attribute* attribute, int number, const void* buffer, size_t bytes) {
  if (attribute == nullptr)
    return Refuse(call, {CUBLAS_STATUS_NOT_SUPPORTED, "attribute " + std::to_string(number) + " is not emulated"});
  if (buffer == nullptr || bytes != attribute->bytes)
    return Refuse(call, {CUBLAS_STATUS_INVALID_VALUE, "attribute " + std::to_string(number) + " has " +
                                                          std::to_string(attribute->bytes) + " bytes, not " +
                                                          std::to_string(bytes)});
  return CUBLAS_STATUS_SUCCESS;
}

template <class Record, class Opaque, size_t kCount>
cublasStatus_t Set(const char* call, const Attribute (&attributes)[kCount], Opaque* to, int number, const void* from,
                   size_t bytes) {
  if (Of(to) == nullptr) return Refuse(call, {CUBLAS_STATUS_INVALID_VALUE, "not a descriptor, or a destroyed one"});
  const Attribute* attribute = Find(attributes, number);
  if (const cublasStatus_t status = CheckAccess(call, attribute, number, from, bytes); status != CUBLAS_STATUS_SUCCESS)
    return status;
  memcpy(reinterpret_cast<char*>(to->data) + attribute->offset, from, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

template <class Record, class Opaque, size_t kCount>
cublasStatus_t Get(const char* call, const Attribute (&attributes)[kCount], Opaque* from, int number, void* to,
                   size_t bytes, size_t* written) {
  if (Of(from) == nullptr) return Refuse(call, {CUBLAS_STATUS_INVALID_VALUE, "not a descriptor, or a destroyed one"});
  const Attribute* attribute = Find(attributes, number);
  if (attribute != nullptr && written != nullptr) *written = attribute->bytes;
  if (attribute != nullptr && bytes == 0 && written != nullptr) return CUBLAS_STATUS_SUCCESS;  // asks for the size
  if (const cublasStatus_t status = CheckAccess(call, attribute, number, to, bytes); status != CUBLAS_STATUS_SUCCESS)
    return status;
  memcpy(to, reinterpret_cast<const char*>(from->data) + attribute->offset, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

template <class Record, class Opaque>
cublasStatus_t Init(const char* call, Opaque* to, size_t bytes, const Record& record) {
  static_assert(sizeof(Record) <= sizeof(Opaque));
  if (to == nullptr || bytes < sizeof(Opaque))
    return Refuse(call, {CUBLAS_STATUS_INVALID_VALUE, "no room for the descriptor"});
  memset(to, 0, sizeof(Opaque));
  memcpy(to, &record, sizeof record);
  return CUBLAS_STATUS_SUCCESS;
}

template <class Opaque>
cublasStatus_t Destroy(const char* call, Opaque* descriptor) {
  if (Of(descriptor) == nullptr)
    return Refuse(call, {CUBLAS_STATUS_INVALID_VALUE, "not a descriptor, or destroyed before"});
  memset(descriptor, 0, sizeof(Opaque));
  delete descriptor;
  return CUBLAS_STATUS_SUCCESS;
}

template <class Record, class Opaque>
const Record* Cast(const Opaque* opaque) {
  const auto* record = reinterpret_cast<const Record*>(opaque);
  return record != nullptr && record->mark == Record::kMark ? record : nullptr;
}

}  // namespace

const Layout* Of(cublasLtMatrixLayout_t layout) { return Cast<Layout>(layout); }
const MatmulDesc* Of(cublasLtMatmulDesc_t description) { return Cast<MatmulDesc>(description); }
const Preference* Of(cublasLtMatmulPreference_t preference) { return Cast<Preference>(preference); }

}  // namespace emulation

using namespace emulation;  // NOLINT(google-build-using-namespace): the functions below are in no namespace

extern "C" {

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, size_t bytes, cudaDataType type,
                                                 uint64_t rows, uint64_t cols, int64_t ld) {
  return Init("cublasLtMatrixLayoutInit", layout, bytes,
              Layout{Layout::kMark, static_cast<uint32_t>(type), rows, cols, ld, 0, CUBLASLT_ORDER_COL, 1});
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t ld) {
  *layout = new cublasLtMatrixLayoutOpaque_t;
  return cublasLtMatrixLayoutInit_internal(*layout, sizeof **layout, type, rows, cols, ld);
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return Destroy("cublasLtMatrixLayoutDestroy", layout);
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* buffer,
                                                size_t bytes) {
  return Set<Layout>("cublasLtMatrixLayoutSetAttribute", kLayoutAttributes, layout, attribute, buffer, bytes);
}
cublasStatus_t cublasLtMatrixLayoutGetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, void* buffer, size_t bytes,
                                                size_t* written) {
  return Get<Layout>("cublasLtMatrixLayoutGetAttribute", kLayoutAttributes, layout, attribute, buffer, bytes, written);
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t description, size_t bytes,
                                               cublasComputeType_t compute, cudaDataType_t scale) {
  MatmulDesc record{};
  record.mark = MatmulDesc::kMark;
  record.compute = compute;
  record.scale = scale;
  record.pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  record.transa = record.transb = record.transc = CUBLAS_OP_N;
  record.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  record.bias_type = -1;
  return Init("cublasLtMatmulDescInit", description, bytes, record);
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  *description = new cublasLtMatmulDescOpaque_t;
  return cublasLtMatmulDescInit_internal(*description, sizeof **description, compute, scale);
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  return Destroy("cublasLtMatmulDescDestroy", description);
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t attribute, const void* buffer,
                                              size_t bytes) {
  return Set<MatmulDesc>("cublasLtMatmulDescSetAttribute", kMatmulAttributes, description, attribute, buffer, bytes);
}
cublasStatus_t cublasLtMatmulDescGetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t attribute, void* buffer, size_t bytes,
                                              size_t* written) {
  return Get<MatmulDesc>("cublasLtMatmulDescGetAttribute", kMatmulAttributes, description, attribute, buffer, bytes,
                         written);
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference, size_t bytes) {
  return Init("cublasLtMatmulPreferenceInit", preference, bytes,
              Preference{Preference::kMark, CUBLASLT_SEARCH_BEST_FIT, 0, 256, 256, 256, 256});
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return cublasLtMatmulPreferenceInit_internal(*preference, sizeof **preference);
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return Destroy("cublasLtMatmulPreferenceDestroy", preference);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* buffer,
                                                    size_t bytes) {
  return Set<Preference>("cublasLtMatmulPreferenceSetAttribute", kPreferenceAttributes, preference, attribute, buffer,
                         bytes);
}
cublasStatus_t cublasLtMatmulPreferenceGetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, void* buffer,
                                                    size_t bytes, size_t* written) {
  return Get<Preference>("cublasLtMatmulPreferenceGetAttribute", kPreferenceAttributes, preference, attribute, buffer,
                         bytes, written);
}

}  // extern "C"
