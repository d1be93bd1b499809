#include "llm-worker/constrained_text.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace headroom::llm_worker {
namespace {

// A grammar's bytes are counted again after so many masks: each holds a few more states.
constexpr int64_t kFillsBetweenCounts = 32;

}  // namespace

ConstrainedText::ConstrainedText(std::shared_ptr<HeldGrammar> grammar, std::unique_ptr<model::TokenMatcher> matcher,
                                 std::vector<int32_t> after_ids, std::span<const int32_t> end_ids,
                                 std::span<const uint32_t> vocabulary)
    : grammar_(std::move(grammar)),
      matcher_(std::move(matcher)),
      after_ids_(std::move(after_ids)),
      fallback_(after_ids_.size()),
      mask_(vocabulary.begin(), vocabulary.end()) {
  for (size_t i = 1, length = 0; i < after_ids_.size(); ++i) {
    while (length > 0 && after_ids_[i] != after_ids_[length]) length = fallback_[length - 1];
    if (after_ids_[i] == after_ids_[length]) ++length;
    fallback_[i] = length;
  }
  // An answer that ended among the thoughts would have no text.
  for (const int32_t id : end_ids) mask_[static_cast<size_t>(id / 32)] &= ~(uint32_t{1} << (id % 32));
}

absl::Status ConstrainedText::Begin(std::span<const int32_t> ids) {
  for (const int32_t id : ids) HEADROOM_RETURN_IF_ERROR(Step(id));
  return holds() ? Fill() : absl::OkStatus();
}

absl::Status ConstrainedText::Step(int32_t id) {
  if (holds()) return matcher_->Accept(id);
  while (matched_ > 0 && after_ids_[matched_] != id) matched_ = fallback_[matched_ - 1];
  if (after_ids_[matched_] == id) ++matched_;
  return absl::OkStatus();
}

absl::Status ConstrainedText::Fill() {
  if (grammar_ != nullptr && fills_++ % kFillsBetweenCounts == 0) HEADROOM_RETURN_IF_ERROR(grammar_->Recount());
  return matcher_->Fill(mask_);
}

void ConstrainedText::Add(int32_t id) {
  HEADROOM_CHECK(ready()) << "two ids at once";
  next_ = id;
  ready_.store(false, std::memory_order_release);
}

void ConstrainedText::Work() {
  status_ = Step(next_);
  if (status_.ok() && holds()) status_ = Fill();
  ready_.store(true, std::memory_order_release);
}

MaskThreads::MaskThreads(int threads, int64_t texts_max)
    : pool_("llm-masks", threads, static_cast<size_t>(2 * texts_max)) {
  away_.reserve(static_cast<size_t>(2 * texts_max));
}

MaskThreads::~MaskThreads() { pool_.Shutdown(); }

void MaskThreads::Add(const std::shared_ptr<ConstrainedText>& text, int32_t id) {
  text->Add(id);
  {
    std::lock_guard lock(mutex_);
    away_.push_back(text);
  }
  const auto work = [this, raw = text.get()] {
    raw->Work();
    std::shared_ptr<ConstrainedText> last;  // dies outside of the lock, where its sequence has gone
    std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(away_, raw, &std::shared_ptr<ConstrainedText>::get);
    last = std::move(*found);
    *found = std::move(away_.back());
    away_.pop_back();
    if (away_.empty()) idle_.notify_all();
  };
  // Full of those whose sequences have gone meanwhile.
  if (!pool_.TrySubmit(work)) work();
}

void MaskThreads::WaitIdle(Duration wait_max) {
  std::unique_lock lock(mutex_);
  if (!away_.empty()) idle_.wait_for(lock, wait_max, [this] { return away_.empty(); });
}

}  // namespace headroom::llm_worker
