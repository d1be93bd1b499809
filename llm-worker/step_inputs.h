// The inputs of a step as they lie in the decoder's workspace: built and checked here, on the host, and moved to the
// device by one upload to the same addresses in every step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/status.h"
#include "llm-worker/step_batch.h"
#include "memory/kv_layout.h"
#include "memory/step_layout.h"
#include "model/spec.h"

namespace headroom::llm_worker {

// Not thread-safe.
class StepInputs {
 public:
  // All host memory that a step needs is taken here.
  StepInputs(const model::DecoderSpec& config, const memory::LlmStepLayout& layout, const memory::KvLayout& kv,
             int64_t kv_blocks);

  // INVALID_ARGUMENT when the batch does not fit the limits of the plan or contradicts itself.
  absl::Status Build(const StepBatch& batch);
  // After Build() of a step that decodes: up to `rows` of everything but samples, within the plan's sequences, whose
  // rows are of no sequence, are not kept, and take any token.
  void Pad(int64_t rows);
  // The same with no sequence at all.
  void BuildIdle(int64_t rows);

  // Of the latest Build(): the first so many bytes of the workspace.
  std::span<const std::byte> bytes() const { return std::span(memory_).first(used_); }

 private:
  absl::Status CheckRows(const StepBatch& batch) const;
  absl::Status CheckCover(std::span<const StepSequence> sequences, int64_t rows) const;
  absl::Status CheckSamples(std::span<const RowSample> samples, int64_t rows) const;
  absl::Status CheckSample(const RowSample& sample) const;
  void PlaceSamples(std::span<const RowSample> samples);
  template <typename T>
  std::span<T> Array(const memory::StepBuffer& buffer, size_t count);

  const model::DecoderSpec config_;
  const memory::LlmStepLayout layout_;
  const memory::KvLayout kv_;
  const runtime::KvView pool_;  // its sizes alone, to check against
  std::vector<std::byte> memory_;
  size_t used_ = 0;
  size_t rows_ = 0;  // of the latest Build()
};

}  // namespace headroom::llm_worker
