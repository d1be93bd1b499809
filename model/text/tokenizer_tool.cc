// headroom-tokenize PATH whole|all|non-special|none
//
// PATH: a model directory, or one file of a tokenizer. Reads JSON strings, one a line, from stdin; writes one JSON
// object a line: {"ids": […], "decoded": "…"} or {"error": "…"}. A list of ids is decoded, as a stream. `whole` puts
// the ids around a text that stand there without a chat template. Made to compare this tokenizer with others
// (tests/tokenizer) and to look at ids by hand.
#include <filesystem>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "model/text/detokenizer.h"
#include "model/text/tokenizer.h"

namespace {

using headroom::model::AddedTokens;
using headroom::model::Tokenizer;

nlohmann::json DecodeStream(const Tokenizer& tokenizer, const nlohmann::json& ids) {
  headroom::model::Detokenizer detokenizer(&tokenizer, /*skip_special=*/false);
  std::string decoded;
  for (const nlohmann::json& id : ids) {
    if (!id.is_number_integer()) return {{"error", "an id is not a whole number"}};
    decoded += detokenizer.Add(id.get<int32_t>());
  }
  return {{"decoded", decoded + detokenizer.Flush()}};
}

nlohmann::json Answer(const Tokenizer& tokenizer, AddedTokens added, bool whole, const std::string& line) {
  const nlohmann::json text = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (text.is_array()) return DecodeStream(tokenizer, text);
  if (!text.is_string()) return {{"error", "the line is neither a JSON string nor a list of ids"}};
  auto ids = tokenizer.Encode(text.get_ref<const std::string&>(), added);
  if (!ids.ok()) return {{"error", std::string(ids.status().message())}};
  if (whole) {
    const headroom::model::Surroundings& around = tokenizer.surroundings();
    ids->insert(ids->begin(), around.before.begin(), around.before.end());
    ids->insert(ids->end(), around.behind.begin(), around.behind.end());
  }
  return {{"ids", *ids}, {"decoded", tokenizer.Decode(*ids, /*skip_special=*/false)}};
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, AddedTokens> modes = {{"whole", AddedTokens::kAll},
                                                    {"all", AddedTokens::kAll},
                                                    {"non-special", AddedTokens::kNonSpecial},
                                                    {"none", AddedTokens::kNone}};
  const auto mode = modes.find(argc == 3 ? argv[2] : "");
  if (mode == modes.end()) {
    std::cerr << "usage: headroom-tokenize PATH whole|all|non-special|none < JSON-LINES\n";
    return 2;
  }
  const auto tokenizer =
      std::filesystem::is_directory(argv[1]) ? Tokenizer::FromDirectory(argv[1]) : Tokenizer::FromFile(argv[1]);
  if (!tokenizer.ok()) {
    std::cerr << tokenizer.status().ToString() << "\n";
    return 1;
  }
  std::ios::sync_with_stdio(false);
  std::string line;
  while (std::getline(std::cin, line))
    std::cout << Answer(**tokenizer, mode->second, mode->first == "whole", line).dump() << "\n";
  return std::cout.flush() ? 0 : 1;
}
