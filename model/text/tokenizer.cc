#include "model/text/tokenizer.h"

#include "common/status.h"
#include "common/utf8.h"
#include "model/text/unicode.h"

namespace headroom::model {

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text, AddedTokens added) const {
  if (text.size() > kTextBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("the text has ", text.size(), " bytes, the limit is ", kTextBytesMax));
  }
  if (!IsValidUtf8(text)) return absl::InvalidArgumentError("the text is not valid UTF-8");
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 8);
  if (added == AddedTokens::kNone) {
    HEADROOM_RETURN_IF_ERROR(EncodeRaw(text, added, &ids));
    return ids;
  }
  for (const TextSpan& span : raw_matcher_.Split(text, added == AddedTokens::kNonSpecial)) {
    if (span.id >= 0) {
      ids.push_back(span.id);
    } else {
      HEADROOM_RETURN_IF_ERROR(EncodeRaw(span.text, added, &ids));
    }
  }
  return ids;
}

absl::Status Tokenizer::EncodeRaw(std::string_view text, AddedTokens added, std::vector<int32_t>* ids) const {
  std::string normalized;
  if (nfc_ && MayNeedNfc(text)) {
    HEADROOM_ASSIGN_OR_RETURN(normalized, ToNfc(text));
    text = normalized;
  }
  if (added == AddedTokens::kNone) return EncodeWords(text, added, ids);
  for (const TextSpan& span : normalized_matcher_.Split(text, added == AddedTokens::kNonSpecial)) {
    if (span.id >= 0) {
      ids->push_back(span.id);
    } else {
      HEADROOM_RETURN_IF_ERROR(EncodeWords(span.text, added, ids));
    }
  }
  return absl::OkStatus();
}

absl::Status Tokenizer::EncodeWords(std::string_view text, AddedTokens added, std::vector<int32_t>* ids) const {
  const Bpe::Reserved reserved = added == AddedTokens::kNone ? Bpe::Reserved::kAvoid : Bpe::Reserved::kAllow;
  return pre_tokenizer_.Split(text, [&](std::string_view word) {
    bpe_.EncodeWord(word, reserved, ids);
    return absl::OkStatus();
  });
}

std::string Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string text;
  Utf8Stream stream;
  for (int32_t id : ids) {
    if (skip_special && IsSpecial(id)) continue;
    stream.Feed(TokenBytes(id), &text);
  }
  stream.Finish(&text);
  return text;
}

std::string_view Tokenizer::TokenBytes(int32_t id) const {
  return IsId(id) ? std::string_view(bytes_[static_cast<size_t>(id)]) : std::string_view();
}

std::optional<int32_t> Tokenizer::TokenId(const std::string& content) const {
  const auto found = id_of_content_.find(content);
  if (found == id_of_content_.end()) return std::nullopt;
  return found->second;
}

}  // namespace headroom::model
