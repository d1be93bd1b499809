// A grammar over the tokens of a vocabulary: which tokens may come next. xgrammar does the work; it is seen here only,
// and so are its exceptions. A build without it (HEADROOM_XGRAMMAR) has this interface, too, and refuses to compile.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "model/text/tokenizer.h"

namespace headroom::model {

// A grammar compiled for a vocabulary. Immutable; shared by the answers that keep to it.
class TokenGrammar {
 public:
  virtual ~TokenGrammar() = default;
  // Host memory that it holds now: it grows with the states that answers visit. Counted anew, state by state.
  // Thread-safe.
  virtual int64_t bytes() const = 0;
};

// Where one answer stands. Not thread-safe, but may move between threads.
class TokenMatcher {
 public:
  virtual ~TokenMatcher() = default;

  // Sets bit i % 32 of word i / 32 for each token i that may come next and clears all others; ends of the answer are
  // among them only where the text is complete. `mask` has a bit for every id of the vocabulary.
  virtual absl::Status Fill(std::span<uint32_t> mask) = 0;
  // Steps over a token. INVALID_ARGUMENT for one that Fill would not have set.
  virtual absl::Status Accept(int32_t token) = 0;
  // The text is complete and nothing but an end may follow. Known after Fill.
  virtual bool only_end_is_left() const = 0;
};

// Thread-safe.
class TokenGrammarCompiler {
 public:
  // Whether this build has the library.
  static bool IsAvailable();
  // What to do where it has not.
  static const char* HowToGetIt() { return "run tools/fetch-xgrammar and build again"; }

  // `tokenizer` is read here only. Ids from its vocab_size() to `vocab_size`, rows of a padded model, are never
  // allowed. UNIMPLEMENTED where the build lacks the library.
  static absl::StatusOr<std::unique_ptr<TokenGrammarCompiler>> Create(const Tokenizer& tokenizer, int64_t vocab_size);
  virtual ~TokenGrammarCompiler() = default;

  // `ebnf`: of TextGrammar, which bounds the time that this takes. INTERNAL when the library refuses it.
  virtual absl::StatusOr<std::shared_ptr<const TokenGrammar>> Compile(const std::string& ebnf) const = 0;
  // `end_ids`: tokens that end an answer; at least one.
  virtual absl::StatusOr<std::unique_ptr<TokenMatcher>> Match(std::shared_ptr<const TokenGrammar> grammar,
                                                              std::span<const int32_t> end_ids) const = 0;
};

}  // namespace headroom::model
