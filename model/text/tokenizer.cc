#include "model/text/tokenizer.h"

#include <algorithm>

#include "common/status.h"
#include "common/utf8.h"

namespace headroom::model {

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text, AddedTokens added, bool at_start) const {
  if (text.size() > kTextBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("the text has ", text.size(), " bytes, the limit is ", kTextBytesMax));
  }
  if (!IsValidUtf8(text)) return absl::InvalidArgumentError("the text is not valid UTF-8");
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 8);
  const AddedTokenMatcher& matcher = added == AddedTokens::kNone ? raw_text_ : raw_;
  HEADROOM_RETURN_IF_ERROR(matcher.Split(text, added == AddedTokens::kNonSpecial, [&](const TextSpan& span) {
    if (span.id < 0) return EncodeRaw({span.text, at_start && span.text.data() == text.data()}, added, &ids);
    ids.push_back(span.id);
    return absl::OkStatus();
  }));
  return ids;
}

absl::Status Tokenizer::EncodeRaw(Stretch stretch, AddedTokens added, std::vector<int32_t>* ids) const {
  std::string storage;
  HEADROOM_ASSIGN_OR_RETURN(const Normalizer::Result normal, normalizer_.Apply(stretch.text, &storage));
  const bool at_start = stretch.at_start && normal.from_start;
  const AddedTokenMatcher& matcher = added == AddedTokens::kNone ? normalized_text_ : normalized_;
  return matcher.Split(normal.text, added == AddedTokens::kNonSpecial, [&](const TextSpan& span) {
    if (span.id < 0) return EncodeWords({span.text, at_start && span.text.data() == normal.text.data()}, added, ids);
    ids->push_back(span.id);
    return absl::OkStatus();
  });
}

absl::Status Tokenizer::EncodeWords(Stretch stretch, AddedTokens added, std::vector<int32_t>* ids) const {
  const Bpe::Reserved reserved = added == AddedTokens::kNone ? Bpe::Reserved::kAvoid : Bpe::Reserved::kAllow;
  return pre_tokenizer_.Split(stretch.text, stretch.at_start, [&](std::string_view word) {
    bpe_.EncodeWord(word, reserved, ids);
    return absl::OkStatus();
  });
}

std::string Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string text;
  Decoder::Stream stream(&decoder_);
  for (int32_t id : ids) {
    const std::string_view token = TokenBytes(id);
    if (!token.empty() && !(skip_special && IsSpecial(id))) stream.Add(token, &text);
  }
  stream.Finish(&text);
  return text;
}

std::string_view Tokenizer::TokenBytes(int32_t id) const {
  return id >= 0 && id < vocab_size() ? std::string_view(tokens_[static_cast<size_t>(id)]) : std::string_view();
}

std::optional<int32_t> Tokenizer::TokenId(const std::string& content) const {
  const auto found = id_of_content_.find(content);
  if (found == id_of_content_.end()) return std::nullopt;
  return found->second;
}

int64_t Tokenizer::TextBytesMax(int64_t tokens) const {
  constexpr int64_t kMax = static_cast<int64_t>(kTextBytesMax);
  return tokens > kMax / text_bytes_per_token_ ? kMax : tokens * text_bytes_per_token_;
}

}  // namespace headroom::model
