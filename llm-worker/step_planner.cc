#include "llm-worker/step_planner.h"

#include <algorithm>

#include "common/arith.h"

namespace headroom::llm_worker {
namespace {

bool IsDecode(const SequenceView& sequence) {
  return sequence.computed_tokens > 0 && sequence.known_tokens - sequence.computed_tokens == 1;
}

class StepBuilder {
 public:
  StepBuilder(int64_t free_blocks, const StepLimits& limits) : free_blocks_(free_blocks), limits_(limits) {}

  // Adds as many tokens of the sequence as budget, reservation and free blocks allow, at most until `plan.tokens`
  // reaches token_limit.
  void Add(size_t index, const SequenceView& sequence, int64_t token_limit) {
    const int64_t copies = sequence.next_is_shared ? 1 : 0;
    if (copies > free_blocks_) return;
    const int64_t blocks_limit = std::min(sequence.blocks_reserved, sequence.blocks_held + free_blocks_ - copies);
    const int64_t wanted = sequence.known_tokens - sequence.computed_tokens;
    const int64_t room = blocks_limit * limits_.block_size - sequence.computed_tokens;
    const int64_t tokens = std::min({wanted, room, token_limit - plan_.tokens});
    if (tokens <= 0) return;
    const int64_t end = sequence.computed_tokens + tokens;
    const int64_t blocks = CeilDiv(end, limits_.block_size);
    const int64_t new_blocks = copies + std::max<int64_t>(0, blocks - sequence.blocks_held);
    plan_.items.push_back({index, tokens, new_blocks, tokens == wanted});
    plan_.tokens += tokens;
    plan_.new_blocks += new_blocks;
    free_blocks_ -= new_blocks;
  }

  StepPlan& plan() { return plan_; }

 private:
  StepPlan plan_;
  int64_t free_blocks_;
  const StepLimits& limits_;
};

}  // namespace

StepPlan PlanStep(std::span<const SequenceView> running, std::span<const SequenceView> waiting, int64_t free_blocks,
                  const StepLimits& limits) {
  StepBuilder builder(free_blocks, limits);
  int64_t slots = limits.max_num_seqs;
  for (const SequenceView& sequence : running) slots -= sequence.slots;
  for (const SequenceView& sequence : waiting) {
    slots -= sequence.slots;
    if (slots < 0) break;
    ++builder.plan().admitted;
  }
  const size_t count = running.size() + builder.plan().admitted;
  auto view = [&](size_t index) -> const SequenceView& {
    return index < running.size() ? running[index] : waiting[index - running.size()];
  };

  std::vector<size_t> decodes, prefills;
  for (size_t index = 0; index < count; ++index) {
    if (view(index).is_away) {
      ++builder.plan().away;
    } else {
      (IsDecode(view(index)) ? decodes : prefills).push_back(index);
    }
  }
  // Matters only where the budget is below the number of decodes: then they take turns.
  std::stable_sort(decodes.begin(), decodes.end(),
                   [&](size_t a, size_t b) { return view(a).last_step < view(b).last_step; });

  const int64_t budget = limits.max_num_batched_tokens;
  // A part of the budget stays with prefills, so that a full house of decodes cannot starve them. With a budget of one
  // token they wait for the decodes, which end by themselves.
  const int64_t prefill_share = prefills.empty() || budget < 2 ? 0 : std::max<int64_t>(1, budget / 8);
  for (size_t index : decodes) builder.Add(index, view(index), budget - prefill_share);
  for (size_t index : prefills) builder.Add(index, view(index), budget);
  return std::move(builder.plan());
}

}  // namespace headroom::llm_worker
