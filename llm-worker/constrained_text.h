// Keeps one choice to a grammar: which ids may come next. From behind the end of the model's thoughts on, where it has
// any; until then every id but the ends of the answer may come.
//
// The engine's thread and one of MaskThreads take turns with it: Add() gives it away, ready() says that it is back.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "common/clock.h"
#include "common/status.h"
#include "common/thread_pool.h"
#include "llm-worker/grammar_store.h"
#include "model/structured/token_grammar.h"

namespace headroom::llm_worker {

class ConstrainedText {
 public:
  // `after_ids`: the constraint holds behind their first run in the answer; none: from the first id. `vocabulary`: a
  // bit for each id that may be drawn at all; `end_ids` among them. Masks go where this copy of it lies.
  ConstrainedText(std::shared_ptr<HeldGrammar> grammar, std::unique_ptr<model::TokenMatcher> matcher,
                  std::vector<int32_t> after_ids, std::span<const int32_t> end_ids,
                  std::span<const uint32_t> vocabulary);

  // Steps over ids that the choice has already and works out what may follow; once, before anybody else has it.
  // INVALID_ARGUMENT when the ids break the grammar.
  absl::Status Begin(std::span<const int32_t> ids);

  // By its owner, while ready: the next id of the choice. Not ready until Work() has run.
  void Add(int32_t id);
  bool ready() const { return ready_.load(std::memory_order_acquire); }
  // While ready. SeenWords(vocabulary) words.
  std::span<const uint32_t> allowed() const { return mask_; }
  // The text is whole and only an end may follow.
  bool whole() const { return holds() && status_.ok() && matcher_->only_end_is_left(); }
  // Why the choice cannot go on.
  const absl::Status& status() const { return status_; }

  // On one of MaskThreads, after Add().
  void Work();

 private:
  bool holds() const { return matched_ == after_ids_.size(); }
  absl::Status Step(int32_t id);
  absl::Status Fill();

  const std::shared_ptr<HeldGrammar> grammar_;
  const std::unique_ptr<model::TokenMatcher> matcher_;
  const std::vector<int32_t> after_ids_;
  std::vector<size_t> fallback_;  // of each prefix of after_ids, how long a shorter one ends it (Knuth, Morris, Pratt)
  size_t matched_ = 0;            // ids of after_ids that the answer ends with
  std::vector<uint32_t> mask_;
  absl::Status status_;
  int32_t next_ = -1;
  int64_t fills_ = 0;
  std::atomic<bool> ready_ = true;
};

// Threads that work out masks beside the steps.
class MaskThreads {
 public:
  // `texts_max`: of sequences at once. Those that ended while they were away may come on top.
  MaskThreads(int threads, int64_t texts_max);
  ~MaskThreads();

  // Adds the id and lets a thread work out what may follow it.
  void Add(const std::shared_ptr<ConstrainedText>& text, int32_t id);
  // Returns when no text is away, or after so long.
  void WaitIdle(Duration wait_max);

 private:
  std::mutex mutex_;
  std::condition_variable idle_;
  std::vector<std::shared_ptr<ConstrainedText>> away_;  // kept alive
  ThreadPool pool_;
};

}  // namespace headroom::llm_worker
