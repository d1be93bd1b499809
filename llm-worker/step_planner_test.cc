#include "llm-worker/step_planner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace headroom::llm_worker {
namespace {

constexpr StepLimits kLimits{.max_num_seqs = 4, .max_num_batched_tokens = 16, .block_size = 4};

SequenceView Prefill(int64_t prompt, int64_t computed = 0) {
  return {computed, prompt, (computed + 3) / 4, (prompt + 8 + 3) / 4, 0};
}
SequenceView Decode(int64_t computed) { return {computed, computed + 1, (computed + 3) / 4, computed / 4 + 2, 1}; }

TEST(PlanStep, NothingToDo) {
  const StepPlan plan = PlanStep({}, {}, 10, kLimits);
  EXPECT_TRUE(plan.items.empty());
  EXPECT_EQ(plan.admitted, 0u);
}

TEST(PlanStep, DecodesFirstThenPrefillIsCutToTheBudget) {
  const SequenceView running[] = {Prefill(40), Decode(5), Decode(8)};
  const StepPlan plan = PlanStep(running, {}, 100, kLimits);
  ASSERT_EQ(plan.items.size(), 3u);
  EXPECT_EQ(plan.items[0].index, 1u);
  EXPECT_EQ(plan.items[0].new_blocks, 0);
  EXPECT_TRUE(plan.items[0].samples);
  EXPECT_EQ(plan.items[1].index, 2u);
  EXPECT_EQ(plan.items[1].new_blocks, 1) << "position 8 starts the third block";
  EXPECT_EQ(plan.items[2].index, 0u);
  EXPECT_EQ(plan.items[2].tokens, 14);
  EXPECT_FALSE(plan.items[2].samples);
  EXPECT_EQ(plan.items[2].new_blocks, 4);
  EXPECT_EQ(plan.tokens, 16);
}

TEST(PlanStep, WaitingJoinInOrderUpToTheSlots) {
  const SequenceView running[] = {Decode(4), Decode(4), Decode(4)};
  const SequenceView waiting[] = {Prefill(3), Prefill(2)};
  const StepPlan plan = PlanStep(running, waiting, 100, kLimits);
  EXPECT_EQ(plan.admitted, 1u);
  ASSERT_EQ(plan.items.size(), 4u);
  EXPECT_EQ(plan.items[3].index, 3u);
  EXPECT_TRUE(plan.items[3].samples);
}

TEST(PlanStep, ThoseThatAreAwaySitOut) {
  SequenceView running[] = {Decode(4), Decode(4)};
  running[0].is_away = true;
  const StepPlan plan = PlanStep(running, {}, 100, kLimits);
  ASSERT_EQ(plan.items.size(), 1u);
  EXPECT_EQ(plan.items[0].index, 1u);
  EXPECT_EQ(plan.away, 1u);
}

TEST(PlanStep, NoFreeBlockMeansOnlyTheRoomInHeldBlocks) {
  const SequenceView running[] = {Prefill(20, 6), Decode(8), Decode(9)};
  const StepPlan plan = PlanStep(running, {}, 0, kLimits);
  ASSERT_EQ(plan.items.size(), 2u);
  EXPECT_EQ(plan.items[0].index, 2u);
  EXPECT_EQ(plan.items[1].index, 0u);
  EXPECT_EQ(plan.items[1].tokens, 2);
  EXPECT_EQ(plan.new_blocks, 0);
}

TEST(PlanStep, ReservationIsALimit) {
  SequenceView greedy = Prefill(20);
  greedy.blocks_reserved = 2;
  const StepPlan plan = PlanStep(std::span(&greedy, 1), {}, 100, kLimits);
  ASSERT_EQ(plan.items.size(), 1u);
  EXPECT_EQ(plan.items[0].tokens, 8);
  EXPECT_EQ(plan.items[0].new_blocks, 2);
}

TEST(PlanStep, TheCopyOfASharedBlockIsABlockOfThePool) {
  SequenceView fork = Decode(5);
  fork.next_is_shared = true;
  const StepPlan plan = PlanStep(std::span(&fork, 1), {}, 1, kLimits);
  ASSERT_EQ(plan.items.size(), 1u);
  EXPECT_EQ(plan.items[0].new_blocks, 1);
  EXPECT_TRUE(PlanStep(std::span(&fork, 1), {}, 0, kLimits).items.empty());
  // A copy and a new block: two, though the sequence holds one more afterwards.
  SequenceView prefill = Prefill(20, 6);
  prefill.next_is_shared = true;
  const StepPlan two = PlanStep(std::span(&prefill, 1), {}, 2, kLimits);
  ASSERT_EQ(two.items.size(), 1u);
  EXPECT_EQ(two.items[0].new_blocks, 2);
  EXPECT_EQ(two.items[0].tokens, 6);
}

struct Simulated {
  SequenceView view;
  int64_t prompt = 0;
  int64_t answer_left = 0;
  int64_t idle_steps = 0;
};

// Plays whole lives of sequences under the guaranteed policy and checks every promise of the header in every step.
void PlayTrace(uint64_t seed) {
  std::mt19937_64 random(seed);
  auto draw = [&](int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random); };
  const StepLimits limits{draw(1, 9), draw(1, 40), draw(1, 8)};
  const int64_t pool = draw(20, 200);
  int64_t free_blocks = pool, promised = 0;
  std::vector<Simulated> running, waiting;
  int64_t to_come = 60, finished = 0, steps = 0;
  uint64_t step_number = 0;
  while (to_come > 0 || !running.empty() || !waiting.empty()) {
    ASSERT_LT(++steps, 20000) << "no progress, seed " << seed;
    while (to_come > 0 && draw(0, 2) == 0) {
      const int64_t prompt = draw(1, 60), answer = draw(1, 20);
      const int64_t blocks = (prompt + answer + limits.block_size - 1) / limits.block_size;
      --to_come;
      if (blocks > pool - promised) continue;  // admission refuses it
      promised += blocks;
      waiting.push_back({{0, prompt, 0, blocks, 0}, prompt, answer, 0});
    }
    std::vector<SequenceView> running_views, waiting_views;
    for (auto& s : running) running_views.push_back(s.view);
    for (auto& s : waiting) waiting_views.push_back(s.view);
    const StepPlan plan = PlanStep(running_views, waiting_views, free_blocks, limits);
    ASSERT_LE(running.size() + plan.admitted, std::max<size_t>(limits.max_num_seqs, running.size())) << seed;
    ASSERT_LE(plan.tokens, limits.max_num_batched_tokens) << seed;
    ASSERT_LE(plan.new_blocks, free_blocks) << seed;
    for (size_t i = 0; i < plan.admitted; ++i) running.push_back(waiting[i]);
    waiting.erase(waiting.begin(), waiting.begin() + static_cast<int64_t>(plan.admitted));
    ++step_number;
    if (!running.empty()) {
      ASSERT_FALSE(plan.items.empty()) << "an idle step with work, seed " << seed;
    }

    std::set<size_t> seen;
    int64_t tokens = 0, new_blocks = 0;
    for (auto& s : running) ++s.idle_steps;
    for (const StepItem& item : plan.items) {
      ASSERT_LT(item.index, running.size()) << seed;
      ASSERT_TRUE(seen.insert(item.index).second) << seed;
      Simulated& s = running[item.index];
      ASSERT_GE(item.tokens, 1) << seed;
      s.view.computed_tokens += item.tokens;
      s.view.blocks_held += item.new_blocks;
      s.view.last_step = step_number;
      s.idle_steps = 0;
      ASSERT_LE(s.view.computed_tokens, s.view.known_tokens) << seed;
      ASSERT_LE(s.view.computed_tokens, s.view.blocks_held * limits.block_size) << seed;
      ASSERT_LE(s.view.blocks_held, s.view.blocks_reserved) << seed;
      ASSERT_EQ(item.samples, s.view.computed_tokens == s.view.known_tokens) << seed;
      tokens += item.tokens;
      new_blocks += item.new_blocks;
      if (item.samples) {
        ++s.view.known_tokens;
        --s.answer_left;
      }
    }
    ASSERT_EQ(tokens, plan.tokens) << seed;
    ASSERT_EQ(new_blocks, plan.new_blocks) << seed;
    free_blocks -= new_blocks;
    for (size_t i = running.size(); i-- > 0;) {
      if (running[i].answer_left > 0 && draw(0, 99) > 0) {  // one in a hundred steps the client goes away
        ASSERT_LE(running[i].idle_steps, 20 * 80) << "starved, seed " << seed;
        continue;
      }
      free_blocks += running[i].view.blocks_held;
      promised -= running[i].view.blocks_reserved;
      running.erase(running.begin() + static_cast<int64_t>(i));
      ++finished;
    }
  }
  ASSERT_EQ(free_blocks, pool) << seed;
  ASSERT_EQ(promised, 0) << seed;
  ASSERT_GT(finished, 0) << seed;
}

TEST(PlanStep, RandomLivesKeepEveryPromise) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    PlayTrace(seed);
    if (HasFatalFailure()) return;
  }
}

TEST(PlanStep, MoreDecodesThanBudgetTakeTurns) {
  StepLimits limits{.max_num_seqs = 10, .max_num_batched_tokens = 3, .block_size = 4};
  std::vector<SequenceView> running(10, Decode(4));
  for (auto& view : running) view.blocks_reserved = 100;
  for (uint64_t step = 2; step < 2 + 40; ++step) {
    const StepPlan plan = PlanStep(running, {}, 1000, limits);
    ASSERT_EQ(plan.tokens, 3);
    for (const StepItem& item : plan.items) {
      SequenceView& view = running[item.index];
      ++view.computed_tokens;
      ++view.known_tokens;
      view.blocks_held += item.new_blocks;
      view.last_step = step;
    }
    if (step < 6) continue;
    for (const SequenceView& view : running) EXPECT_LT(step - view.last_step, 4u) << "ten decodes, three a step";
  }
}

TEST(PlanStep, DecodesLeaveAPrefillItsShare) {
  StepLimits limits{.max_num_seqs = 10, .max_num_batched_tokens = 8, .block_size = 4};
  std::vector<SequenceView> running(9, Decode(4));
  running.push_back(Prefill(30));
  const StepPlan plan = PlanStep(running, {}, 1000, limits);
  ASSERT_EQ(plan.items.size(), 8u);
  EXPECT_EQ(plan.items.back().index, 9u);
}

}  // namespace
}  // namespace headroom::llm_worker
