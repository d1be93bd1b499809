// Byte-level BPE tokenizer read from a Hugging Face tokenizer.json; gives the ids that the reference library,
// `tokenizers`, gives. Text is UTF-8 throughout.
//
// Order of work: added tokens that are not "normalized" are cut out of the raw text; the rest is normalized (NFC), the
// remaining added tokens are cut out, what is left is split into words and each word is byte-pair encoded.
//
// What a file may hold: model BPE over bytes (without dropout, prefix or suffix), normalizer NFC or none, pre_tokenizer
// as in pre_tokenizer.h, decoder ByteLevel. The post_processor (ByteLevel, TemplateProcessing) is checked but never
// applied: what stands around a prompt comes from the chat template. Anything else is an error at load, never ignored.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "model/text/added_tokens.h"
#include "model/text/bpe.h"
#include "model/text/pre_tokenizer.h"

namespace headroom::model {

// Which added tokens Encode looks for.
enum class AddedTokens {
  kAll,         // as the reference does by default
  kNonSpecial,  // special ones are ordinary text (encode_special_tokens of the reference)
  kNone,        // for text of users: no added token's id comes back, whatever the text says
};

// Immutable after loading; every method is thread-safe.
class Tokenizer {
 public:
  static constexpr size_t kTextBytesMax = 16 * 1024 * 1024;
  static constexpr size_t kFileBytesMax = 128 * 1024 * 1024;
  static constexpr int32_t kTokenIdMax = 1024 * 1024 - 1;
  // Encode works in less than this times the size of its text (one long word is the worst: bpe.cc, MergeLong).
  static constexpr int64_t kWorkBytesPerTextByte = 64;

  // `json`: the contents of a tokenizer.json. Errors: INVALID_ARGUMENT saying what is wrong or not supported.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromJson(const std::string& json);
  // Errors as above; NOT_FOUND when the file cannot be read.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromFile(const std::string& path);

  // Ids of `text`, nothing put before or behind. Errors: INVALID_ARGUMENT when it is no UTF-8 or above kTextBytesMax.
  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text, AddedTokens added) const;

  // Text of `ids`; invalid bytes become U+FFFD, ids that do not exist are left out, with `skip_special` special tokens
  // as well.
  std::string Decode(std::span<const int32_t> ids, bool skip_special) const;

  // Bytes that an id stands for; empty when there is no such id. Lives as long as the tokenizer.
  std::string_view TokenBytes(int32_t id) const;

  // Id of an added token by its content, or of a vocabulary entry as spelled in the file.
  std::optional<int32_t> TokenId(const std::string& content) const;

  // No token stands for more.
  int64_t longest_token_bytes() const { return longest_token_bytes_; }

  // One more than the highest id.
  int32_t vocab_size() const { return static_cast<int32_t>(bytes_.size()); }
  bool IsAdded(int32_t id) const { return IsId(id) && (flags_[static_cast<size_t>(id)] & kAddedFlag) != 0; }
  bool IsSpecial(int32_t id) const { return IsId(id) && (flags_[static_cast<size_t>(id)] & kSpecialFlag) != 0; }

 private:
  friend class TokenizerLoader;
  static constexpr uint8_t kAddedFlag = 1;
  static constexpr uint8_t kSpecialFlag = 2;

  Tokenizer(Bpe bpe, PreTokenizer pre_tokenizer, AddedTokenMatcher raw, AddedTokenMatcher normalized)
      : bpe_(std::move(bpe)),
        pre_tokenizer_(std::move(pre_tokenizer)),
        raw_matcher_(std::move(raw)),
        normalized_matcher_(std::move(normalized)) {}

  bool IsId(int32_t id) const { return id >= 0 && id < vocab_size(); }
  absl::Status EncodeRaw(std::string_view text, AddedTokens added, std::vector<int32_t>* ids) const;
  absl::Status EncodeWords(std::string_view text, AddedTokens added, std::vector<int32_t>* ids) const;

  Bpe bpe_;
  PreTokenizer pre_tokenizer_;
  AddedTokenMatcher raw_matcher_;
  AddedTokenMatcher normalized_matcher_;
  bool nfc_ = false;
  int64_t longest_token_bytes_ = 0;
  std::vector<std::string> bytes_;  // by id
  std::vector<uint8_t> flags_;      // by id
  absl::flat_hash_map<std::string, int32_t> id_of_content_;
};

}  // namespace headroom::model
