// Prompt ids of a golden case, built as the gateway builds them: chat template, placeholders, tokenizer.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/status.h"
#include "model/image/pieces.h"
#include "model/spec.h"
#include "model/text/prompt.h"
#include "model/text/tokenizer.h"
#include "tools/golden_check/golden_case.h"

namespace headroom::tools {

struct BuiltPrompt {
  std::vector<int32_t> ids;
  std::vector<std::array<int64_t, 2>> image_bounds;  // [begin, end), one a piece
};

class PromptIds {
 public:
  // Reads tokenizer and chat template of the directory. A directory without a template that we can render is no error
  // until a case needs it: raw texts do not.
  static absl::StatusOr<PromptIds> Load(const std::string& directory, const model::ModelSpec& config);

  // `pictures`: geometry of the pictures of the case, in order.
  absl::StatusOr<BuiltPrompt> Build(const GoldenCase& golden, const std::vector<model::PieceGeometry>& pictures) const;

  const model::Tokenizer& tokenizer() const { return *tokenizer_; }

 private:
  PromptIds() = default;
  absl::StatusOr<BuiltPrompt> BuildChat(const GoldenCase& golden,
                                        const std::vector<model::PieceGeometry>& pictures) const;

  std::unique_ptr<model::Tokenizer> tokenizer_;
  absl::StatusOr<model::PromptBuilder> builder_;
};

}  // namespace headroom::tools
