// Tokenizer::FromTiktoken: vocabularies as lines of "base64 rank". Two neighbours merge where they spell an entry, the
// entry of lowest rank first; the rank is the id.
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "common/status.h"
#include "common/utf8.h"
#include "model/text/byte_level.h"
#include "model/text/json_member.h"
#include "model/text/tokenizer.h"
#include "model/text/tokenizer_config.h"
#include "model/text/tokenizer_parts.h"

namespace headroom::model {
namespace {

constexpr size_t kEntryBytesMax = 512;
// Of all entries together: each byte of an entry is a place where it may come from two.
constexpr size_t kEntriesBytesMax = size_t{8} << 20;

// What the published code of a tokenizer_class does beside the ranks, in Oniguruma's syntax.
struct KnownClass {
  const char* name;
  const char* pattern;
  bool nfc;
  // Tokens that the code names, from the first id behind the ranks on.
  std::vector<std::string> tokens = {};
};

std::vector<std::string> QwenTokens() {
  std::vector<std::string> tokens = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  for (int i = 0; i < 205; ++i) tokens.push_back(absl::StrCat("<|extra_", i, "|>"));
  return tokens;
}

const std::vector<KnownClass>& KnownClasses() {
  static const std::vector<KnownClass>* const kClasses = new std::vector<KnownClass>{
      // Kimi-K2 and its like
      {.name = "TikTokenTokenizer",
       .pattern =
           R"([\p{Han}]+|)"
           R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)"
           R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
           R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*)"
           R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
           R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       .nfc = false},
      // Qwen of the first generation
      {.name = "QWenTokenizer",
       .pattern = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
                  R"(\s*[\r\n]+|\s+(?!\S)|\s+)",
       .nfc = true,
       .tokens = QwenTokens()},
      // GLM-4
      {.name = "ChatGLM4Tokenizer",
       .pattern = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
                  R"(\s*[\r\n]+|\s+(?!\S)|\s+)",
       .nfc = false}};
  return *kClasses;
}

absl::Status Invalid(const std::string& what) { return absl::InvalidArgumentError(absl::StrCat("tokenizer: ", what)); }

absl::StatusOr<const KnownClass*> FindClass(const std::string& name) {
  std::string names;
  for (const KnownClass& known : KnownClasses()) {
    if (name == known.name) return &known;
    absl::StrAppend(&names, names.empty() ? "" : ", ", known.name);
  }
  return Invalid(absl::StrCat("ranks without a tokenizer.json need a tokenizer_class whose pattern is known (", names,
                              "), and tokenizer_config.json says '", CutText(name, 64),
                              "': save the tokenizer as tokenizer.json"));
}

// A rank from `line`, whose entry it appends to *entries.
absl::Status ReadLine(std::string_view line, size_t number, std::vector<std::pair<std::string, int32_t>>* entries) {
  const size_t space = line.find(' ');
  const std::string_view digits = space == std::string_view::npos ? "" : line.substr(space + 1);
  int32_t rank = -1;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
  const bool whole = parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size();
  std::string bytes;
  if (!whole || rank < 0 || rank > Tokenizer::kTokenIdMax ||
      !absl::Base64Unescape(absl::string_view(line.data(), space), &bytes) || bytes.empty() ||
      bytes.size() > kEntryBytesMax) {
    return Invalid(absl::StrCat("line ", number, " of the ranks is not base64 of 1 to ", kEntryBytesMax,
                                " bytes, a space and a rank from 0 to ", Tokenizer::kTokenIdMax));
  }
  entries->emplace_back(std::move(bytes), rank);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::pair<std::string, int32_t>>> ReadEntries(std::string_view ranks) {
  std::vector<std::pair<std::string, int32_t>> entries;
  size_t number = 0;
  size_t total = 0;
  while (!ranks.empty()) {
    const size_t end = std::min(ranks.find('\n'), ranks.size());
    std::string_view line = ranks.substr(0, end);
    ranks.remove_prefix(std::min(end + 1, ranks.size()));
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    HEADROOM_RETURN_IF_ERROR(ReadLine(line, number, &entries));
    total += entries.back().first.size();
    if (total > kEntriesBytesMax) return Invalid("the ranks spell too many bytes");
  }
  if (entries.empty()) return Invalid("there are no ranks");
  return entries;
}

// Every way in which an entry is two others.
void AddMerges(const std::vector<std::pair<std::string, int32_t>>& entries, TokenizerParts* parts) {
  absl::flat_hash_map<std::string_view, int32_t> ids;
  ids.reserve(entries.size());
  for (const auto& [bytes, id] : entries) ids.emplace(bytes, id);
  for (const auto& [bytes, id] : entries) {
    const std::string_view entry = bytes;
    for (size_t cut = 1; cut < entry.size(); ++cut) {
      const auto left = ids.find(entry.substr(0, cut));
      if (left == ids.end()) continue;
      const auto right = ids.find(entry.substr(cut));
      if (right != ids.end()) {
        parts->AddMerge({.left = left->second, .right = right->second, .result = id, .rank = id});
      }
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromTiktoken(const std::string& ranks,
                                                                   const std::string& tokenizer_config) {
  HEADROOM_ASSIGN_OR_RETURN(const TokenizerConfig config, TokenizerConfig::Parse(tokenizer_config));
  HEADROOM_ASSIGN_OR_RETURN(const KnownClass* const known, FindClass(config.tokenizer_class));
  HEADROOM_ASSIGN_OR_RETURN(const auto entries, ReadEntries(ranks));
  nlohmann::json normalizer;
  if (known->nfc) normalizer = {{"type", "NFC"}};
  const nlohmann::json words = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"}, {"pattern", {{"Regex", known->pattern}}}, {"behavior", "Isolated"}, {"invert", false}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  HEADROOM_ASSIGN_OR_RETURN(Normalizer normal, Normalizer::FromJson(normalizer));
  HEADROOM_ASSIGN_OR_RETURN(PreTokenizer pre_tokenizer, PreTokenizer::FromJson(words));
  TokenizerParts parts(std::move(normal), std::move(pre_tokenizer), Decoder::ByteLevel(), Surroundings());
  parts.ignore_merges = true;
  int32_t next = 0;
  for (const auto& [bytes, id] : entries) {
    HEADROOM_RETURN_IF_ERROR(parts.AddEntry(SpellBytes(bytes), id));
    next = std::max(next, id + 1);
  }
  AddMerges(entries, &parts);
  for (const std::string& token : known->tokens) {
    if (next > kTokenIdMax) return Invalid(absl::StrCat("there are more than ", kTokenIdMax, " ids"));
    HEADROOM_RETURN_IF_ERROR(parts.AddToken({.id = next++, .content = token, .special = true}));
  }
  for (const AddedToken& token : config.added_tokens) parts.AddTokenIfItFits(token);
  return parts.Build();
}

}  // namespace headroom::model
