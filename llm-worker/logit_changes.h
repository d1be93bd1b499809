// What a request changes about the logits of single ids (runtime/ops/sample.h): bias, presence and frequency penalty,
// and stop ids before min_tokens. A pure function of the request and the ids of the answer so far: a choice that moves
// to another worker goes on with the same bits.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "common/status.h"
#include "runtime/ops/sample.h"

namespace headroom::llm_worker {

struct LogitRules {
  float presence_penalty = 0;                        // taken once from every id that the answer has; [−2, 2]
  float frequency_penalty = 0;                       // taken as often as the answer has the id; [−2, 2]
  std::vector<std::pair<int32_t, float>> bias = {};  // ids differ; [−100, 100]
  int64_t min_tokens = 0;                            // no stop id before the answer has so many

  bool penalizes() const { return presence_penalty != 0 || frequency_penalty != 0; }
};

// INVALID_ARGUMENT with value and limit; NaN is never within a limit.
absl::Status CheckLogitRules(const LogitRules& rules, int64_t vocab_size);

// Of one choice.
class LogitChanges {
 public:
  // Takes all memory that `tokens_max` tokens of answer need. `stop_ids` of the vocabulary.
  LogitChanges(const LogitRules& rules, std::span<const int32_t> stop_ids, int64_t tokens_max);

  // The next id of the answer.
  void Add(int32_t id);
  // For the id after those. In order of their ids, which differ; none without rules.
  std::span<const runtime::LogitChange> list() const { return changes_; }

 private:
  struct Known {
    float bias = 0;
    int32_t count = 0;  // in the answer
    bool stops = false;
  };
  // The place of an id, made where there is none.
  size_t Place(int32_t id);
  void Update(size_t place);

  const float presence_penalty_, frequency_penalty_;
  const int64_t min_tokens_;
  int64_t tokens_ = 0;
  std::vector<runtime::LogitChange> changes_;
  std::vector<Known> known_;  // of the same places
};

}  // namespace headroom::llm_worker
