// Token ids of a chat prompt with images, as the published processor of MiniCPM-V 2.6 gives them.
//
// The text between two special tokens is tokenized in one piece, template and user text together, as the reference does
// with its rendered string, without the white space that these tokens take (lstrip, rstrip); control tokens
// (Tokenizer::IsControl) are looked for only in what the template itself wrote (control_tokens.h). So "<image>" typed
// by a user is ordinary text, and every control id of a prompt comes from here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/image_markers.h"
#include "model/text/chat_template.h"
#include "model/text/control_tokens.h"
#include "model/text/tokenizer.h"

namespace headroom::model {

// How the prompts of a model show images.
struct PromptImages {
  ImageMarkers markers;
  // Set: the chat template is given pictures as parts of a message ({"type": "image"}) and writes what stands around
  // them, and this token once for each; it is repeated for each row of the picture. The other members mean nothing
  // then.
  std::optional<int64_t> row_token = {};
  bool use_image_id = true;  // where a request does not say
};

// Positions [begin, end) of a prompt.
struct TokenSpan {
  int64_t begin = 0;
  int64_t end = 0;
  bool operator==(const TokenSpan&) const = default;
};

struct Prompt {
  std::vector<int32_t> ids;
  // One per piece: images in order, of each the overview, then its slices row by row. Each is as long as the piece has
  // rows and holds only the placeholder id, which stands nowhere else in `ids`.
  std::vector<TokenSpan> pieces;
};

// Immutable and thread-safe.
class PromptBuilder {
 public:
  static constexpr int32_t kSlicesMax = 1024;

  // `tokenizer` must outlive this. `images`: absent for a model without images.
  // Errors: INVALID_ARGUMENT when the tokenizer lacks one of the special tokens that the markers name. What a template
  // writes and no added token is, is text.
  static absl::StatusOr<PromptBuilder> Create(const Tokenizer* tokenizer, ChatTemplate chat_template,
                                              std::optional<PromptImages> images);

  // Tokens that image number `index` (from 0, over the whole prompt) takes, markers included: what admission prices.
  // Error: INVALID_ARGUMENT for a grid that is not 0 × 0 and not 1 to kSlicesMax slices, for rows that are not those of
  // its pieces, or when the model takes no images.
  absl::StatusOr<int64_t> ImageTokenCount(const ImagePart& image, int64_t index, bool use_image_id) const;

  // Errors: INVALID_ARGUMENT as in ChatTemplate::Render, ImageTokenCount and Tokenizer::Encode; OUT_OF_RANGE for a
  // prompt of more than `tokens_max` ids. Text above TextBytesMax is refused before any work on it.
  absl::StatusOr<Prompt> Build(const Conversation& conversation, bool use_image_id, int64_t tokens_max) const;
  absl::StatusOr<Prompt> Build(const Conversation& conversation, int64_t tokens_max) const {
    return Build(conversation, images_.has_value() && images_->use_image_id, tokens_max);
  }

  // A text as it is, behind the ids that the tokenizer puts before one. Whatever it says, it holds no control token and
  // no image. Errors as those of Build.
  absl::StatusOr<Prompt> BuildText(std::string_view text, int64_t tokens_max) const;

  const ChatTemplate& chat_template() const { return chat_template_; }

  // Longer text has more than `tokens_max` tokens for certain, whatever it says.
  int64_t TextBytesMax(int64_t tokens_max) const;

  // The tokens that end an answer: the one that the template writes behind it, and eos_token.
  std::vector<int32_t> AnswerEnds() const;

 private:
  // Ids of the members of ImageMarkers.
  struct MarkerIds {
    int32_t image_start, image_end, slice_start, slice_end, placeholder, id_start, id_end;
  };

  PromptBuilder(const Tokenizer* tokenizer, ChatTemplate chat_template, std::optional<PromptImages> images)
      : tokenizer_(tokenizer),
        chat_template_(std::move(chat_template)),
        control_tokens_(*tokenizer),
        images_(std::move(images)) {}

  bool TemplateShowsImages() const { return images_.has_value() && images_->row_token.has_value(); }
  absl::StatusOr<std::vector<PromptSegment>> Segments(const Conversation& conversation, int64_t tokens_max) const;
  absl::StatusOr<int32_t> ControlId(const std::string& content) const;
  absl::Status AppendImage(const ImagePart& image, int64_t index, bool use_image_id, int64_t tokens_max,
                           Prompt* prompt) const;
  void AppendPiece(int32_t start, int64_t rows, int32_t end, Prompt* prompt) const;
  void AppendRows(int64_t rows, Prompt* prompt) const;
  // The rows of a picture in the place of its token.
  absl::Status AppendShown(const ImagePart& image, int64_t index, int64_t tokens_max, Prompt* prompt) const;

  const Tokenizer* tokenizer_;
  ChatTemplate chat_template_;
  ControlTokens control_tokens_;
  std::optional<PromptImages> images_;
  MarkerIds markers_{};
  std::vector<int32_t> newline_;  // between two rows of slices
};

}  // namespace headroom::model
