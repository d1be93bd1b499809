// Chooses the batch of one step. Pure: the engine describes its sequences, the planner answers which of them run and
// with how many tokens.
//
// Decodes go first (one token each), prefills fill what is left of the token budget in order of arrival, cut into
// chunks where needed. All counts are tokens or KV blocks, never bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headroom::llm_worker {

struct StepLimits {
  int64_t max_num_seqs = 0;
  int64_t max_num_batched_tokens = 0;
  int64_t block_size = 0;
};

// What the planner knows of a sequence.
struct SequenceView {
  int64_t computed_tokens = 0;  // tokens whose keys and values are in the KV cache
  int64_t known_tokens = 0;     // prompt and answer so far; at least computed_tokens + 1
  int64_t blocks_held = 0;      // covers at least computed_tokens
  int64_t blocks_reserved = 0;  // what its leg promised; blocks_held never goes above it
  uint64_t last_step = 0;       // number of the last step that it took part in; 0: none
  bool next_is_shared = false;  // the next token goes into a block that others hold too: it needs a copy of its own
  int64_t slots = 1;            // it becomes so many sequences once its prompt is computed
  bool is_away = false;         // takes no part in this step
};

struct StepItem {
  size_t index = 0;        // < running.size(): running[index]; else waiting[index - running.size()]
  int64_t tokens = 0;      // the next so many after computed_tokens; at least 1
  int64_t new_blocks = 0;  // that the step needs, the copy of a shared one included. For tests: the guarantees below.
  bool samples = false;    // the step reaches known_tokens, so its last row gives the next token
};

struct StepPlan {
  size_t admitted = 0;  // the first so many of `waiting` join the running sequences
  size_t away = 0;      // so many of all these are
  std::vector<StepItem> items;
  int64_t tokens = 0;
  int64_t new_blocks = 0;  // For tests: as above.
};

// Guarantees, for any input that keeps the comments above: sum of tokens <= max_num_batched_tokens; sum of new_blocks
// <= free_blocks; held + new, copies aside, <= reserved per sequence; slots of running and admitted <= max_num_seqs; an
// item per sequence at most, none for those that are away. When the guaranteed policy holds (free blocks cover all that
// is reserved and not held), every decode that is not away runs within decodes / budget steps, and the oldest prefill
// advances in every step.
StepPlan PlanStep(std::span<const SequenceView> running, std::span<const SequenceView> waiting, int64_t free_blocks,
                  const StepLimits& limits);

}  // namespace headroom::llm_worker
