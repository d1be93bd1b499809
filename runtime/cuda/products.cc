#include "runtime/cuda/products.h"

#include <optional>
#include <string>
#include <utility>

namespace headroom::runtime::cuda {
namespace {

absl::Status BlasStatus(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return absl::OkStatus();
  const std::string message = absl::StrCat("cuda: cuBLASLt, ", what, ": ", cublasLtGetStatusString(status));
  return status == CUBLAS_STATUS_ALLOC_FAILED ? absl::ResourceExhaustedError(message) : absl::InternalError(message);
}

cudaDataType TypeOf(DType dtype) { return dtype == DType::kBF16 ? CUDA_R_16BF : CUDA_R_32F; }

// What cublasLt…Create() makes, and its …Destroy().
template <typename T, cublasStatus_t (*destroy)(T)>
class Held {
 public:
  Held() = default;
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    if (handle_ != nullptr) static_cast<void>(destroy(handle_));
  }
  T get() const { return handle_; }
  T* put() { return &handle_; }

 private:
  T handle_ = nullptr;
};
using Operation = Held<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Held<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Held<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

template <typename T>
absl::Status Set(const Operation& operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  return BlasStatus(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof(value)),
                    "describing a product");
}
template <typename T>
absl::Status Set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
  return BlasStatus(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof(value)),
                    "describing a preference");
}
absl::Status Make(Layout& layout, cudaDataType type, int64_t rows, int64_t cols, int64_t stride) {
  return BlasStatus(
      cublasLtMatrixLayoutCreate(layout.put(), type, static_cast<uint64_t>(rows), static_cast<uint64_t>(cols), stride),
      "describing a matrix");
}

constexpr int64_t kAlignment = 16;  // bytes; what an algorithm may ask for

// How far apart rows lie decides what their addresses are multiples of, up to kAlignment.
int64_t AlignmentOf(int64_t row_stride, DType dtype) {
  int64_t alignment = SizeOf(dtype);
  while (alignment < kAlignment && row_stride * SizeOf(dtype) % (2 * alignment) == 0) alignment *= 2;
  return alignment;
}

bool IsMultiple(const void* p, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(bytes) == 0;
}

}  // namespace

// A product that is described to the library, and how it will compute it. Column-major: see products.h.
struct Products::Plan {
  Operation operation;
  Layout weight, x, y;
  int64_t weight_alignment = 0, x_alignment = 0, y_alignment = 0;
  std::optional<cublasLtMatmulAlgo_t> algorithm;  // none: not for such rows

  absl::Status Describe(const ProductShape& shape) {
    const cudaDataType type = TypeOf(shape.dtype);
    HEADROOM_RETURN_IF_ERROR(
        BlasStatus(cublasLtMatmulDescCreate(operation.put(), CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product"));
    const cublasOperation_t of_weight = shape.weight_is_kn ? CUBLAS_OP_N : CUBLAS_OP_T;
    HEADROOM_RETURN_IF_ERROR(Set(operation, CUBLASLT_MATMUL_DESC_TRANSA, of_weight));
    if (shape.bias) {
      HEADROOM_RETURN_IF_ERROR(Set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS));
    }
    const int64_t weight_rows = shape.weight_is_kn ? shape.n : shape.k;
    const int64_t weight_cols = shape.weight_is_kn ? shape.k : shape.n;
    weight_alignment = AlignmentOf(weight_rows, shape.dtype);
    x_alignment = AlignmentOf(shape.x_row_stride, shape.dtype);
    y_alignment = AlignmentOf(shape.y_row_stride, DType::kF32);
    HEADROOM_RETURN_IF_ERROR(Make(weight, type, weight_rows, weight_cols, weight_rows));
    HEADROOM_RETURN_IF_ERROR(Make(x, type, shape.k, shape.rows, shape.x_row_stride));
    return Make(y, CUDA_R_32F, shape.n, shape.rows, shape.y_row_stride);
  }

  absl::Status Choose(cublasLtHandle_t handle, int64_t workspace_bytes) {
    Preference preference;
    HEADROOM_RETURN_IF_ERROR(BlasStatus(cublasLtMatmulPreferenceCreate(preference.put()), "describing a preference"));
    HEADROOM_RETURN_IF_ERROR(Set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t(workspace_bytes)));
    for (const auto& [matrix, bytes] : {std::pair(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, weight_alignment),
                                        std::pair(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, x_alignment),
                                        std::pair(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, y_alignment),
                                        std::pair(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, y_alignment)}) {
      HEADROOM_RETURN_IF_ERROR(Set(preference, matrix, static_cast<uint32_t>(bytes)));
    }
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, operation.get(), weight.get(), x.get(),
                                                                 y.get(), y.get(), preference.get(), 1, &best, &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && found == 0)) {
      return absl::OkStatus();
    }
    HEADROOM_RETURN_IF_ERROR(BlasStatus(status, "choosing an algorithm"));
    algorithm = best.algo;
    return absl::OkStatus();
  }

  bool Takes(const ProductPointers& p) const {
    return algorithm.has_value() && IsMultiple(p.weight, weight_alignment) && IsMultiple(p.x, x_alignment) &&
           IsMultiple(p.y, y_alignment) && IsMultiple(p.bias, kAlignment);
  }
};

Products::Products(int64_t workspace_bytes) : workspace_bytes_(workspace_bytes) {}

absl::StatusOr<std::unique_ptr<Products>> Products::Create(int64_t workspace_bytes) {
  std::unique_ptr<Products> products(new Products(workspace_bytes));
  HEADROOM_RETURN_IF_ERROR(BlasStatus(cublasLtCreate(&products->handle_), "opening the library"));
  return products;
}

Products::~Products() {
  plans_.clear();
  if (handle_ != nullptr) static_cast<void>(cublasLtDestroy(handle_));
}

absl::StatusOr<Products::Plan*> Products::Find(const ProductShape& shape) {
  const auto found = plans_.find(shape);
  if (found != plans_.end()) return found->second.get();
  auto plan = std::make_unique<Plan>();
  HEADROOM_RETURN_IF_ERROR(plan->Describe(shape));
  HEADROOM_RETURN_IF_ERROR(plan->Choose(handle_, workspace_bytes_));
  return plans_.emplace(shape, std::move(plan)).first->second.get();
}

absl::Status Products::Prepare(const ProductShape& shape) {
  const std::lock_guard lock(mutex_);
  return Find(shape).status();
}

absl::StatusOr<bool> Products::Run(const ProductShape& shape, const ProductPointers& pointers, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  HEADROOM_ASSIGN_OR_RETURN(const Plan* const plan, Find(shape));
  if (!plan->Takes(pointers)) return false;
  if (shape.bias) {
    HEADROOM_RETURN_IF_ERROR(Set(plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, pointers.bias));
  }
  const float one = 1.0f, before = shape.accumulate ? 1.0f : 0.0f;
  HEADROOM_RETURN_IF_ERROR(
      BlasStatus(cublasLtMatmul(handle_, plan->operation.get(), &one, pointers.weight, plan->weight.get(), pointers.x,
                                plan->x.get(), &before, pointers.y, plan->y.get(), pointers.y, plan->y.get(),
                                &*plan->algorithm, pointers.workspace, static_cast<size_t>(workspace_bytes_), stream),
                 "computing a product"));
  return true;
}

}  // namespace headroom::runtime::cuda
