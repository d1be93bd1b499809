// tokenizer.json as it comes with a model.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/check.h"
#include "common/utf8.h"
#include "model/text/detokenizer.h"
#include "model/text/tokenizer.h"
#include "tests/fuzz/fuzz_target.h"

namespace headroom::fuzz {
namespace {

using model::AddedTokens;

// Short, because a file may bring a regular expression that takes long on long texts.
constexpr const char* kTexts[] = {"", "Hello  <|im_start|> e\xCC\x81 12\n\n", "<unk><a>\xF0\x9F\x98\x80 the the"};

// What a character without an entry becomes may be a control token, and comes all the same.
bool StandsForUnknown(const model::Tokenizer& tokenizer, int32_t id, const std::string& unknown) {
  return tokenizer.TokenId(unknown) == id || tokenizer.TokenBytes(id).starts_with("<0x");
}

void CheckText(const model::Tokenizer& tokenizer, const std::string& unknown, const std::string& text) {
  for (const AddedTokens added : {AddedTokens::kAll, AddedTokens::kNonSpecial, AddedTokens::kNone}) {
    const auto ids = tokenizer.Encode(text, added);
    if (!ids.ok()) continue;
    std::string streamed;
    model::Detokenizer stream(&tokenizer, /*skip_special=*/false);
    for (const int32_t id : *ids) {
      HEADROOM_CHECK(id >= 0 && id < tokenizer.vocab_size()) << id;
      if (!StandsForUnknown(tokenizer, id, unknown)) {
        HEADROOM_CHECK(added != AddedTokens::kNone || !tokenizer.IsControl(id)) << id;
        HEADROOM_CHECK(added != AddedTokens::kNonSpecial || !tokenizer.IsSpecial(id)) << id;
      }
      const std::string piece = stream.Add(id);
      HEADROOM_CHECK(IsValidUtf8(piece)) << id;
      streamed += piece;
    }
    streamed += stream.Flush();
    HEADROOM_CHECK(streamed == tokenizer.Decode(*ids, /*skip_special=*/false));
  }
}

void Run(const std::string& input) {
  const auto tokenizer = model::Tokenizer::FromJson(input);
  if (!tokenizer.ok()) {
    CheckClientError(tokenizer.status());
    return;
  }
  HEADROOM_CHECK((*tokenizer)->vocab_size() >= 1 && (*tokenizer)->vocab_size() <= model::Tokenizer::kTokenIdMax + 1);
  const nlohmann::json unknown = nlohmann::json::parse(input)["model"].value("unk_token", nlohmann::json());
  for (const char* text : kTexts) CheckText(**tokenizer, unknown.is_string() ? unknown.get<std::string>() : "", text);
}

// The golden file with the bytes, the first merges and some added tokens only: what is left loads in no time.
std::string SmallFile() {
  constexpr size_t kMerges = 40;
  nlohmann::json file = nlohmann::json::parse(TreeFile("tests/golden/minicpmv/tokenizer.json"));
  nlohmann::json& model = file["model"];
  nlohmann::json& merges = model["merges"];
  merges.erase(merges.begin() + kMerges, merges.end());
  nlohmann::json vocab;
  for (const auto& [token, id] : model["vocab"].items()) {
    if (id.get<int>() < 256 + static_cast<int>(kMerges)) vocab[token] = id;
  }
  model["vocab"] = vocab;
  nlohmann::json& added = file["added_tokens"];
  if (added.size() > 8) added.erase(added.begin() + 8, added.end());
  int id = 256 + static_cast<int>(kMerges);
  for (nlohmann::json& token : added) token["id"] = id++;
  return file.dump();
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds = {SmallFile()};
  nlohmann::json other = nlohmann::json::parse(seeds[0]);
  other["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}}}};
  other["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}};
  other["added_tokens"][0]["lstrip"] = other["added_tokens"][1]["rstrip"] = true;
  other["added_tokens"][2]["normalized"] = other["added_tokens"][3]["single_word"] = true;
  other["model"]["ignore_merges"] = true;
  seeds.push_back(other.dump());
  // Over characters, with bytes for what has no entry.
  nlohmann::json pieces = nlohmann::json::parse(TreeFile("tests/tokenizer/sentencepiece/tokenizer.json"));
  seeds.push_back(pieces.dump());
  pieces["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Digits"}, {"individual_digits", false}},
        {{"type", "Punctuation"}, {"behavior", "MergedWithNext"}},
        {{"type", "Split"}, {"pattern", {{"String", "l"}}}, {"behavior", "Contiguous"}, {"invert", true}},
        {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "first"}, {"split", true}}}}};
  pieces["normalizer"] = {{"type", "Sequence"},
                          {"normalizers",
                           {{{"type", "NFKD"}},
                            {{"type", "StripAccents"}},
                            {{"type", "Lowercase"}},
                            {{"type", "Strip"}, {"strip_left", true}, {"strip_right", false}},
                            {{"type", "Replace"}, {"pattern", {{"Regex", "h?"}}}, {"content", "xy"}}}}};
  pieces["truncation"] = {{"max_length", 8}};
  seeds.push_back(pieces.dump());
  return seeds;
}

const Registration registration({"tokenizer_file", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
