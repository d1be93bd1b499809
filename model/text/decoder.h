// Tokens to text, as the "decoder" of a tokenizer.json says: a chain of steps that each take a list of strings, at
// first the spelling of each token, and give another. Here the strings stream through: each step gives what it is
// certain of, so that an answer can be shown while it is written.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/utf8.h"
#include "model/text/pattern.h"

namespace headroom::model {

// Immutable and thread-safe.
class Decoder {
 public:
  // Reads ByteLevel, ByteFallback, Fuse, Metaspace, Replace, Strip and Sequence of those; null joins the tokens with
  // spaces between them. Errors: INVALID_ARGUMENT naming what is not supported; among it, behind Fuse, what needs the
  // whole text before it is certain of any.
  static absl::StatusOr<Decoder> FromJson(const nlohmann::json& json);
  // ByteLevel alone.
  static Decoder ByteLevel();

  // The string that stands for a token in a stream, from its spelling in the vocabulary. With ByteLevel as the first
  // step: its bytes.
  std::string Prepare(const std::string& token) const;
  // Whether Prepare gives bytes, else what the vocabulary spells.
  bool spells_bytes() const { return !steps_.empty() && steps_.front().kind == Kind::kByteLevel; }

  // One stretch of text. Not thread-safe; `decoder` must outlive it.
  class Stream {
   public:
    explicit Stream(const Decoder* decoder) : decoder_(decoder), states_(decoder->steps_.size()) {}

    // Appends the text that `token`, as Prepare gave it, makes certain: valid UTF-8 if the token is, or ByteLevel is
    // among the steps.
    void Add(std::string_view token, std::string* text);
    // Appends what was held back, and starts afresh.
    void Finish(std::string* text);

   private:
    struct State {
      bool began = false;    // a token came
      int64_t stripped = 0;  // kStrip: characters left out at the start
      bool past_start = false;
      std::string held;  // what a later token decides on: bytes of ByteFallback, the start of a match, a row of
                         // characters to strip
      Utf8Stream utf8;   // kByteLevel
    };

    // A whole string, or a part of the one that everything was fused to, arrives at a step.
    void AddString(size_t step, std::string_view string, std::string* text);
    void AddPart(size_t step, std::string_view part, std::string* text);
    void FlushBytes(size_t step, std::string* text);
    void ReplaceInPart(size_t step, std::string_view part, std::string* text);
    void StripPart(size_t step, std::string_view part, std::string* text);
    void End(size_t step, std::string* text);

    const Decoder* decoder_;
    std::vector<State> states_;
  };

 private:
  enum class Kind { kJoin, kByteLevel, kByteFallback, kFuse, kMetaspace, kReplace, kStrip };
  struct Step {
    Kind kind;
    Pattern pattern = {};         // kReplace
    std::string content = {};     // kReplace: instead of a match; kMetaspace, kStrip: a character
    bool drops_first = false;     // kMetaspace: in the first token, which has a space that no text had
    int64_t start = 0, stop = 0;  // kStrip: how many characters at most at either end
  };

  Decoder() = default;
  absl::Status Add(const nlohmann::json& json, int depth);
  absl::Status AddStrip(const nlohmann::json& json);
  bool fused() const;
  // What kReplace and kMetaspace put in place of a match in a string, the first one or another.
  static std::string_view ContentOf(const Step& step, bool first);

  std::vector<Step> steps_;
};

}  // namespace headroom::model
