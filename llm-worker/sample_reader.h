// Reads what a step gave, sample by sample in the order of the batch, with logprobs where they were asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "llm-worker/step_batch.h"
#include "llm-worker/token_stream.h"

namespace headroom::llm_worker {

struct Sampled {
  int32_t token = 0;  // or runtime::kNotFinite, runtime::kNoneAllowed
  std::unique_ptr<EventLogprobs> logprobs = {};
};

// What is given must outlive it.
class SampleReader {
 public:
  SampleReader(std::span<const RowSample> samples, const StepTokens& tokens, int64_t vocab_size);

  Sampled Next();

 private:
  const std::span<const RowSample> samples_;
  const StepTokens& tokens_;
  const int64_t vocab_size_;
  size_t next_ = 0;
};

}  // namespace headroom::llm_worker
