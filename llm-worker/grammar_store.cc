#include "llm-worker/grammar_store.h"

#include <algorithm>
#include <utility>

#include "model/sha256.h"
#include "model/structured/structured_text.h"

namespace headroom::llm_worker {

absl::Status HeldGrammar::Recount() { return store_.Recount(*this); }

absl::Status GrammarStore::Open(const model::Tokenizer& tokenizer, int64_t vocab_size,
                                std::vector<uint32_t> vocabulary) {
  if (!model::TokenGrammarCompiler::IsAvailable()) return absl::OkStatus();
  HEADROOM_ASSIGN_OR_RETURN(auto compiler, model::TokenGrammarCompiler::Create(tokenizer, vocab_size));
  std::lock_guard lock(mutex_);
  compiler_ = std::move(compiler);
  vocabulary_ = std::move(vocabulary);
  return absl::OkStatus();
}

absl::StatusOr<GrammarStore::Entry> GrammarStore::Get(const std::string& schema) {
  model::Sha256 hash;
  hash.UpdateField(schema);
  const std::string key = hash.Finish();
  {
    std::unique_lock lock(mutex_);
    if (compiler_ == nullptr) {
      return absl::UnimplementedError(absl::StrCat("constraint: this worker cannot keep to a grammar; ",
                                                   model::TokenGrammarCompiler::IsAvailable()
                                                       ? "its model has no tokenizer"
                                                       : model::TokenGrammarCompiler::HowToGetIt()));
    }
    // Who asks for what another compiles waits for it, and tries itself where that failed.
    compiled_.wait(lock, [&] { return !compiling_.contains(key); });
    if (Entry found = FindLocked(key)) return found;
    DropUnusedLocked();
    if (bytes_ > bytes_max_) return TooMuchLocked();
    compiling_.insert(key);
  }
  absl::StatusOr<Entry> made = Compile(key, schema);
  {
    std::lock_guard lock(mutex_);
    compiling_.erase(key);
    if (made.ok()) {
      bytes_ += (*made)->bytes_;
      ++compiled_so_far_;
      entries_.push_front(*made);
      DropUnusedLocked();
      if (bytes_ > bytes_max_) {
        bytes_ -= (*made)->bytes_;
        entries_.pop_front();
        made = TooMuchLocked();
      }
    }
  }
  compiled_.notify_all();
  return made;
}

absl::StatusOr<GrammarStore::Entry> GrammarStore::Compile(const std::string& key, const std::string& schema) {
  HEADROOM_ASSIGN_OR_RETURN(const model::TextGrammar text,
                            schema.empty() ? model::GrammarOfObjects() : model::GrammarOfSchema(schema));
  HEADROOM_ASSIGN_OR_RETURN(auto grammar, compiler_->Compile(text.ebnf));
  auto entry = std::make_shared<HeldGrammar>(*this, key, std::move(grammar));
  entry->bytes_ = entry->grammar_->bytes();
  return entry;
}

absl::StatusOr<std::unique_ptr<model::TokenMatcher>> GrammarStore::Match(const HeldGrammar& grammar,
                                                                         std::span<const int32_t> end_ids) const {
  return compiler_->Match(grammar.grammar(), end_ids);
}

absl::Status GrammarStore::Recount(HeldGrammar& grammar) {
  const int64_t bytes = grammar.grammar_->bytes();
  std::lock_guard lock(mutex_);
  bytes_ += bytes - grammar.bytes_;
  grammar.bytes_ = bytes;
  DropUnusedLocked();
  if (bytes_ <= bytes_max_) return absl::OkStatus();
  const bool largest = std::ranges::all_of(entries_, [&](const Entry& other) { return other->bytes_ <= bytes; });
  return largest ? TooMuchLocked() : absl::OkStatus();
}

GrammarStore::Entry GrammarStore::FindLocked(const std::string& key) {
  const auto found = std::ranges::find(entries_, key, [](const Entry& entry) { return entry->key_; });
  if (found == entries_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found);
  return entries_.front();
}

void GrammarStore::DropUnusedLocked() {
  for (auto entry = entries_.end(); bytes_ > bytes_max_ && entry != entries_.begin();) {
    --entry;
    // Only the store hands them out, so that nobody takes one that it alone holds.
    if (entry->use_count() > 1) continue;
    bytes_ -= (*entry)->bytes_;
    entry = entries_.erase(entry);
  }
}

absl::Status GrammarStore::TooMuchLocked() const {
  return absl::ResourceExhaustedError(
      absl::StrCat("grammars of structured output hold ", bytes_, " bytes, limit ", bytes_max_));
}

GrammarStore::Stats GrammarStore::Stat() const {
  std::lock_guard lock(mutex_);
  return {.bytes = bytes_, .grammars = static_cast<int64_t>(entries_.size()), .compiled = compiled_so_far_};
}

}  // namespace headroom::llm_worker
