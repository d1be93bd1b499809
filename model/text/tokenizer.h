// BPE tokenizer read from the files of a model directory; gives the ids that the reference library, `tokenizers`,
// gives. Text is UTF-8 throughout.
//
// Order of work: added tokens that are not "normalized" are cut out of the raw text; the rest is normalized, the
// remaining added tokens are cut out, what is left is split into words and each word is byte-pair encoded.
//
// docs/tokenizers.md says which files load. Each part has a file of its own: normalizer, pre_tokenizer, bpe,
// added_tokens, post_processor, decoder. What is not supported is an error at load, never ignored.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
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

namespace headroom::model {

// Which added tokens Encode looks for.
enum class AddedTokens {
  kAll,         // as the reference does by default
  kNonSpecial,  // special ones are ordinary text (encode_special_tokens of the reference)
  kNone,        // for text of users: no id for which IsControl() comes back, whatever the text says, but the one for
                // characters that the vocabulary does not know
};

// Immutable after loading; every method is thread-safe.
class Tokenizer {
 public:
  static constexpr size_t kTextBytesMax = 16 * 1024 * 1024;
  static constexpr size_t kFileBytesMax = 128 * 1024 * 1024;
  static constexpr int32_t kTokenIdMax = 1024 * 1024 - 1;

  // `json`: the contents of a tokenizer.json; `tokenizer_config`: those of the tokenizer_config.json beside it, of
  // which added_tokens_decoder is read, or nothing. Errors: INVALID_ARGUMENT saying what is wrong or not supported.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromJson(const std::string& json,
                                                             const std::string& tokenizer_config = "");
  // `ranks`: the contents of a tiktoken.model, lines of base64 and a rank. What such a file lacks, the pattern that
  // splits words, is known for the tokenizer_class that `tokenizer_config` names. Errors as above.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromTiktoken(const std::string& ranks,
                                                                 const std::string& tokenizer_config);
  // Errors as above; NOT_FOUND when there is no file, or none that can be read.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromFile(const std::string& path);
  // The tokenizer of a model: tokenizer.json, else tiktoken.model or another file of that form.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromDirectory(const std::string& directory);

  // Ids of `text`, nothing put before or behind. `at_start`: no text stands before it, which matters to tokenizers that
  // put a space before the first word. Errors: INVALID_ARGUMENT when it is no UTF-8 or above kTextBytesMax.
  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text, AddedTokens added, bool at_start = true) const;

  // Text of `ids`; invalid bytes become U+FFFD, ids that do not exist are left out, with `skip_special` special tokens
  // as well.
  std::string Decode(std::span<const int32_t> ids, bool skip_special) const;

  // What the decoder takes for an id: with byte-level BPE its bytes, else its spelling. Empty when there is no such id.
  // Lives as long as the tokenizer.
  std::string_view TokenBytes(int32_t id) const;
  const Decoder& decoder() const { return decoder_; }

  // Id of an added token by its content, or of a vocabulary entry as spelled in the file.
  std::optional<int32_t> TokenId(const std::string& content) const;

  // Ids that stand around a text by itself, where nothing else writes them.
  const Surroundings& surroundings() const { return surroundings_; }

  // Longer text has more than `tokens` ids for certain, whatever it says.
  int64_t TextBytesMax(int64_t tokens) const;
  // Encode works in less than this times the size of its text (one long word is the worst: bpe.cc, MergeLong).
  int64_t work_bytes_per_text_byte() const {
    return kWorkBytes * normalizer_.growth_max() * pre_tokenizer_.growth_max();
  }

  // One more than the highest id.
  int32_t vocab_size() const { return static_cast<int32_t>(tokens_.size()); }
  bool IsAdded(int32_t id) const { return Has(id, kAddedFlag); }
  bool IsSpecial(int32_t id) const { return Has(id, kSpecialFlag); }
  // An added token that may steer the model: not those that are white space or one character, and not special.
  bool IsControl(int32_t id) const { return IsAdded(id) && !Has(id, kTextFlag); }
  // White space before and behind this added token belongs to it.
  bool TakesSpaceBefore(int32_t id) const { return Has(id, kTakesSpaceBefore); }
  bool TakesSpaceBehind(int32_t id) const { return Has(id, kTakesSpaceBehind); }

 private:
  friend class TokenizerParts;
  static constexpr int64_t kWorkBytes = 64;
  static constexpr uint8_t kAddedFlag = 1;
  static constexpr uint8_t kSpecialFlag = 2;
  static constexpr uint8_t kTextFlag = 4;
  static constexpr uint8_t kTakesSpaceBefore = 8;
  static constexpr uint8_t kTakesSpaceBehind = 16;

  // A stretch of text on its way.
  struct Stretch {
    std::string_view text;
    bool at_start;
  };

  Tokenizer(Bpe bpe, Normalizer normalizer, PreTokenizer pre_tokenizer, Decoder decoder)
      : bpe_(std::move(bpe)),
        normalizer_(std::move(normalizer)),
        pre_tokenizer_(std::move(pre_tokenizer)),
        decoder_(std::move(decoder)) {}

  bool Has(int32_t id, uint8_t flag) const {
    return id >= 0 && id < vocab_size() && (flags_[static_cast<size_t>(id)] & flag) != 0;
  }
  absl::Status EncodeRaw(Stretch stretch, AddedTokens added, std::vector<int32_t>* ids) const;
  absl::Status EncodeWords(Stretch stretch, AddedTokens added, std::vector<int32_t>* ids) const;

  Bpe bpe_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  Decoder decoder_;
  Surroundings surroundings_;
  // Of all added tokens, and of those that are text to kNone.
  AddedTokenMatcher raw_, normalized_, raw_text_, normalized_text_;
  int64_t text_bytes_per_token_ = 0;
  std::vector<std::string> tokens_;  // by id, prepared for the decoder
  std::vector<uint8_t> flags_;       // by id
  absl::flat_hash_map<std::string, int32_t> id_of_content_;
};

}  // namespace headroom::model
