#include "runtime/cpu/cpu_backend.h"

#include "runtime/cpu/compute.h"

namespace headroom::runtime::cpu {
namespace {

const Kernels* KernelsFor(Isa isa) {
  switch (isa) {
    case Isa::kAvx2:
      return Avx2Kernels();
    case Isa::kAvx512:
      return Avx512Kernels();
    case Isa::kAvx512Bf16:
    case Isa::kAmx:
      break;
  }
  return Avx512Bf16Kernels();
}

class CpuBackend : public Backend {
 public:
  CpuBackend(Isa isa, int threads) : context_{isa, KernelsFor(isa), threads}, products_(threads) {}

  absl::Status Linear(const LinearArgs& args) override { return ComputeLinear(context_, products_, args); }
  absl::StatusOr<int64_t> PrepareLinear(const LinearSpec& spec) override {
    return cpu::PrepareLinear(context_, products_, spec);
  }
  absl::StatusOr<LinearNeeds> DescribeLinear(const LinearSpec& spec) override {
    return cpu::DescribeLinear(context_, products_, spec);
  }
  absl::Status LayerNorm(const LayerNormArgs& args) override { return Done(ComputeLayerNorm, args); }
  absl::Status RmsNorm(const RmsNormArgs& args) override { return Done(ComputeRmsNorm, args); }
  absl::Status GeluTanh(const GeluTanhArgs& args) override { return Done(ComputeGeluTanh, args); }
  absl::Status SiluMul(const SiluMulArgs& args) override { return Done(ComputeSiluMul, args); }
  absl::Status Convert(const ConvertArgs& args) override { return Done(ComputeConvert, args); }
  absl::Status EmbeddingGather(const EmbeddingGatherArgs& args) override { return Done(ComputeEmbeddingGather, args); }
  absl::Status AddGathered(const AddGatheredArgs& args) override { return Done(ComputeAddGathered, args); }
  absl::Status Rope(const RopeArgs& args) override { return Done(ComputeRope, args); }
  absl::Status Attention(const AttentionArgs& args) override { return Done(ComputeAttention, args); }
  absl::Status PagedKvWrite(const PagedKvWriteArgs& args) override { return Done(ComputePagedKvWrite, args); }
  absl::Status CopyKvBlocks(const CopyKvBlocksArgs& args) override { return Done(ComputeCopyKvBlocks, args); }
  absl::Status PagedAttention(const PagedAttentionArgs& args) override { return Done(ComputePagedAttention, args); }

 private:
  // Own kernels cannot fail on checked arguments.
  template <typename Args>
  absl::Status Done(void (*compute)(const Context&, const Args&), const Args& args) {
    compute(context_, args);
    return absl::OkStatus();
  }

  const Context context_;
  Products products_;
};

}  // namespace

absl::Status LimitLibraries(Isa isa) { return Products::Limit(isa); }

std::unique_ptr<Backend> CreateBackend(Isa isa, int threads) { return std::make_unique<CpuBackend>(isa, threads); }

}  // namespace headroom::runtime::cpu
