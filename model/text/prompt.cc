#include "model/text/prompt.h"

#include <utility>

#include "common/status.h"
#include "model/text/unicode.h"

namespace headroom::model {
namespace {

constexpr int64_t kPieceRowsMax = 65536;

absl::Status TooLong(int64_t tokens_max) {
  return absl::OutOfRangeError(absl::StrCat("the prompt is longer than the limit of ", tokens_max, " tokens"));
}

absl::Status NotShownOnce(int64_t image) {
  return absl::InvalidArgumentError(
      absl::StrCat("image ", image + 1, ": the chat template does not show each picture once"));
}

}  // namespace

absl::StatusOr<PromptBuilder> PromptBuilder::Create(const Tokenizer* tokenizer, ChatTemplate chat_template,
                                                    std::optional<PromptImages> images) {
  PromptBuilder builder(tokenizer, std::move(chat_template), std::move(images));
  HEADROOM_ASSIGN_OR_RETURN(builder.newline_, tokenizer->Encode("\n", AddedTokens::kNone, /*at_start=*/false));
  if (!builder.images_.has_value()) return builder;
  if (const auto& token = builder.images_->row_token) {
    if (*token < 0 || *token > Tokenizer::kTokenIdMax || !tokenizer->IsAdded(static_cast<int32_t>(*token))) {
      return absl::InvalidArgumentError(absl::StrCat("the tokenizer has no added token ", *token, ", image_token_id"));
    }
    builder.markers_.placeholder = static_cast<int32_t>(*token);
    return builder;
  }
  const ImageMarkers& markers = builder.images_->markers;
  const std::pair<const std::string*, int32_t*> ids[] = {{&markers.image_start, &builder.markers_.image_start},
                                                         {&markers.image_end, &builder.markers_.image_end},
                                                         {&markers.slice_start, &builder.markers_.slice_start},
                                                         {&markers.slice_end, &builder.markers_.slice_end},
                                                         {&markers.placeholder, &builder.markers_.placeholder},
                                                         {&markers.id_start, &builder.markers_.id_start},
                                                         {&markers.id_end, &builder.markers_.id_end}};
  for (const auto& [content, id] : ids) {
    HEADROOM_ASSIGN_OR_RETURN(*id, builder.ControlId(*content));
  }
  return builder;
}

absl::StatusOr<int32_t> PromptBuilder::ControlId(const std::string& content) const {
  const std::optional<int32_t> id = tokenizer_->TokenId(content);
  if (!id.has_value() || !tokenizer_->IsAdded(*id)) {
    return absl::InvalidArgumentError(absl::StrCat("the tokenizer has no added token ", content));
  }
  return *id;
}

absl::StatusOr<int64_t> PromptBuilder::ImageTokenCount(const ImagePart& image, int64_t index, bool use_image_id) const {
  if (!images_.has_value()) return absl::InvalidArgumentError("this model takes no images");
  const int64_t slices = static_cast<int64_t>(image.cols) * image.rows;
  const bool no_grid = image.cols == 0 && image.rows == 0;
  if (!no_grid && (image.cols < 1 || image.rows < 1 || slices > kSlicesMax)) {
    return absl::InvalidArgumentError(
        absl::StrCat("an image has a grid of ", image.cols, " x ", image.rows, " slices, the limit is ", kSlicesMax));
  }
  if (static_cast<int64_t>(image.piece_rows.size()) != 1 + slices) {
    return absl::InvalidArgumentError(
        absl::StrCat("an image of ", 1 + slices, " pieces has rows for ", image.piece_rows.size()));
  }
  if (TemplateShowsImages() && slices > 0) {
    return absl::InvalidArgumentError(absl::StrCat("an image of ", slices, " slices: this model reads one piece"));
  }
  int64_t tokens = TemplateShowsImages() ? 0 : 2 * (1 + slices);
  for (const int64_t rows : image.piece_rows) {
    if (rows < 1 || rows > kPieceRowsMax) {
      return absl::InvalidArgumentError(absl::StrCat("a piece of ", rows, " rows: 1 to ", kPieceRowsMax));
    }
    tokens += rows;
  }
  if (image.rows > 1) tokens += (image.rows - 1) * static_cast<int64_t>(newline_.size());
  if (use_image_id) {
    HEADROOM_ASSIGN_OR_RETURN(const std::vector<int32_t> number,
                              tokenizer_->Encode(std::to_string(index), AddedTokens::kNone, /*at_start=*/false));
    tokens += 2 + static_cast<int64_t>(number.size());
  }
  return tokens;
}

int64_t PromptBuilder::TextBytesMax(int64_t tokens_max) const { return tokenizer_->TextBytesMax(tokens_max); }

std::vector<int32_t> PromptBuilder::AnswerEnds() const {
  std::vector<int32_t> ids;
  if (const auto id = control_tokens_.FirstIn(chat_template_.behind_answer()); id.has_value()) ids.push_back(*id);
  const auto eos = ControlId(chat_template_.special_token("eos_token"));
  if (eos.ok()) ids.push_back(*eos);
  return ids;
}

absl::StatusOr<std::vector<PromptSegment>> PromptBuilder::Segments(const Conversation& conversation,
                                                                   int64_t tokens_max) const {
  if (conversation.text_bytes() > TextBytesMax(tokens_max)) return TooLong(tokens_max);
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<PromptSegment> segments,
                            chat_template_.Render(conversation, TemplateShowsImages()));
  return control_tokens_.Split(segments);
}

absl::StatusOr<Prompt> PromptBuilder::Build(const Conversation& conversation, bool use_image_id,
                                            int64_t tokens_max) const {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<PromptSegment> segments, Segments(conversation, tokens_max));
  Prompt prompt;
  std::string text;          // since the last control token
  bool space_taken = false;  // the last control token takes the white space behind it
  // `takes_space`: so does the next one the white space before it.
  const auto flush = [&](bool takes_space) -> absl::Status {
    if (static_cast<int64_t>(text.size()) > TextBytesMax(tokens_max)) return TooLong(tokens_max);
    std::string_view rest = text;
    if (space_taken) rest.remove_prefix(LeadingSpaceBytes(rest));
    if (takes_space) rest.remove_suffix(TrailingSpaceBytes(rest));
    HEADROOM_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                              tokenizer_->Encode(rest, AddedTokens::kNone, /*at_start=*/prompt.ids.empty()));
    text.clear();
    space_taken = false;
    prompt.ids.insert(prompt.ids.end(), ids.begin(), ids.end());
    return static_cast<int64_t>(prompt.ids.size()) > tokens_max ? TooLong(tokens_max) : absl::OkStatus();
  };
  int64_t images = 0;
  const std::vector<ImagePart> shown = TemplateShowsImages() ? conversation.images() : std::vector<ImagePart>();
  for (const PromptSegment& segment : segments) {
    if (segment.kind == PromptSegment::Kind::kText) {
      text += segment.text;
      continue;
    }
    if (segment.kind == PromptSegment::Kind::kImage) {
      HEADROOM_RETURN_IF_ERROR(flush(/*takes_space=*/false));
      HEADROOM_RETURN_IF_ERROR(AppendImage(segment.image, images++, use_image_id, tokens_max, &prompt));
    } else {
      HEADROOM_ASSIGN_OR_RETURN(const int32_t id, ControlId(segment.text));
      HEADROOM_RETURN_IF_ERROR(flush(tokenizer_->TakesSpaceBefore(id)));
      if (TemplateShowsImages() && id == markers_.placeholder) {
        if (images == static_cast<int64_t>(shown.size())) return NotShownOnce(images);
        HEADROOM_RETURN_IF_ERROR(AppendShown(shown[static_cast<size_t>(images)], images, tokens_max, &prompt));
        ++images;
      } else {
        prompt.ids.push_back(id);
      }
      space_taken = tokenizer_->TakesSpaceBehind(id);
    }
  }
  HEADROOM_RETURN_IF_ERROR(flush(/*takes_space=*/false));
  if (images < static_cast<int64_t>(shown.size())) return NotShownOnce(images);
  return prompt;
}

absl::StatusOr<Prompt> PromptBuilder::BuildText(std::string_view text, int64_t tokens_max) const {
  if (static_cast<int64_t>(text.size()) > TextBytesMax(tokens_max)) return TooLong(tokens_max);
  Prompt prompt{.ids = tokenizer_->surroundings().before, .pieces = {}};
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer_->Encode(text, AddedTokens::kNone));
  prompt.ids.insert(prompt.ids.end(), ids.begin(), ids.end());
  if (static_cast<int64_t>(prompt.ids.size()) > tokens_max) return TooLong(tokens_max);
  return prompt;
}

absl::Status PromptBuilder::AppendImage(const ImagePart& image, int64_t index, bool use_image_id, int64_t tokens_max,
                                        Prompt* prompt) const {
  HEADROOM_ASSIGN_OR_RETURN(const int64_t tokens, ImageTokenCount(image, index, use_image_id));
  if (static_cast<int64_t>(prompt->ids.size()) + tokens > tokens_max) return TooLong(tokens_max);
  if (use_image_id) {
    HEADROOM_ASSIGN_OR_RETURN(const std::vector<int32_t> number,
                              tokenizer_->Encode(std::to_string(index), AddedTokens::kNone, /*at_start=*/false));
    prompt->ids.push_back(markers_.id_start);
    prompt->ids.insert(prompt->ids.end(), number.begin(), number.end());
    prompt->ids.push_back(markers_.id_end);
  }
  auto rows = image.piece_rows.begin();
  AppendPiece(markers_.image_start, *rows++, markers_.image_end, prompt);
  for (int32_t row = 0; row < image.rows; ++row) {
    if (row > 0) prompt->ids.insert(prompt->ids.end(), newline_.begin(), newline_.end());
    for (int32_t col = 0; col < image.cols; ++col) {
      AppendPiece(markers_.slice_start, *rows++, markers_.slice_end, prompt);
    }
  }
  return absl::OkStatus();
}

void PromptBuilder::AppendPiece(int32_t start, int64_t rows, int32_t end, Prompt* prompt) const {
  prompt->ids.push_back(start);
  AppendRows(rows, prompt);
  prompt->ids.push_back(end);
}

void PromptBuilder::AppendRows(int64_t rows, Prompt* prompt) const {
  const int64_t begin = static_cast<int64_t>(prompt->ids.size());
  prompt->ids.insert(prompt->ids.end(), static_cast<size_t>(rows), markers_.placeholder);
  prompt->pieces.push_back({begin, static_cast<int64_t>(prompt->ids.size())});
}

absl::Status PromptBuilder::AppendShown(const ImagePart& image, int64_t index, int64_t tokens_max,
                                        Prompt* prompt) const {
  HEADROOM_ASSIGN_OR_RETURN(const int64_t tokens, ImageTokenCount(image, index, /*use_image_id=*/false));
  if (static_cast<int64_t>(prompt->ids.size()) + tokens > tokens_max) return TooLong(tokens_max);
  AppendRows(image.piece_rows.front(), prompt);
  return absl::OkStatus();
}

}  // namespace headroom::model
