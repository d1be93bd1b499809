#include "runtime/cuda/products.h"

#include <string>
#include <utility>

namespace headroom::runtime::cuda {
namespace {

constexpr int kHopper = 90;
constexpr int64_t kWorkspaceBytes = int64_t{4} << 20;
constexpr int64_t kWorkspaceBytesFromHopper = int64_t{32} << 20;

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

bool IsMultiple(const void* p) { return reinterpret_cast<uintptr_t>(p) % Products::kAlignment == 0; }

}  // namespace

bool ProductShape::Documented() const {
  const auto whole = [](int64_t elements, DType type) { return elements * SizeOf(type) % Products::kAlignment == 0; };
  return whole(x_row_stride, dtype) && whole(weight_is_kn ? n : k, dtype) && whole(y_row_stride, DType::kF32);
}

bool ProductPointers::Aligned() const {
  return IsMultiple(x) && IsMultiple(weight) && IsMultiple(bias) && IsMultiple(y);
}

// A product that is described to the library, and how it will compute it. Column-major: see products.h.
struct Products::Plan {
  Operation operation;
  Layout weight, x, y;
  cublasLtMatmulAlgo_t algorithm{};

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
    HEADROOM_RETURN_IF_ERROR(Make(weight, type, weight_rows, weight_cols, weight_rows));
    HEADROOM_RETURN_IF_ERROR(Make(x, type, shape.k, shape.rows, shape.x_row_stride));
    return Make(y, CUDA_R_32F, shape.n, shape.rows, shape.y_row_stride);
  }

  absl::Status Choose(cublasLtHandle_t handle, int64_t workspace_bytes) {
    Preference preference;
    HEADROOM_RETURN_IF_ERROR(BlasStatus(cublasLtMatmulPreferenceCreate(preference.put()), "describing a preference"));
    HEADROOM_RETURN_IF_ERROR(Set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t(workspace_bytes)));
    for (const auto matrix : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                              CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      HEADROOM_RETURN_IF_ERROR(Set(preference, matrix, uint32_t{Products::kAlignment}));
    }
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    HEADROOM_RETURN_IF_ERROR(
        BlasStatus(cublasLtMatmulAlgoGetHeuristic(handle, operation.get(), weight.get(), x.get(), y.get(), y.get(),
                                                  preference.get(), 1, &best, &found),
                   "choosing an algorithm"));
    if (found == 0) return absl::InternalError("cuda: cuBLASLt has no algorithm for a product");
    algorithm = best.algo;
    return absl::OkStatus();
  }
};

Products::Products(int64_t workspace_bytes) : workspace_bytes_(workspace_bytes) {}

absl::StatusOr<std::unique_ptr<Products>> Products::Create(int capability) {
  std::unique_ptr<Products> products(new Products(capability >= kHopper ? kWorkspaceBytesFromHopper : kWorkspaceBytes));
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

absl::Status Products::Run(const ProductShape& shape, const ProductPointers& pointers, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  HEADROOM_ASSIGN_OR_RETURN(const Plan* const plan, Find(shape));
  if (shape.bias) {
    HEADROOM_RETURN_IF_ERROR(Set(plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, pointers.bias));
  }
  const float one = 1.0f, before = shape.accumulate ? 1.0f : 0.0f;
  return BlasStatus(
      cublasLtMatmul(handle_, plan->operation.get(), &one, pointers.weight, plan->weight.get(), pointers.x,
                     plan->x.get(), &before, pointers.y, plan->y.get(), pointers.y, plan->y.get(), &plan->algorithm,
                     pointers.workspace, static_cast<size_t>(workspace_bytes_), stream),
      "computing a product");
}

}  // namespace headroom::runtime::cuda
