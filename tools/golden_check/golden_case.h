// One case of a golden directory (tests/golden/README.md): what goes in, and what the reference made of it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/status.h"

namespace headroom::tools {

// A tensor of the expected file, fp32.
struct ExpectedTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;

  int64_t rows() const { return shape.empty() ? 1 : shape[0]; }
  int64_t row_values() const { return rows() == 0 ? 0 : static_cast<int64_t>(values.size()) / rows(); }
};

struct MessagePart {
  bool is_image = false;
  std::string value;  // text, or the path of a picture below the directory
};

struct GoldenMessage {
  std::string role;
  std::vector<MessagePart> parts;
};

struct GoldenCase {
  std::string name;
  std::vector<GoldenMessage> messages;  // one of these two,
  std::optional<std::string> text;      // or a raw string without template
  std::optional<int> max_slice_nums;

  std::vector<int32_t> prompt_ids;
  std::vector<std::array<int64_t, 2>> image_bounds;  // [begin, end) in prompt_ids, one a piece
  std::vector<std::array<int64_t, 2>> tgt_sizes;     // (rows, columns) of patches; in the file also grid_thw
  std::vector<std::string> piece_sha256;
  std::string pixels_sha256;                        // of the strips of all pieces
  std::vector<std::string> picture_sha256;          // of the resized pixels of each picture, where it is one piece
  std::vector<std::array<int64_t, 2>> vision_rows;  // (piece, patch)
  std::vector<int64_t> logits_prompt_positions;
  std::vector<int32_t> greedy_ids;
  std::vector<double> step_gaps;
  std::map<std::string, double> bf16_errors;  // "vision" → relative error of the reference's own bf16 run

  // vision, resampler or merger, logits_prompt, logits_steps, prompt_logprobs
  std::map<std::string, ExpectedTensor> tensors;

  const ExpectedTensor* Tensor(const std::string& tensor_name) const;
  int64_t images() const;
};

// Names of all cases of DIRECTORY/expected, sorted: the JSON files that hold an object with prompt_ids.
// INVALID_ARGUMENT when there are none.
absl::StatusOr<std::vector<std::string>> ListCases(const std::string& directory);

// Reads expected/NAME.json and expected/NAME.safetensors and checks that they fit each other.
absl::StatusOr<GoldenCase> LoadCase(const std::string& directory, const std::string& name);

// DIRECTORY/expected/tokenizer.json, when it is there and a list: strings with their ids and decoded text.
struct TokenizerString {
  std::string text;
  std::vector<int32_t> ids;
  std::string decoded;
};
absl::StatusOr<std::vector<TokenizerString>> LoadTokenizerStrings(const std::string& directory);

}  // namespace headroom::tools
