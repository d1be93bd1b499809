#include <xgrammar/xgrammar.h>

#include <algorithm>
#include <bit>
#include <exception>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/log.h"
#include "common/status.h"
#include "model/structured/token_grammar.h"

namespace headroom::model {
namespace {

// Runs a call into the library. Its exceptions hold file names and times: they go to the log and to nobody else.
template <typename Call>
absl::Status Fenced(const char* what, Call call) {
  std::string message;
  try {
    call();
    return absl::OkStatus();
  } catch (const std::exception& error) {
    message = error.what();
  } catch (...) {
    message = "unknown exception";
  }
  Log(LogLevel::kError, "grammar", what).With("error", message);
  return absl::InternalError("the grammar library failed");
}

class CompiledTokens final : public TokenGrammar {
 public:
  explicit CompiledTokens(xgrammar::CompiledGrammar grammar) : grammar_(std::move(grammar)) {}
  int64_t bytes() const override { return static_cast<int64_t>(grammar_.MemorySizeBytes()); }
  const xgrammar::CompiledGrammar& grammar() const { return grammar_; }

 private:
  xgrammar::CompiledGrammar grammar_;
};

class Matcher final : public TokenMatcher {
 public:
  Matcher(std::shared_ptr<const TokenGrammar> grammar, xgrammar::GrammarMatcher matcher, int vocab_size,
          std::vector<int32_t> end_ids)
      : grammar_(std::move(grammar)),
        matcher_(std::move(matcher)),
        vocab_size_(vocab_size),
        end_ids_(std::move(end_ids)) {}

  absl::Status Fill(std::span<uint32_t> mask) override {
    if (ended_) return absl::InvalidArgumentError("the answer has ended");
    if (static_cast<int64_t>(mask.size()) != (vocab_size_ + 31) / 32) {
      return absl::InvalidArgumentError(absl::StrCat("mask of ", mask.size(), " words for ", vocab_size_, " tokens"));
    }
    int64_t shape = static_cast<int64_t>(mask.size());
    DLTensor tensor{};
    tensor.data = mask.data();
    tensor.device = {kDLCPU, 0};
    tensor.ndim = 1;
    tensor.dtype = xgrammar::GetBitmaskDLType();
    tensor.shape = &shape;
    // What the library leaves alone when every token is allowed, which no JSON grammar does.
    std::ranges::fill(mask, ~uint32_t{0});
    HEADROOM_RETURN_IF_ERROR(Fenced("fill", [&] { matcher_.FillNextTokenBitmask(&tensor); }));
    only_end_is_left_ = false;
    HEADROOM_RETURN_IF_ERROR(Fenced("complete", [&] { complete_ = matcher_.IsCompleted(); }));
    if (complete_) {
      size_t allowed = 0, ends = 0;
      for (const uint32_t word : mask) allowed += static_cast<size_t>(std::popcount(word));
      for (const int32_t id : end_ids_) ends += mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1;
      only_end_is_left_ = allowed == ends;
    }
    return absl::OkStatus();
  }

  absl::Status Accept(int32_t token) override {
    bool accepted = false;
    if (!ended_ && token >= 0 && token < vocab_size_) {
      HEADROOM_RETURN_IF_ERROR(Fenced("accept", [&] { accepted = matcher_.AcceptToken(token); }));
    }
    if (!accepted) return absl::InvalidArgumentError(absl::StrCat("token ", token, " breaks the grammar"));
    ended_ = std::ranges::find(end_ids_, token) != end_ids_.end();
    return absl::OkStatus();
  }

  bool only_end_is_left() const override { return only_end_is_left_; }

 private:
  const std::shared_ptr<const TokenGrammar> grammar_;
  xgrammar::GrammarMatcher matcher_;
  const int vocab_size_;
  const std::vector<int32_t> end_ids_;
  bool ended_ = false, complete_ = false, only_end_is_left_ = false;
};

class Compiler final : public TokenGrammarCompiler {
 public:
  explicit Compiler(const xgrammar::TokenizerInfo& tokens)
      : vocab_size_(tokens.GetVocabSize()),
        // One thread: callers bring theirs. No cache: the worker's counts bytes. Masks are worked out when an answer
        // first needs them, for compiling all of them takes up to seconds.
        compiler_(tokens, /*max_threads=*/1, /*cache_enabled=*/false, /*max_memory_bytes=*/-1,
                  /*enable_dynamic_compilation=*/true) {}

  absl::StatusOr<std::shared_ptr<const TokenGrammar>> Compile(const std::string& ebnf) const override {
    std::shared_ptr<const TokenGrammar> grammar;
    HEADROOM_RETURN_IF_ERROR(
        Fenced("compile", [&] { grammar = std::make_shared<CompiledTokens>(compiler_.CompileGrammar(ebnf)); }));
    return grammar;
  }

  absl::StatusOr<std::unique_ptr<TokenMatcher>> Match(std::shared_ptr<const TokenGrammar> grammar,
                                                      std::span<const int32_t> end_ids) const override {
    std::vector<int32_t> ends;
    for (const int32_t id : end_ids) {
      if (id >= 0 && id < vocab_size_ && std::ranges::find(ends, id) == ends.end()) ends.push_back(id);
    }
    if (ends.empty()) return absl::InvalidArgumentError("structured output needs a token that ends the answer");
    std::unique_ptr<TokenMatcher> result;
    const auto& compiled = static_cast<const CompiledTokens&>(*grammar).grammar();
    HEADROOM_RETURN_IF_ERROR(Fenced("match", [&] {
      xgrammar::GrammarMatcher matcher(compiled, ends);
      result = std::make_unique<Matcher>(std::move(grammar), std::move(matcher), vocab_size_, std::move(ends));
    }));
    return result;
  }

 private:
  const int vocab_size_;
  mutable xgrammar::GrammarCompiler compiler_;  // its methods are thread-safe and not marked const
};

}  // namespace

bool TokenGrammarCompiler::IsAvailable() { return true; }

absl::StatusOr<std::unique_ptr<TokenGrammarCompiler>> TokenGrammarCompiler::Create(const Tokenizer& tokenizer,
                                                                                   int64_t vocab_size) {
  // An empty text is a token that no grammar allows: control tokens, and rows beyond the tokenizer.
  std::vector<std::string> texts(static_cast<size_t>(vocab_size));
  for (int32_t id = 0; id < std::min<int64_t>(tokenizer.vocab_size(), vocab_size); ++id) {
    if (!tokenizer.IsSpecial(id) && !tokenizer.IsControl(id)) {
      texts[static_cast<size_t>(id)] = std::string(tokenizer.TokenBytes(id));
    }
  }
  std::unique_ptr<TokenGrammarCompiler> compiler;
  HEADROOM_RETURN_IF_ERROR(Fenced("vocabulary", [&] {
    const auto kind =
        tokenizer.decoder().spells_bytes() ? xgrammar::VocabType::RAW : xgrammar::VocabType::BYTE_FALLBACK;
    const xgrammar::TokenizerInfo tokens(texts, kind, static_cast<int>(vocab_size), std::vector<int32_t>{});
    compiler = std::make_unique<Compiler>(tokens);
  }));
  return compiler;
}

}  // namespace headroom::model
