// Cuts a stretch of text into the words that BPE then encodes one by one, as the "pre_tokenizer" of a tokenizer.json
// says.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "model/text/pattern.h"

namespace headroom::model {

// Immutable and thread-safe.
class PreTokenizer {
 public:
  // Reads ByteLevel, Split, Digits, Metaspace, Punctuation, Whitespace, WhitespaceSplit, CharDelimiterSplit,
  // BertPreTokenizer and Sequence of those; null is no step. Errors: INVALID_ARGUMENT naming what is not supported, or
  // steps that together make a text more than kGrowthMax times as long.
  static absl::StatusOr<PreTokenizer> FromJson(const nlohmann::json& json);

  static constexpr int64_t kGrowthMax = 16;

  // What words are spelled in: bytes when ByteLevel is the last step (its alphabet is not written out then), else
  // characters.
  bool words_are_bytes() const { return words_are_bytes_; }
  // All words of a text together are at most this many times as long, apart from prefixes of ByteLevel and Metaspace.
  int64_t growth_max() const;
  // Some text is in no word.
  bool drops_text() const;

  // Calls `emit` with each word of `text` (valid UTF-8), in order; none is empty. A word may live only during the call.
  // `at_start`: nothing stands before `text`. Errors: what `emit` returns, or as SplitRegex::FindMatches.
  absl::Status Split(std::string_view text, bool at_start,
                     absl::FunctionRef<absl::Status(std::string_view)> emit) const;

 private:
  // What becomes of a match: a piece by itself, nothing, one piece with the matches around it, or a part of the piece
  // before or behind it.
  enum class Behavior { kIsolated, kRemoved, kContiguous, kMergedWithPrevious, kMergedWithNext };
  enum class Prefix { kNever, kFirst, kAlways };
  // In this order: spaces are replaced, the prefix is put before a piece that does not start with it, the piece is cut,
  // the parts are spelled in the byte alphabet.
  struct Step {
    std::string space = {};  // what a space becomes; empty: stays
    std::string prefix = {};
    Prefix prefix_where = Prefix::kNever;
    bool cuts = false;
    Pattern pattern = {};
    Behavior behavior = Behavior::kIsolated;
    bool invert = false;  // the gaps between matches are the matches
    bool spells = false;
  };
  struct Piece {
    std::string_view text;
    bool at_start;
  };
  using Emit = absl::FunctionRef<absl::Status(std::string_view)>;

  PreTokenizer() = default;
  absl::Status Add(const nlohmann::json& json, int depth);
  absl::Status AddSplit(const nlohmann::json& json);
  absl::Status AddByteLevel(const nlohmann::json& json);
  absl::Status AddMetaspace(const nlohmann::json& json);
  absl::Status AddCut(std::string_view oniguruma, Behavior behavior);
  static absl::StatusOr<Behavior> ReadBehavior(const std::string& name);
  static absl::Status Cut(const Step& step, std::string_view text, Emit emit);
  absl::Status SplitFrom(size_t step, Piece piece, Emit emit) const;

  std::vector<Step> steps_;
  bool words_are_bytes_ = false;
};

}  // namespace headroom::model
