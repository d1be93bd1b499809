// Tokenizers for tests: the golden one, and small ones spelled out in a test.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "common/testing/paths.h"
#include "common/utf8.h"
#include "model/text/tokenizer.h"

namespace headroom::model {

inline std::string GoldenPath(const std::string& file) { return SourceDir() + "/tests/golden/minicpmv/" + file; }

inline std::string ReadFileOrDie(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

inline std::unique_ptr<Tokenizer> LoadOrDie(const nlohmann::json& json) {
  auto tokenizer = Tokenizer::FromJson(json.dump());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

inline nlohmann::json GoldenTokenizerJson() {
  return nlohmann::json::parse(ReadFileOrDie(GoldenPath("tokenizer.json")));
}

inline std::unique_ptr<Tokenizer> GoldenTokenizer() {
  auto tokenizer = Tokenizer::FromFile(GoldenPath("tokenizer.json"));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

// The character of each byte, written down again here from GPT-2's rule.
inline std::string CharacterOfByte(int byte) {
  const auto printable = [](int b) {
    return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
  };
  char32_t character = static_cast<char32_t>(byte);
  if (!printable(byte)) {
    character = 256;
    for (int b = 0; b < byte; ++b) character += printable(b) ? 0 : 1;
  }
  std::string text;
  AppendUtf8(character, &text);
  return text;
}

// A tokenizer.json over all bytes (byte b has id b) with these merges (ids from 256 in order), no normalizer, words cut
// by `regex`.
inline nlohmann::json SmallTokenizerJson(const std::vector<std::pair<std::string, std::string>>& merges,
                                         const std::string& regex) {
  nlohmann::json vocab;
  for (int byte = 0; byte < 256; ++byte) vocab[CharacterOfByte(byte)] = byte;
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [left, right] : merges) {
    if (!vocab.contains(left + right)) vocab[left + right] = vocab.size();
    list.push_back({left, right});
  }
  return {{"version", "1.0"},
          {"added_tokens", nlohmann::json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer",
           {{"type", "Sequence"},
            {"pretokenizers",
             {{{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}},
              {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}}}}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", list}}}};
}

inline nlohmann::json AddedTokenJson(int id, const std::string& content, bool special = true) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

inline std::vector<int32_t> EncodeOrDie(const Tokenizer& tokenizer, const std::string& text,
                                        AddedTokens added = AddedTokens::kAll) {
  auto ids = tokenizer.Encode(text, added);
  EXPECT_TRUE(ids.ok()) << ids.status();
  return ids.ok() ? *std::move(ids) : std::vector<int32_t>();
}

// Generator with a fresh seed (HEADROOM_TEST_SEED repeats one), which is printed.
inline std::mt19937_64 SeededGenerator() {
  const char* given = std::getenv("HEADROOM_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "HEADROOM_TEST_SEED=" << seed << std::endl;
  return std::mt19937_64(seed);
}

// Valid UTF-8 of kinds that tokenizers trip over.
inline std::string RandomText(std::mt19937_64* generator, size_t characters_max) {
  const auto below = [&](uint64_t n) { return (*generator)() % n; };
  std::string text;
  for (uint64_t left = 1 + below(characters_max); left > 0; --left) {
    switch (below(8)) {
      case 0:
        AppendUtf8(static_cast<char32_t>(0x20 + below(0x5F)), &text);
        break;
      case 1:
        AppendUtf8(static_cast<char32_t>('a' + below(26)), &text);
        break;
      case 2:
        AppendUtf8(static_cast<char32_t>(0x300 + below(0x70)), &text);
        break;
      case 3:
        AppendUtf8(static_cast<char32_t>(0x4E00 + below(0x5000)), &text);
        break;
      case 4:
        AppendUtf8(static_cast<char32_t>(0x1F300 + below(0x300)), &text);
        break;
      case 5:
        text += " ";
        break;
      case 6:
        AppendUtf8(static_cast<char32_t>(below(0xD800)), &text);
        break;
      default:
        AppendUtf8(static_cast<char32_t>(0xE000 + below(0x102000)), &text);
        break;
    }
  }
  return text;
}

}  // namespace headroom::model
