// Tokenizer::FromJson: everything in a tokenizer.json that changes ids or text is read here or refused here.
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "common/utf8.h"
#include "model/text/json_member.h"
#include "model/text/tokenizer.h"
#include "model/text/tokenizer_config.h"
#include "model/text/tokenizer_parts.h"

namespace headroom::model {
namespace {

using Json = nlohmann::json;

absl::Status Invalid(const std::string& what) { return absl::InvalidArgumentError(absl::StrCat("tokenizer: ", what)); }

// Files of old versions do not name the type: a list of scores is a Unigram, merges are a BPE.
std::string ModelType(const Json& model) {
  if (Member(model, "type").is_string()) return Member(model, "type").get<std::string>();
  if (!Member(model, "type").is_null()) return "of no known name";
  if (Member(model, "vocab").is_array()) return "Unigram";
  return Member(model, "merges").is_null() && !Member(model, "vocab").is_null() ? "WordPiece or WordLevel" : "BPE";
}

// Settings of the BPE model that change ids.
absl::Status ReadSettings(const Json& model, TokenizerParts* parts) {
  const Json& dropout = Member(model, "dropout");
  if (!dropout.is_null() && dropout != 0) return Invalid("dropout is not supported");
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json& affix = Member(model, name);
    if (!affix.is_null() && affix != Json("")) return Invalid(absl::StrCat(name, " is not supported"));
  }
  if (!Member(model, "unk_token").is_null()) {
    HEADROOM_ASSIGN_OR_RETURN(parts->unknown, StringMember(model, "unk_token"));
  }
  HEADROOM_ASSIGN_OR_RETURN(parts->fuse_unknown, BoolMember(model, "fuse_unk", /*absent=*/false));
  HEADROOM_ASSIGN_OR_RETURN(parts->byte_fallback, BoolMember(model, "byte_fallback", /*absent=*/false));
  HEADROOM_ASSIGN_OR_RETURN(parts->ignore_merges, BoolMember(model, "ignore_merges", /*absent=*/false));
  return absl::OkStatus();
}

absl::Status ReadVocabulary(const Json& vocab, TokenizerParts* parts) {
  if (!vocab.is_object() || vocab.empty()) return Invalid("\"vocab\" is not an object with entries");
  for (const auto& [token, value] : vocab.items()) {
    HEADROOM_ASSIGN_OR_RETURN(const int32_t id, ReadTokenId(value, token));
    HEADROOM_RETURN_IF_ERROR(parts->AddEntry(token, id));
  }
  return absl::OkStatus();
}

absl::Status ReadMerges(const Json& merges, TokenizerParts* parts) {
  if (!merges.is_array()) return Invalid("\"merges\" is not a list");
  size_t number = 0;
  for (const Json& item : merges) {
    if (item.is_string()) {
      const std::string& pair = item.get_ref<const std::string&>();
      if (pair.rfind("#version", 0) == 0) continue;
      const size_t space = pair.find(' ');
      if (space == std::string::npos || pair.find(' ', space + 1) != std::string::npos) {
        return Invalid(absl::StrCat("merge ", number, " is not two tokens and a space"));
      }
      HEADROOM_RETURN_IF_ERROR(parts->AddMerge(pair.substr(0, space), pair.substr(space + 1)));
    } else if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
      HEADROOM_RETURN_IF_ERROR(parts->AddMerge(item[0].get<std::string>(), item[1].get<std::string>()));
    } else {
      return Invalid(absl::StrCat("merge ", number, " is neither a string nor a pair of strings"));
    }
    ++number;
  }
  return absl::OkStatus();
}

absl::Status ReadAddedTokens(const Json& list, TokenizerParts* parts) {
  if (!list.is_null() && !list.is_array()) return Invalid("\"added_tokens\" is not a list");
  for (const Json& item : list) {
    HEADROOM_ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(item, Member(item, "id")));
    HEADROOM_RETURN_IF_ERROR(parts->AddToken(std::move(token)));
  }
  return absl::OkStatus();
}

// What a trainer used last: no part of the model, and a prompt is cut or filled up by nobody here.
void SayWhatIsIgnored(const Json& json) {
  for (const char* name : {"truncation", "padding"}) {
    if (Member(json, name).is_null()) continue;
    Log(LogLevel::kInfo, "tokenizer", "a setting saved by a trainer is ignored").With("setting", name);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromJson(const std::string& text,
                                                               const std::string& tokenizer_config) {
  const Json json = Json::parse(text, /*callback=*/nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object()) return Invalid("the file is not a JSON object");
  const Json& model = Member(json, "model");
  if (!model.is_object()) return Invalid("the file has no \"model\"");
  if (const std::string type = ModelType(model); type != "BPE") {
    return Invalid(absl::StrCat("the model is ", CutText(type, 64),
                                ", and only BPE is supported, byte-level or as converted from SentencePiece: serve a "
                                "model whose tokenizer.json has \"type\": \"BPE\""));
  }
  HEADROOM_ASSIGN_OR_RETURN(Normalizer normalizer, Normalizer::FromJson(Member(json, "normalizer")));
  HEADROOM_ASSIGN_OR_RETURN(PreTokenizer pre_tokenizer, PreTokenizer::FromJson(Member(json, "pre_tokenizer")));
  HEADROOM_ASSIGN_OR_RETURN(Decoder decoder, Decoder::FromJson(Member(json, "decoder")));
  HEADROOM_ASSIGN_OR_RETURN(Surroundings surroundings, ReadPostProcessor(Member(json, "post_processor"), kTokenIdMax));
  TokenizerParts parts(std::move(normalizer), std::move(pre_tokenizer), std::move(decoder), std::move(surroundings));
  HEADROOM_RETURN_IF_ERROR(ReadSettings(model, &parts));
  HEADROOM_RETURN_IF_ERROR(ReadVocabulary(Member(model, "vocab"), &parts));
  HEADROOM_RETURN_IF_ERROR(ReadMerges(Member(model, "merges"), &parts));
  HEADROOM_RETURN_IF_ERROR(ReadAddedTokens(Member(json, "added_tokens"), &parts));
  HEADROOM_ASSIGN_OR_RETURN(const TokenizerConfig config, TokenizerConfig::Parse(tokenizer_config));
  for (const AddedToken& token : config.added_tokens) parts.AddTokenIfItFits(token);
  SayWhatIsIgnored(json);
  return parts.Build();
}

}  // namespace headroom::model
