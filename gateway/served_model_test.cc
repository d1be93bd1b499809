#include "gateway/served_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/error_details.h"
#include "common/testing/paths.h"
#include "gateway/model_host_bytes.h"
#include "gateway/prepare.h"
#include "model/testing/checkpoint_writer.h"

namespace headroom::gateway {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

const std::string kGolden = SourceDir() + "/tests/golden/minicpmv";
// Rows of that model's embedding; its tokenizer has as many ids.
constexpr int32_t kRows = 1224;

// A copy of the golden model whose tokenizer.json and config.json were changed.
class ChangedModel {
 public:
  template <typename Change>
  explicit ChangedModel(Change change) {
    for (const auto& entry : std::filesystem::directory_iterator(kGolden)) {
      std::filesystem::create_symlink(entry.path(), directory_.path() + "/" + entry.path().filename().string());
    }
    Json tokenizer = Json::parse(std::ifstream(kGolden + "/tokenizer.json"));
    Json config = Json::parse(std::ifstream(kGolden + "/config.json"));
    change(tokenizer, config);
    Replace("tokenizer.json", tokenizer);
    Replace("config.json", config);
  }
  const std::string& path() const { return directory_.path(); }

 private:
  void Replace(const std::string& name, const Json& content) {
    std::filesystem::remove(directory_.path() + "/" + name);
    directory_.Write(name, content.dump());
  }

  model::testing::TemporaryDirectory directory_;
};

TEST(ServedModelTest, DirectoriesThatAreNone) {
  EXPECT_FALSE(ServedModel::Load("/no/such/directory").ok());
  EXPECT_FALSE(ServedModel::Load(kGolden + "/config.json").ok());
}

// A token that was added without resizing the model: nothing produces it, so that the model serves as before.
TEST(ServedModelTest, AddedTokenWithoutRow) {
  const ChangedModel changed([](Json& tokenizer, Json&) {
    Json pad = tokenizer["added_tokens"][0];
    pad["id"] = kRows;
    pad["content"] = "<pad>";
    tokenizer["added_tokens"].push_back(pad);
  });
  const auto model = ServedModel::Load(changed.path());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_TRUE((*model)->CheckHasRow(kRows - 1).ok());
  EXPECT_THAT(std::string((*model)->CheckHasRow(kRows).message()),
              HasSubstr("'<pad>' (id 1224), and the model has a vocabulary of 1224"));
}

TEST(ServedModelTest, PromptThatNeedsATokenWithoutRow) {
  const ChangedModel changed([](Json& tokenizer, Json&) {
    tokenizer["model"]["vocab"]["zq"] = kRows;
    const bool pairs = tokenizer["model"]["merges"][0].is_array();
    tokenizer["model"]["merges"].push_back(pairs ? Json::array({"z", "q"}) : Json("z q"));
  });
  const auto model = ServedModel::Load(changed.path());
  ASSERT_TRUE(model.ok()) << model.status();
  const ClusterLimits limits{
      .block_size = 16, .max_model_len = 1000, .max_patches_per_step = 2048, .embedding_row_bytes = 256 * 2};
  const auto prepare = [&](const char* text) {
    v1::GenerateRequest request;
    request.add_messages()->set_role("user");
    request.mutable_messages(0)->add_content()->set_text(text);
    return Prepare(request, **model, GatewaySection{}, limits).status();
  };
  EXPECT_TRUE(prepare("q z").ok());
  const absl::Status refused = prepare("zq");
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("the token 'zq' (id 1224)"));
}

// Every prompt would need them.
TEST(ServedModelTest, ControlTokensWithoutRowAreNoModel) {
  const ChangedModel cut([](Json&, Json& config) { config["vocab_size"] = 1210; });
  EXPECT_THAT(std::string(ServedModel::Load(cut.path()).status().message()), HasSubstr("the token '<image_id>'"));
  const ChangedModel shorter([](Json&, Json& config) { config["vocab_size"] = 1203; });
  EXPECT_THAT(std::string(ServedModel::Load(shorter.path()).status().message()), HasSubstr("<|im_end|>"));
}

// Newer checkpoints have their template in a file of its own, which wins; an operator's wins over both. Each is part of
// the fingerprint.
TEST(ServedModelTest, TemplateInAFileOfItsOwn) {
  const ChangedModel changed([](Json&, Json&) {});
  const auto ends = [&](const std::string& file, std::string* fingerprint) {
    const auto model = ServedModel::Load(changed.path(), file);
    if (!model.ok()) return model.status().ToString();
    *fingerprint = (*model)->fingerprint;
    const auto prompt = (*model)->prompts->Build({.messages = {{model::ChatRole::kUser, {"a"}}}}, 100);
    return prompt.ok() ? (*model)->tokenizer->Decode(prompt->ids, false) : prompt.status().ToString();
  };
  std::string own, beside, other, none;
  EXPECT_THAT(ends("", &own), HasSubstr("<|im_start|>user\na<|im_end|>"));
  std::ofstream(changed.path() + "/chat_template.jinja") << "<|im_start|>{{ messages[0].content }}!";
  EXPECT_EQ(ends("", &beside), "<|im_start|>a!");
  std::ofstream(changed.path() + "/other") << "<|im_end|>{{ messages[0].content }}?";
  EXPECT_EQ(ends(changed.path() + "/other", &other), "<|im_end|>a?");
  EXPECT_NE(own, beside);
  EXPECT_NE(beside, other);
  EXPECT_THAT(ends("/no/such/file", &none), HasSubstr("there is no file /no/such/file"));
}

TEST(ServedModelTest, AnswersEndAtTheTemplatesEnd) {
  const ChangedModel changed([](Json&, Json&) {});
  std::ofstream(changed.path() + "/chat_template.jinja")
      << "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}</slice>{% endfor %}";
  const auto model = ServedModel::Load(changed.path());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT((*model)->stop_ids, ::testing::Contains(*(*model)->tokenizer->TokenId("</slice>")));
}

ModelSection Section(const std::string& path, const std::string& name, std::vector<std::string> aliases = {}) {
  return {.name = name, .aliases = std::move(aliases), .path = path};
}

TEST(ServedModelsTest, AreFoundByNameAndAlias) {
  ClusterConfig config;
  config.models = {Section(kGolden, "seeing", {"gpt", "default"}),
                   Section(SourceDir() + "/tests/golden/qwen2", "text")};
  const auto models = ServedModels::Load(config);
  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_EQ(models->all().size(), 2U);
  EXPECT_TRUE(models->missing().empty());
  EXPECT_LE(models->host_bytes(), ModelsHostBytes(config));
  for (const char* name : {"seeing", "gpt", "default"}) EXPECT_EQ(*models->Find(name), models->all()[0].get());
  EXPECT_EQ(*models->Find("text"), models->all()[1].get());
  EXPECT_NE(models->all()[0]->fingerprint, models->all()[1]->fingerprint);

  const absl::Status none = models->Find("").status();
  EXPECT_EQ(none.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(none.message()), HasSubstr("names no model; served are 'seeing', 'text'"));
  const absl::Status unknown = models->Find("gpt-17").status();
  EXPECT_EQ(ReasonOf(unknown), RefusalReason::kModelNotFound);
  EXPECT_EQ(unknown.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("unknown model 'gpt-17'; served are 'seeing', 'text'"));
}

TEST(ServedModelsTest, WhatCannotBeLoadedIsSaidAndTheOthersAreServed) {
  ClusterConfig config;
  config.models = {Section("/no/such/model", "gone", {"away"}), Section(kGolden, "here"),
                   Section(kGolden + "/", "twice")};
  const auto models = ServedModels::Load(config);
  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_EQ(models->all().size(), 1U);
  ASSERT_EQ(models->missing().size(), 2U);
  EXPECT_THAT(std::string(models->missing()[1].why.message()), HasSubstr("the very files of 'here'"));
  for (const char* name : {"gone", "away"}) {
    const absl::Status status = models->Find(name).status();
    EXPECT_EQ(ReasonOf(status), RefusalReason::kModelNotLoaded);
    EXPECT_THAT(std::string(status.message()), HasSubstr("could not load the model 'gone'; served are 'here'"));
  }
  EXPECT_EQ(models->Find("").status().code(), absl::StatusCode::kInvalidArgument)
      << "a request without a name must not move to another model because its own is away";
  config.models = {Section("/no/such/model", "gone")};
  EXPECT_FALSE(ServedModels::Load(config).ok());
  EXPECT_THAT(std::string(ServedModels::Load(ClusterConfig()).status().message()), HasSubstr("model.path is not set"));
}

TEST(ServedModelsTest, TheirFilesTakeOfTheHostBudget) {
  ClusterConfig config;
  config.models = {Section(kGolden, "a"), Section(SourceDir() + "/tests/golden/qwen2", "b")};
  const int64_t first = HostBytesOf(config.models[0]).held;
  config.gateway.host_bytes_max = ModelsHostBytes(config);
  EXPECT_EQ(ServedModels::Load(config)->all().size(), 2U);
  --config.gateway.host_bytes_max;
  const auto models = ServedModels::Load(config);
  ASSERT_TRUE(models.ok()) << models.status();
  EXPECT_EQ(models->host_bytes(), first);
  ASSERT_EQ(models->missing().size(), 1U);
  EXPECT_THAT(std::string(models->missing()[0].why.message()), HasSubstr("left of gateway.host_bytes_max"));
}

}  // namespace
}  // namespace headroom::gateway
