// What a tokenizer is made of, whatever files say it: collected by their readers, put together by Build().
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "model/text/added_tokens.h"
#include "model/text/bpe.h"
#include "model/text/decoder.h"
#include "model/text/normalizer.h"
#include "model/text/post_processor.h"
#include "model/text/pre_tokenizer.h"
#include "model/text/tokenizer.h"

namespace headroom::model {

class TokenizerParts {
 public:
  TokenizerParts(Normalizer normalizer, PreTokenizer pre_tokenizer, Decoder decoder, Surroundings surroundings)
      : normalizer_(std::move(normalizer)),
        pre_tokenizer_(std::move(pre_tokenizer)),
        decoder_(std::move(decoder)),
        surroundings_(std::move(surroundings)) {}

  // Settings of the model.
  bool ignore_merges = false;
  bool fuse_unknown = false;
  bool byte_fallback = false;
  std::string unknown;  // spelling of the entry for unknown characters; empty: none

  // All errors are INVALID_ARGUMENT.
  //
  // An entry of the vocabulary, not empty, as the file spells it.
  absl::Status AddEntry(const std::string& token, int32_t id);
  // The next merge by rank; all entries were added. `left` and `right` as the file spells them.
  absl::Status AddMerge(const std::string& left, const std::string& right);
  // A merge with a rank of its own.
  void AddMerge(Bpe::Merge merge) { merges_.push_back(merge); }
  // An added token, after all entries. One of the same content replaces it, as far as the flags go.
  absl::Status AddToken(AddedToken token);
  // The same where another file speaks of the token: it is left out, with a line in the log, where it does not fit.
  void AddTokenIfItFits(AddedToken token);

  // Consumes this.
  absl::StatusOr<std::unique_ptr<Tokenizer>> Build();

 private:
  enum class Use : uint8_t { kNone, kEntry, kAddedOnly };

  absl::Status CheckId(const AddedToken& token) const;
  void Grow(int32_t id);
  absl::StatusOr<Bpe::Vocabulary> MakeVocabulary();
  absl::StatusOr<std::string> SoughtForm(const AddedToken& token) const;
  absl::StatusOr<AddedTokenMatcher> Matcher(bool normalized, bool text_only) const;
  int64_t TextBytesPerToken(const Bpe& bpe) const;

  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  Decoder decoder_;
  Surroundings surroundings_;
  std::vector<std::string> spellings_;  // by id
  std::vector<Use> uses_;               // by id
  absl::flat_hash_map<std::string, int32_t> ids_;
  std::vector<Bpe::Merge> merges_;
  std::map<int32_t, AddedToken> added_;
};

}  // namespace headroom::model
