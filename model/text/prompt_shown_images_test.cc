// Prompts of models whose chat template writes what stands around a picture, and its token: GLM-4.1V.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "common/testing/paths.h"
#include "model/text/chat_template_files.h"
#include "model/text/prompt.h"
#include "model/text/testing.h"

namespace headroom::model {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr int64_t kImageToken = 534;
constexpr int64_t kTokensMax = 4096;

std::string Golden(const std::string& name) { return SourceDir() + "/tests/golden/glm4v/" + name; }

ImagePart Shown(int64_t rows) { return {.cols = 0, .rows = 0, .piece_rows = {rows}}; }

class ShownImagesTest : public ::testing::Test {
 protected:
  ShownImagesTest() {
    auto tokenizer = Tokenizer::FromFile(Golden("tokenizer.json"));
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
  }

  absl::StatusOr<PromptBuilder> Builder(ChatTemplate chat_template) const {
    return PromptBuilder::Create(tokenizer_.get(), std::move(chat_template),
                                 PromptImages{.markers = {}, .row_token = kImageToken, .use_image_id = false});
  }
  PromptBuilder GoldenBuilder() const {
    auto builder = Builder(*LoadChatTemplate(Golden(""), ""));
    EXPECT_TRUE(builder.ok()) << builder.status();
    return *std::move(builder);
  }
  PromptBuilder WithTemplate(const std::string& jinja) const {
    auto chat_template = ChatTemplate::Create({.name = "test", .jinja = jinja, .tool_use = {}, .special_tokens = {}});
    EXPECT_TRUE(chat_template.ok()) << chat_template.status();
    auto builder = Builder(*std::move(chat_template));
    EXPECT_TRUE(builder.ok()) << builder.status();
    return *std::move(builder);
  }

  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(ShownImagesTest, EqualsTheReference) {
  const PromptBuilder builder = GoldenBuilder();
  int pictures = 0;
  for (const auto& entry : std::filesystem::directory_iterator(Golden("expected"))) {
    if (entry.path().extension() != ".json") continue;
    const json expected = json::parse(ReadFileOrDie(entry.path()));
    if (!expected.contains("messages")) continue;
    Conversation conversation;
    size_t next = 0;
    for (const json& item : expected["messages"]) {
      ChatMessage& message = conversation.messages.emplace_back();
      message.role = ParseChatRole(item["role"]).value();
      for (const json& part : item["content"]) {
        if (part.contains("text")) {
          message.parts.emplace_back(part["text"].get<std::string>());
        } else {
          const json& grid = expected["grid_thw"][next++];
          message.parts.emplace_back(Shown(grid[1].get<int64_t>() * grid[2].get<int64_t>() / 4));
        }
      }
    }
    const auto prompt = builder.Build(conversation, kTokensMax);
    ASSERT_TRUE(prompt.ok()) << entry.path() << ": " << prompt.status();
    EXPECT_EQ(prompt->ids, expected["prompt_ids"].get<std::vector<int32_t>>()) << entry.path();
    ASSERT_EQ(prompt->pieces.size(), next);
    for (size_t i = 0; i < next; ++i, ++pictures) {
      EXPECT_EQ(prompt->pieces[i].begin, expected["image_bounds"][i][0]) << entry.path();
      EXPECT_EQ(prompt->pieces[i].end, expected["image_bounds"][i][1]) << entry.path();
    }
  }
  EXPECT_GE(pictures, 6);
}

// What a user writes is text, whatever it says: no picture comes of it, and none is lost.
TEST_F(ShownImagesTest, UserTextCannotForgeAPicture) {
  const Conversation conversation{
      .messages = {{ChatRole::kUser, {"<|begin_of_image|><|image|><|end_of_image|>", Shown(3), "<|image|>"}}}};
  const auto prompt = GoldenBuilder().Build(conversation, kTokensMax);
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  EXPECT_EQ(std::count(prompt->ids.begin(), prompt->ids.end(), kImageToken), 3);
  EXPECT_EQ(prompt->pieces.size(), 1u);
}

TEST_F(ShownImagesTest, EachPictureIsShownOnce) {
  const Conversation conversation{.messages = {{ChatRole::kUser, {"a", Shown(3)}}}};
  const std::string text =
      "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
      "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}";
  const std::string end = "{% endif %}{% endfor %}";
  EXPECT_TRUE(WithTemplate(text + "<|image|>" + end).Build(conversation, kTokensMax).ok());
  for (const char* shown : {"", "<|image|><|image|>"}) {
    const auto prompt = WithTemplate(text + shown + end).Build(conversation, kTokensMax);
    EXPECT_THAT(std::string(prompt.status().message()), HasSubstr("does not show each picture once")) << shown;
  }
}

TEST_F(ShownImagesTest, RefusesWhatItCannotShow) {
  const PromptBuilder builder = GoldenBuilder();
  const auto build = [&](const ImagePart& image, int64_t tokens_max = kTokensMax) {
    return builder.Build({.messages = {{ChatRole::kUser, {image}}}}, tokens_max).status();
  };
  EXPECT_TRUE(build(Shown(100)).ok());
  EXPECT_EQ(build(Shown(100), 90).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(build(Shown(0)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(build({.cols = 1, .rows = 2, .piece_rows = {1, 1, 1}}).code(), absl::StatusCode::kInvalidArgument);
  const PromptImages unknown{.markers = {}, .row_token = 1, .use_image_id = false};
  EXPECT_THAT(
      std::string(
          PromptBuilder::Create(tokenizer_.get(), *LoadChatTemplate(Golden(""), ""), unknown).status().message()),
      HasSubstr("image_token_id"));
}

}  // namespace
}  // namespace headroom::model
