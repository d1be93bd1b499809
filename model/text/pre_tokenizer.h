// Cuts a stretch of text into the words that BPE then encodes one by one, as the "pre_tokenizer" of a tokenizer.json
// says.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "model/text/split_regex.h"

namespace headroom::model {

class PreTokenizer {
 public:
  // Reads ByteLevel, Split (behaviour Isolated; a Regex or a String) and Sequence of those. ByteLevel must be there,
  // last: without it a vocabulary is not byte-level. Errors: INVALID_ARGUMENT naming what is not supported.
  static absl::StatusOr<PreTokenizer> FromJson(const nlohmann::json& json);

  // Calls `emit` with each word of `text` (valid UTF-8), in order; none is empty. A word may live only during the call.
  absl::Status Split(std::string_view text, absl::FunctionRef<absl::Status(std::string_view)> emit) const;

 private:
  struct Step {
    bool add_prefix_space = false;  // put a space before a piece that does not start with one
    std::optional<SplitRegex> regex;
  };

  PreTokenizer() = default;
  absl::Status Add(const nlohmann::json& json, int depth);
  absl::Status SplitFrom(size_t step, std::string_view piece,
                         absl::FunctionRef<absl::Status(std::string_view)> emit) const;

  std::vector<Step> steps_;
  bool byte_level_ = false;
};

}  // namespace headroom::model
