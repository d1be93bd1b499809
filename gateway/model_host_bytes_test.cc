#include "gateway/model_host_bytes.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/testing/heap_peak.h"
#include "common/testing/paths.h"
#include "gateway/served_model.h"

namespace headroom::gateway {
namespace {

using Json = nlohmann::json;

constexpr int kTokens = 256 + 256 * 256;

std::string MakeDirectory(const std::string& name) {
  const std::string directory = ::testing::TempDir() + "/" + name;
  std::filesystem::create_directory(directory);
  return directory;
}

// GPT-2's characters for the 256 bytes.
std::vector<std::string> Characters(const Json& tokenizer) {
  std::vector<std::string> characters;
  for (const auto& [token, id] : tokenizer["model"]["vocab"].items()) {
    if (id < 256) characters.push_back(token);
  }
  return characters;
}

void ExpectCovered(const std::string& directory, int tokens) {
  const ModelHostBytes bytes = HostBytesOf({.path = directory});
  const HeapPeak heap;
  const auto tokenizer = model::Tokenizer::FromDirectory(directory);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_GE((*tokenizer)->vocab_size(), tokens);
  EXPECT_LE(heap.held_bytes(), bytes.held);
  EXPECT_LE(heap.bytes(), bytes.loading);
  EXPECT_GT(2 * heap.bytes(), bytes.loading) << "a ceiling, and no more than twice what it is";
  EXPECT_GT(2 * heap.held_bytes(), bytes.held);
}

// What is counted covers what loading takes at most, and what stays.
TEST(ModelHostBytesTest, CoverModelsOfTheRepository) {
  for (const char* name : {"/tests/golden/minicpmv", "/tests/golden/llama3", "/models/demo"}) {
    const ModelHostBytes bytes = HostBytesOf({.path = SourceDir() + name});
    const HeapPeak heap;
    const auto model = ServedModel::Load(SourceDir() + name);
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ((*model)->host_bytes, bytes.held);
    EXPECT_LE(heap.held_bytes(), bytes.held) << name;
    EXPECT_LE(heap.bytes(), bytes.loading) << name;
  }
}

// Vocabularies that cost most for a byte of their file: every token is two bytes.
TEST(ModelHostBytesTest, CoverTheDensestJson) {
  std::ifstream golden(SourceDir() + "/tests/golden/qwen2/tokenizer.json");
  Json json = Json::parse(golden);
  const std::vector<std::string> characters = Characters(json);
  ASSERT_EQ(characters.size(), 256u);
  Json vocab, merges;
  for (const std::string& character : characters) vocab[character] = vocab.size();
  for (const std::string& left : characters) {
    for (const std::string& right : characters) {
      vocab[left + right] = vocab.size();
      merges.push_back(left + " " + right);
    }
  }
  json["added_tokens"] = Json::array();
  json["model"]["vocab"] = std::move(vocab);
  json["model"]["merges"] = std::move(merges);
  const std::string directory = MakeDirectory("dense-json");
  std::ofstream(directory + "/tokenizer.json") << json.dump();
  json = nullptr;
  ExpectCovered(directory, kTokens);

  // White space costs its own bytes while it is read, and nothing later.
  const ModelHostBytes bytes = HostBytesOf({.path = directory});
  std::ofstream(directory + "/tokenizer.json", std::ios::app) << std::string(1000, ' ');
  EXPECT_EQ(HostBytesOf({.path = directory}).held, bytes.held);
  EXPECT_EQ(HostBytesOf({.path = directory}).loading, bytes.loading + 1000);
  // SentencePiece's file is not read where there is tokenizer.json.
  std::ofstream(directory + "/tokenizer.model") << std::string(1000, 'x');
  EXPECT_EQ(HostBytesOf({.path = directory}).loading, bytes.loading + 1000);
}

TEST(ModelHostBytesTest, CoverTheDensestRanks) {
  const auto base64 = [](std::string_view bytes) {
    constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const auto at = [&](size_t i) { return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0u; };
    const uint32_t bits = at(0) << 16 | at(1) << 8;
    std::string text;
    for (int shift = 18; shift >= 6; shift -= 6) text += kDigits[bits >> shift & 63];
    if (bytes.size() == 1) text.back() = '=';
    return text + "=";
  };
  const std::string directory = MakeDirectory("dense-ranks");
  std::ofstream(directory + "/tokenizer_config.json") << R"({"tokenizer_class": "QWenTokenizer"})";
  {
    std::ofstream ranks(directory + "/qwen.tiktoken");
    int rank = 0;
    for (int byte = 0; byte < 256; ++byte)
      ranks << base64(std::string(1, static_cast<char>(byte))) << " " << rank++ << "\n";
    for (int left = 0; left < 256; ++left) {
      for (int right = 0; right < 256; ++right) {
        ranks << base64(std::string{static_cast<char>(left), static_cast<char>(right)}) << " " << rank++ << "\n";
      }
    }
  }
  ExpectCovered(directory, kTokens);
}

TEST(ModelHostBytesTest, AreNoneWithoutFiles) {
  EXPECT_EQ(HostBytesOf({.path = "/no/such/model"}).loading, 0);
  EXPECT_EQ(HostBytesOf({.path = "/no/such/model"}).held, 0);
  ClusterConfig config;
  config.models = {{.path = SourceDir() + "/tests/golden/qwen2"}, {.path = SourceDir() + "/models/demo"}};
  const ModelHostBytes first = HostBytesOf(config.models[0]), second = HostBytesOf(config.models[1]);
  EXPECT_EQ(ModelsHostBytes(config), std::max(first.loading, first.held + second.loading));
}

}  // namespace
}  // namespace headroom::gateway
