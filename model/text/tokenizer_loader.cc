// Tokenizer::FromJson and FromFile: everything in a tokenizer.json that changes ids is read here or refused here.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/status.h"
#include "common/utf8.h"
#include "model/text/byte_level.h"
#include "model/text/json_member.h"
#include "model/text/tokenizer.h"
#include "model/text/unicode.h"

namespace headroom::model {
namespace {

using Json = nlohmann::json;

constexpr size_t kContentBytesMax = 4096;
constexpr int kSequenceDepthMax = 8;

absl::Status Invalid(const std::string& what) { return absl::InvalidArgumentError(absl::StrCat("tokenizer: ", what)); }

// A token for an error message.
std::string Quoted(const std::string& token) {
  constexpr size_t kShownBytesMax = 64;
  return absl::StrCat("\"", CutText(token, kShownBytesMax), token.size() > kShownBytesMax ? "…\"" : "\"");
}

absl::StatusOr<int32_t> ReadId(const Json& value, const std::string& token) {
  const bool in_range = value.is_number_integer() && (value.is_number_unsigned() || value.get<int64_t>() >= 0) &&
                        value.get<uint64_t>() <= static_cast<uint64_t>(Tokenizer::kTokenIdMax);
  if (!in_range) {
    return Invalid(
        absl::StrCat("the id of ", Quoted(token), " is not a whole number from 0 to ", Tokenizer::kTokenIdMax));
  }
  return value.get<int32_t>();
}

// True for NFC, false for none.
absl::StatusOr<bool> ReadNormalizer(const Json& json, int depth) {
  if (json.is_null()) return false;
  if (depth > kSequenceDepthMax) return Invalid("normalizer has too many steps");
  HEADROOM_ASSIGN_OR_RETURN(const std::string type, StringMember(json, "type"));
  if (type == "NFC") return true;
  if (type != "Sequence") return Invalid(absl::StrCat("normalizer ", type, " is not supported"));
  const Json& parts = Member(json, "normalizers");
  if (!parts.is_array()) return Invalid("\"normalizers\" is not a list");
  bool nfc = false;
  for (const Json& part : parts) {
    HEADROOM_ASSIGN_OR_RETURN(const bool part_nfc, ReadNormalizer(part, depth + 1));
    nfc = nfc || part_nfc;
  }
  return nfc;
}

absl::Status CheckDecoder(const Json& json) {
  const Json& parts = Member(json, "decoders");
  const bool single = Member(json, "type") == "Sequence" && parts.is_array() && parts.size() == 1;
  HEADROOM_ASSIGN_OR_RETURN(const std::string type, StringMember(single ? parts[0] : json, "type"));
  return type == "ByteLevel" ? absl::OkStatus() : Invalid(absl::StrCat("decoder ", type, " is not supported"));
}

absl::Status CheckPostProcessor(const Json& json, int depth) {
  if (json.is_null()) return absl::OkStatus();
  if (depth > kSequenceDepthMax) return Invalid("post_processor has too many steps");
  HEADROOM_ASSIGN_OR_RETURN(const std::string type, StringMember(json, "type"));
  if (type == "ByteLevel" || type == "TemplateProcessing") return absl::OkStatus();
  const Json& parts = Member(json, "processors");
  if (type != "Sequence" || !parts.is_array())
    return Invalid(absl::StrCat("post_processor ", type, " is not supported"));
  for (const Json& part : parts) HEADROOM_RETURN_IF_ERROR(CheckPostProcessor(part, depth + 1));
  return absl::OkStatus();
}

// Settings of the BPE model that change ids.
absl::Status CheckModel(const Json& model) {
  const Json& type = Member(model, "type");
  if (!type.is_null() && type != "BPE") return Invalid("the model type is not BPE");
  const Json& dropout = Member(model, "dropout");
  if (!dropout.is_null() && dropout != 0) return Invalid("dropout is not supported");
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json& affix = Member(model, name);
    if (!affix.is_null() && affix != Json("")) return Invalid(absl::StrCat(name, " is not supported"));
  }
  // unk_token, fuse_unk and byte_fallback say what happens to characters without an entry. With every byte in the
  // vocabulary, which Bpe checks, there are none.
  const Json& unknown = Member(model, "unk_token");
  if (!unknown.is_null() && !unknown.is_string()) return Invalid("\"unk_token\" is not a string");
  for (const char* name : {"fuse_unk", "byte_fallback"}) {
    HEADROOM_RETURN_IF_ERROR(BoolMember(model, name, /*absent=*/false).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<AddedToken> ReadAddedToken(const Json& json) {
  AddedToken token;
  HEADROOM_ASSIGN_OR_RETURN(token.content, StringMember(json, "content"));
  if (token.content.empty() || token.content.size() > kContentBytesMax) {
    return Invalid(
        absl::StrCat("an added token has ", token.content.size(), " bytes, the limits are 1 and ", kContentBytesMax));
  }
  HEADROOM_ASSIGN_OR_RETURN(token.id, ReadId(Member(json, "id"), token.content));
  HEADROOM_ASSIGN_OR_RETURN(token.special, BoolMember(json, "special"));
  HEADROOM_ASSIGN_OR_RETURN(token.normalized, BoolMember(json, "normalized"));
  HEADROOM_ASSIGN_OR_RETURN(token.single_word, BoolMember(json, "single_word"));
  HEADROOM_ASSIGN_OR_RETURN(token.lstrip, BoolMember(json, "lstrip"));
  HEADROOM_ASSIGN_OR_RETURN(token.rstrip, BoolMember(json, "rstrip"));
  return token;
}

}  // namespace

// Collects what the parts of the file say, then builds the tokenizer.
class TokenizerLoader {
 public:
  absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& text) {
    const Json json = Json::parse(text, /*callback=*/nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded() || !json.is_object()) return Invalid("the file is not a JSON object");
    for (const char* name : {"truncation", "padding"}) {
      if (!Member(json, name).is_null()) return Invalid(absl::StrCat(name, " is not supported"));
    }
    const Json& model = Member(json, "model");
    if (!model.is_object()) return Invalid("the file has no \"model\"");
    HEADROOM_RETURN_IF_ERROR(CheckModel(model));
    HEADROOM_RETURN_IF_ERROR(CheckDecoder(Member(json, "decoder")));
    HEADROOM_RETURN_IF_ERROR(CheckPostProcessor(Member(json, "post_processor"), 0));
    HEADROOM_ASSIGN_OR_RETURN(nfc_, ReadNormalizer(Member(json, "normalizer"), 0));
    HEADROOM_ASSIGN_OR_RETURN(PreTokenizer pre_tokenizer, PreTokenizer::FromJson(Member(json, "pre_tokenizer")));
    HEADROOM_RETURN_IF_ERROR(ReadVocabulary(Member(model, "vocab")));
    HEADROOM_RETURN_IF_ERROR(ReadMerges(Member(model, "merges")));
    HEADROOM_ASSIGN_OR_RETURN(vocabulary_.ignore_merges, BoolMember(model, "ignore_merges", /*absent=*/false));
    HEADROOM_RETURN_IF_ERROR(ReadAddedTokens(Member(json, "added_tokens")));
    return Build(std::move(pre_tokenizer));
  }

 private:
  static constexpr uint8_t kEntryFlag = 4;  // the id is in use

  absl::Status ReadVocabulary(const Json& vocab) {
    if (!vocab.is_object() || vocab.empty()) return Invalid("\"vocab\" is not an object with entries");
    content_ids_.reserve(vocab.size());
    for (const auto& [token, value] : vocab.items()) {
      HEADROOM_ASSIGN_OR_RETURN(const int32_t id, ReadId(value, token));
      Grow(id);
      const size_t i = static_cast<size_t>(id);
      if (flags_[i] != 0) return Invalid(absl::StrCat("two vocabulary entries have the id ", id));
      if (token.empty()) return Invalid(absl::StrCat("the vocabulary entry with the id ", id, " is empty"));
      flags_[i] = kEntryFlag;
      content_ids_.emplace(token, id);
      std::optional<std::string> bytes = BytesOfToken(token);
      vocabulary_.in_alphabet[i] = bytes.has_value();
      vocabulary_.bytes[i] = bytes.has_value() ? *std::move(bytes) : token;
    }
    return absl::OkStatus();
  }

  absl::Status ReadMerges(const Json& merges) {
    if (!merges.is_array()) return Invalid("\"merges\" is not a list");
    vocabulary_.merges.reserve(merges.size());
    size_t number = 0;
    for (const Json& item : merges) {
      std::string left;
      std::string right;
      if (item.is_string()) {
        const std::string& pair = item.get_ref<const std::string&>();
        if (pair.rfind("#version", 0) == 0) continue;
        const size_t space = pair.find(' ');
        if (space == std::string::npos || pair.find(' ', space + 1) != std::string::npos) {
          return Invalid(absl::StrCat("merge ", number, " is not two tokens and a space"));
        }
        left = pair.substr(0, space);
        right = pair.substr(space + 1);
      } else if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
        left = item[0].get<std::string>();
        right = item[1].get<std::string>();
      } else {
        return Invalid(absl::StrCat("merge ", number, " is neither a string nor a pair of strings"));
      }
      Bpe::Merge merge;
      HEADROOM_ASSIGN_OR_RETURN(merge.left, IdForMerge(left, number));
      HEADROOM_ASSIGN_OR_RETURN(merge.right, IdForMerge(right, number));
      HEADROOM_ASSIGN_OR_RETURN(merge.result, IdForMerge(left + right, number));
      vocabulary_.merges.push_back(merge);
      ++number;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int32_t> IdForMerge(const std::string& token, size_t number) const {
    const auto found = content_ids_.find(token);
    if (found == content_ids_.end()) {
      return Invalid(absl::StrCat("merge ", number, " needs ", Quoted(token), ", which is not in the vocabulary"));
    }
    return found->second;
  }

  absl::Status ReadAddedTokens(const Json& list) {
    if (!list.is_null() && !list.is_array()) return Invalid("\"added_tokens\" is not a list");
    for (const Json& item : list) {
      HEADROOM_ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(item));
      Grow(token.id);
      const size_t i = static_cast<size_t>(token.id);
      const auto [entry, fresh] = content_ids_.emplace(token.content, token.id);
      if (!fresh && entry->second != token.id) {
        return Invalid(absl::StrCat("added token ", Quoted(token.content), " has the id ", token.id, " and the id ",
                                    entry->second));
      }
      if ((flags_[i] & Tokenizer::kAddedFlag) != 0 || (fresh && flags_[i] != 0)) {
        return Invalid(
            absl::StrCat("added token ", Quoted(token.content), " has the id ", token.id, " of another token"));
      }
      flags_[i] |= Tokenizer::kAddedFlag | (token.special ? Tokenizer::kSpecialFlag : 0);
      if (fresh) {
        // Decoding spells an added token by the byte alphabet where that is possible, as the reference does.
        vocabulary_.bytes[i] = BytesOfToken(token.content).value_or(token.content);
      } else {
        vocabulary_.reserved.push_back(token.id);
      }
      if (token.normalized && nfc_) {
        HEADROOM_ASSIGN_OR_RETURN(token.content, ToNfc(token.content));
      }
      (token.normalized ? normalized_ : raw_).push_back(std::move(token));
    }
    return absl::OkStatus();
  }

  void Grow(int32_t id) {
    const size_t size = static_cast<size_t>(id) + 1;
    if (size <= flags_.size()) return;
    flags_.resize(size, 0);
    vocabulary_.bytes.resize(size);
    vocabulary_.in_alphabet.resize(size, false);
  }

  absl::StatusOr<std::unique_ptr<Tokenizer>> Build(PreTokenizer pre_tokenizer) {
    std::vector<std::string> bytes = vocabulary_.bytes;
    HEADROOM_ASSIGN_OR_RETURN(Bpe bpe, Bpe::Create(std::move(vocabulary_)));
    std::unique_ptr<Tokenizer> tokenizer(new Tokenizer(std::move(bpe), std::move(pre_tokenizer),
                                                       AddedTokenMatcher(std::move(raw_)),
                                                       AddedTokenMatcher(std::move(normalized_))));
    tokenizer->nfc_ = nfc_;
    for (const std::string& token : bytes) {
      tokenizer->longest_token_bytes_ = std::max(tokenizer->longest_token_bytes_, static_cast<int64_t>(token.size()));
    }
    tokenizer->bytes_ = std::move(bytes);
    tokenizer->flags_ = std::move(flags_);
    tokenizer->id_of_content_ = std::move(content_ids_);
    return tokenizer;
  }

  bool nfc_ = false;
  Bpe::Vocabulary vocabulary_;
  std::vector<uint8_t> flags_;
  absl::flat_hash_map<std::string, int32_t> content_ids_;
  std::vector<AddedToken> raw_;
  std::vector<AddedToken> normalized_;
};

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromJson(const std::string& json) {
  return TokenizerLoader().Load(json);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  const std::streamoff size = file.tellg();
  if (size < 0 || static_cast<uint64_t>(size) > kFileBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(path, " has ", size, " bytes, the limit is ", kFileBytesMax));
  }
  std::string json(static_cast<size_t>(size), '\0');
  file.seekg(0);
  if (!file.read(json.data(), size)) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = FromJson(json);
  if (!tokenizer.ok()) {
    return absl::Status(tokenizer.status().code(), absl::StrCat(path, ": ", std::string(tokenizer.status().message())));
  }
  return tokenizer;
}

}  // namespace headroom::model
