// Grammars for the model's vocabulary: compiled once for all requests with the same text, kept as long as they are used
// and then as long as there is room.
//
// A grammar grows while answers keep to it, by the states that they visit. When all together are above bytes_max, those
// that nobody uses go, the one that was used longest ago first; when that is not enough, no new one is made, and the
// largest ends the answers that make it grow.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "common/status.h"
#include "model/structured/token_grammar.h"
#include "model/text/tokenizer.h"

namespace headroom::llm_worker {

class GrammarStore;

// A grammar in use. Its store outlives it.
class HeldGrammar {
 public:
  HeldGrammar(GrammarStore& store, std::string key, std::shared_ptr<const model::TokenGrammar> grammar)
      : store_(store), key_(std::move(key)), grammar_(std::move(grammar)) {}
  const std::shared_ptr<const model::TokenGrammar>& grammar() const { return grammar_; }
  // Counts its bytes again. RESOURCE_EXHAUSTED when it is the largest of too many.
  absl::Status Recount();

 private:
  friend class GrammarStore;
  GrammarStore& store_;
  const std::string key_;  // SHA-256 of the schema's text
  const std::shared_ptr<const model::TokenGrammar> grammar_;
  int64_t bytes_ = 0;  // under the store's lock
};

// Thread-safe.
class GrammarStore {
 public:
  explicit GrammarStore(int64_t bytes_max) : bytes_max_(bytes_max) {}

  // Before the first Get; `tokenizer` is read here only. Nothing happens where the build lacks the library.
  // `vocabulary`: a bit for each id that may be drawn.
  absl::Status Open(const model::Tokenizer& tokenizer, int64_t vocab_size, std::vector<uint32_t> vocabulary);
  const std::vector<uint32_t>& vocabulary() const { return vocabulary_; }

  // The grammar of a JSON Schema, or of any JSON object where `schema` is empty. Takes as long as it takes to compile:
  // not for threads that must not block. INVALID_ARGUMENT with the schema's JSON pointer; UNIMPLEMENTED where there is
  // no library or no tokenizer; RESOURCE_EXHAUSTED when those in use leave no room.
  absl::StatusOr<std::shared_ptr<HeldGrammar>> Get(const std::string& schema);
  // `end_ids`: at least one.
  absl::StatusOr<std::unique_ptr<model::TokenMatcher>> Match(const HeldGrammar& grammar,
                                                             std::span<const int32_t> end_ids) const;

  struct Stats {
    int64_t bytes = 0;
    int64_t grammars = 0;
    int64_t compiled = 0;  // so far
  };
  Stats Stat() const;

 private:
  friend class HeldGrammar;
  using Entry = std::shared_ptr<HeldGrammar>;

  absl::StatusOr<Entry> Compile(const std::string& key, const std::string& schema);
  absl::Status Recount(HeldGrammar& grammar);
  Entry FindLocked(const std::string& key);
  void DropUnusedLocked();
  absl::Status TooMuchLocked() const;

  const int64_t bytes_max_;
  mutable std::mutex mutex_;
  std::condition_variable compiled_;
  std::unique_ptr<model::TokenGrammarCompiler> compiler_;
  std::vector<uint32_t> vocabulary_;
  std::list<Entry> entries_;         // the one that was asked for last comes first
  std::set<std::string> compiling_;  // keys
  int64_t bytes_ = 0;
  int64_t compiled_so_far_ = 0;
};

}  // namespace headroom::llm_worker
