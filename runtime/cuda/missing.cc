// Operations that the CUDA backend does not have yet. Asking for one says so.
#include "runtime/cuda/cuda_backend.h"

namespace headroom::runtime::cuda {
namespace {

absl::Status Missing(const char* operation) {
  return absl::UnimplementedError(absl::StrCat("cuda: ", operation, " is not built yet: use device.kind cpu"));
}

}  // namespace

int64_t CudaBackend::AttentionScratchBytes(int64_t) const { return 0; }
absl::Status CudaBackend::Run(const AttentionArgs&) { return Missing("Attention"); }
absl::Status CudaBackend::Run(const PagedAttentionArgs&) { return Missing("PagedAttention"); }

}  // namespace headroom::runtime::cuda
