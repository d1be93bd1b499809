#include "model/text/tokenizer_parts.h"

#include <algorithm>
#include <optional>

#include "common/log.h"
#include "common/status.h"
#include "common/utf8.h"
#include "model/text/byte_level.h"

namespace headroom::model {
namespace {

constexpr size_t kContentBytesMax = 4096;

absl::Status Invalid(const std::string& what) { return absl::InvalidArgumentError(absl::StrCat("tokenizer: ", what)); }

// A token for a message.
std::string Quoted(const std::string& token) {
  constexpr size_t kShownBytesMax = 64;
  return absl::StrCat("\"", CutText(token, kShownBytesMax), token.size() > kShownBytesMax ? "…\"" : "\"");
}

// White space, or what stands for a space in converted SentencePiece vocabularies.
bool IsBlank(std::string_view content) {
  for (size_t position = 0; position < content.size();) {
    const char32_t character = NextCodePoint(content, &position);
    if (!IsWhiteSpace(character) && character != 0x2581) return false;
  }
  return true;
}

// Added tokens that steer nothing: Gemma's runs of newlines, Phi's runs of spaces. They are part of what a user says.
bool IsText(const AddedToken& token) {
  return !token.special && (IsBlank(token.content) || CountCharacters(token.content) == 1);
}

}  // namespace

void TokenizerParts::Grow(int32_t id) {
  const size_t size = static_cast<size_t>(id) + 1;
  if (size <= uses_.size()) return;
  uses_.resize(size, Use::kNone);
  spellings_.resize(size);
}

absl::Status TokenizerParts::AddEntry(const std::string& token, int32_t id) {
  Grow(id);
  const size_t i = static_cast<size_t>(id);
  if (uses_[i] != Use::kNone) return Invalid(absl::StrCat("two vocabulary entries have the id ", id));
  if (token.empty()) return Invalid(absl::StrCat("the vocabulary entry with the id ", id, " is empty"));
  uses_[i] = Use::kEntry;
  spellings_[i] = token;
  ids_.emplace(token, id);
  return absl::OkStatus();
}

absl::Status TokenizerParts::AddMerge(const std::string& left, const std::string& right) {
  const auto number = static_cast<int32_t>(merges_.size());
  Bpe::Merge merge{.rank = number};
  const std::string both = left + right;
  const std::pair<const std::string*, int32_t*> parts[] = {
      {&left, &merge.left}, {&right, &merge.right}, {&both, &merge.result}};
  for (const auto& [token, id] : parts) {
    const auto found = ids_.find(*token);
    if (found == ids_.end()) {
      return Invalid(absl::StrCat("merge ", number, " needs ", Quoted(*token), ", which is not in the vocabulary"));
    }
    *id = found->second;
  }
  merges_.push_back(merge);
  return absl::OkStatus();
}

absl::Status TokenizerParts::CheckId(const AddedToken& token) const {
  if (token.content.empty() || token.content.size() > kContentBytesMax) {
    return Invalid(
        absl::StrCat("an added token has ", token.content.size(), " bytes, the limits are 1 and ", kContentBytesMax));
  }
  const auto known = ids_.find(token.content);
  if (known != ids_.end() && known->second != token.id) {
    return Invalid(
        absl::StrCat("added token ", Quoted(token.content), " has the id ", token.id, " and the id ", known->second));
  }
  const size_t i = static_cast<size_t>(token.id);
  if (known == ids_.end() && i < uses_.size() && uses_[i] != Use::kNone) {
    return Invalid(absl::StrCat("added token ", Quoted(token.content), " has the id ", token.id, " of another token"));
  }
  return absl::OkStatus();
}

absl::Status TokenizerParts::AddToken(AddedToken token) {
  HEADROOM_RETURN_IF_ERROR(CheckId(token));
  Grow(token.id);
  const size_t i = static_cast<size_t>(token.id);
  if (ids_.emplace(token.content, token.id).second) {
    uses_[i] = Use::kAddedOnly;
    spellings_[i] = token.content;
  }
  added_[token.id] = std::move(token);
  return absl::OkStatus();
}

void TokenizerParts::AddTokenIfItFits(AddedToken token) {
  const int32_t id = token.id;
  const absl::Status status = AddToken(std::move(token));
  if (status.ok()) return;
  Log(LogLevel::kWarning, "tokenizer", "a token of tokenizer_config.json is left out")
      .With("id", id)
      .With("because", std::string(status.message()));
}

absl::StatusOr<Bpe::Vocabulary> TokenizerParts::MakeVocabulary() {
  Bpe::Vocabulary vocabulary;
  const bool bytes = pre_tokenizer_.words_are_bytes();
  vocabulary.unit = bytes ? Bpe::Unit::kByte : Bpe::Unit::kCharacter;
  vocabulary.ignore_merges = ignore_merges;
  vocabulary.fuse_unknown = fuse_unknown;
  vocabulary.merges = std::move(merges_);
  vocabulary.bytes.resize(spellings_.size());
  vocabulary.is_entry.resize(spellings_.size());
  for (size_t i = 0; i < spellings_.size(); ++i) {
    std::optional<std::string> spelled = bytes ? BytesOfToken(spellings_[i]) : spellings_[i];
    vocabulary.is_entry[i] = uses_[i] == Use::kEntry && spelled.has_value();
    vocabulary.bytes[i] = std::move(spelled).value_or(spellings_[i]);
  }
  for (const auto& [id, token] : added_) {
    if (uses_[static_cast<size_t>(id)] == Use::kEntry && !IsText(token)) vocabulary.reserved.push_back(id);
  }
  const auto entry = [&](const std::string& token) {
    const auto found = ids_.find(token);
    const bool is = found != ids_.end() && uses_[static_cast<size_t>(found->second)] == Use::kEntry;
    return is ? found->second : -1;
  };
  for (int byte = 0; byte < 256 && byte_fallback; ++byte) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    vocabulary.fallback[static_cast<size_t>(byte)] =
        entry(absl::StrCat("<0x", std::string{kDigits[byte >> 4], kDigits[byte & 15]}, ">"));
  }
  if (!unknown.empty()) vocabulary.unknown = entry(unknown);
  return vocabulary;
}

// How an added token is found, and decoded: those that are normalized in their normal form.
absl::StatusOr<std::string> TokenizerParts::SoughtForm(const AddedToken& token) const {
  if (!token.normalized) return token.content;
  std::string storage;
  HEADROOM_ASSIGN_OR_RETURN(const Normalizer::Result form, normalizer_.Apply(token.content, &storage));
  return std::string(form.text);
}

absl::StatusOr<AddedTokenMatcher> TokenizerParts::Matcher(bool normalized, bool text_only) const {
  std::vector<AddedToken> tokens;
  for (const auto& [id, token] : added_) {
    if (token.normalized != normalized || (text_only && !IsText(token))) continue;
    HEADROOM_ASSIGN_OR_RETURN(std::string content, SoughtForm(token));
    // What is nothing in normalized text is never found there.
    if (content.empty()) continue;
    tokens.push_back(token);
    tokens.back().content = std::move(content);
  }
  return AddedTokenMatcher(std::move(tokens));
}

int64_t TokenizerParts::TextBytesPerToken(const Bpe& bpe) const {
  constexpr int64_t kNoBound = static_cast<int64_t>(Tokenizer::kTextBytesMax);
  const bool one_each = !unknown.empty() && !fuse_unknown;
  const auto takes_space = [](const auto& entry) {
    return IsText(entry.second) && (entry.second.lstrip || entry.second.rstrip);
  };
  if (!normalizer_.shrink_max().has_value() || pre_tokenizer_.drops_text() || !(bpe.complete() || one_each) ||
      std::any_of(added_.begin(), added_.end(), takes_space)) {
    return kNoBound;
  }
  size_t longest = 4;  // of an unknown character
  for (const std::string& spelling : spellings_) longest = std::max(longest, spelling.size());
  return std::min(kNoBound, static_cast<int64_t>(longest) * *normalizer_.shrink_max());
}

absl::StatusOr<std::unique_ptr<Tokenizer>> TokenizerParts::Build() {
  HEADROOM_ASSIGN_OR_RETURN(Bpe::Vocabulary vocabulary, MakeVocabulary());
  const bool lacks_unknown = !unknown.empty() && vocabulary.unknown < 0;
  HEADROOM_ASSIGN_OR_RETURN(Bpe bpe, Bpe::Create(std::move(vocabulary)));
  if (lacks_unknown && !bpe.complete()) {
    return Invalid(absl::StrCat("the unk_token ", Quoted(unknown),
                                ", which characters that the vocabulary lacks need, is not in the vocabulary"));
  }
  std::unique_ptr<Tokenizer> tokenizer(new Tokenizer(std::move(bpe), normalizer_, pre_tokenizer_, decoder_));
  HEADROOM_ASSIGN_OR_RETURN(tokenizer->raw_, Matcher(/*normalized=*/false, /*text_only=*/false));
  HEADROOM_ASSIGN_OR_RETURN(tokenizer->normalized_, Matcher(/*normalized=*/true, /*text_only=*/false));
  HEADROOM_ASSIGN_OR_RETURN(tokenizer->raw_text_, Matcher(/*normalized=*/false, /*text_only=*/true));
  HEADROOM_ASSIGN_OR_RETURN(tokenizer->normalized_text_, Matcher(/*normalized=*/true, /*text_only=*/true));
  tokenizer->surroundings_ = surroundings_;
  tokenizer->text_bytes_per_token_ = TextBytesPerToken(tokenizer->bpe_);
  tokenizer->flags_.resize(spellings_.size());
  for (const auto& [id, token] : added_) {
    tokenizer->flags_[static_cast<size_t>(id)] = static_cast<uint8_t>(
        Tokenizer::kAddedFlag | (token.special ? Tokenizer::kSpecialFlag : 0) |
        (IsText(token) ? Tokenizer::kTextFlag : 0) | (token.lstrip ? Tokenizer::kTakesSpaceBefore : 0) |
        (token.rstrip ? Tokenizer::kTakesSpaceBehind : 0));
  }
  for (const auto& [id, token] : added_) {
    HEADROOM_ASSIGN_OR_RETURN(spellings_[static_cast<size_t>(id)], SoughtForm(token));
  }
  for (std::string& spelling : spellings_) spelling = decoder_.Prepare(spelling);
  tokenizer->tokens_ = std::move(spellings_);
  tokenizer->id_of_content_ = std::move(ids_);
  return tokenizer;
}

}  // namespace headroom::model
