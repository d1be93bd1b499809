// Step: one turn on a device's lane. It remembers the first error and skips what comes after it, so that a layer reads
// like its formula; End() waits and tells.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "common/status.h"
#include "runtime/device.h"
#include "runtime/ops/attention.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/gather.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/norm.h"
#include "runtime/ops/paged_attention.h"
#include "runtime/ops/positions.h"
#include "runtime/ops/rope.h"
#include "runtime/ops/sample.h"

namespace headroom::runtime {

// Holds the lane while it lives. Used by one thread.
class Step {
 public:
  explicit Step(Device& device) : device_(device), lane_(device.EnterLane()) {}
  // Host memory that was handed over is the caller's again.
  ~Step() { static_cast<void>(device_.Wait()); }
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

  void Upload(std::span<const std::byte> from, DevicePtr to) {
    Do([&] { return device_.Upload(from, to); });
  }
  void Download(DevicePtr from, std::span<std::byte> to) {
    Do([&] { return device_.Download(from, to); });
  }

  void Linear(const LinearArgs& args) { Do(runtime::Linear, args); }
  void LayerNorm(const LayerNormArgs& args) { Do(runtime::LayerNorm, args); }
  void RmsNorm(const RmsNormArgs& args) { Do(runtime::RmsNorm, args); }
  void GeluTanh(const GeluTanhArgs& args) { Do(runtime::GeluTanh, args); }
  void GeluErf(const GeluErfArgs& args) { Do(runtime::GeluErf, args); }
  void SiluMul(const SiluMulArgs& args) { Do(runtime::SiluMul, args); }
  void Convert(const ConvertArgs& args) { Do(runtime::Convert, args); }
  void FindNonFinite(const FindNonFiniteArgs& args) { Do(runtime::FindNonFinite, args); }
  void EmbeddingGather(const EmbeddingGatherArgs& args) { Do(runtime::EmbeddingGather, args); }
  void AddGathered(const AddGatheredArgs& args) { Do(runtime::AddGathered, args); }
  void JoinRows(const JoinRowsArgs& args) { Do(runtime::JoinRows, args); }
  void SineTable(const SineTableArgs& args) { Do(runtime::SineTable, args); }
  void Attention(const AttentionArgs& args) { Do(runtime::Attention, args); }
  void Rope(const RopeArgs& args) { Do(runtime::Rope, args); }
  void PagedKvWrite(const PagedKvWriteArgs& args) { Do(runtime::PagedKvWrite, args); }
  void CopyKvBlocks(const CopyKvBlocksArgs& args) { Do(runtime::CopyKvBlocks, args); }
  void PagedAttention(const PagedAttentionArgs& args) { Do(runtime::PagedAttention, args); }
  void Sample(const SampleArgs& args) { Do(runtime::Sample, args); }

  // Keeps the operations that `calls` calls on this step; null after an error (runtime::Device::Record).
  template <typename Calls>
  std::unique_ptr<Recording> Record(const Calls& calls) {
    std::unique_ptr<Recording> recording;
    Do([&]() -> absl::Status {
      HEADROOM_ASSIGN_OR_RETURN(recording, device_.Record([&] {
        calls();
        return status_;
      }));
      return absl::OkStatus();
    });
    return recording;
  }
  void Launch(Recording& recording) {
    Do([&] { return recording.Launch(); });
  }

  // Waits for all of it; the first error.
  absl::Status End() {
    const absl::Status waited = device_.Wait();
    return status_.ok() ? waited : status_;
  }

 private:
  template <typename Call>
  void Do(const Call& call) {
    if (status_.ok()) status_ = call();
  }
  template <typename Args>
  void Do(absl::Status (*operation)(Device&, const Args&), const Args& args) {
    if (status_.ok()) status_ = operation(device_, args);
  }

  Device& device_;
  Lane lane_;
  absl::Status status_;
};

}  // namespace headroom::runtime
