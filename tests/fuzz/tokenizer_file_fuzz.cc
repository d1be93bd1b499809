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

void CheckText(const model::Tokenizer& tokenizer, const std::string& text) {
  for (const AddedTokens added : {AddedTokens::kAll, AddedTokens::kNonSpecial, AddedTokens::kNone}) {
    const auto ids = tokenizer.Encode(text, added);
    if (!ids.ok()) continue;
    std::string streamed;
    model::Detokenizer stream(&tokenizer, /*skip_special=*/false);
    for (const int32_t id : *ids) {
      HEADROOM_CHECK(id >= 0 && id < tokenizer.vocab_size()) << id;
      HEADROOM_CHECK(added != AddedTokens::kNone || !tokenizer.IsAdded(id)) << id;
      HEADROOM_CHECK(added != AddedTokens::kNonSpecial || !tokenizer.IsSpecial(id)) << id;
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
  HEADROOM_CHECK((*tokenizer)->vocab_size() >= 256 && (*tokenizer)->vocab_size() <= model::Tokenizer::kTokenIdMax + 1);
  for (const char* text : kTexts) CheckText(**tokenizer, text);
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
  return seeds;
}

const Registration registration({"tokenizer_file", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
