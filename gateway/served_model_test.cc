#include "gateway/served_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/testing/paths.h"
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
      .block_size = 16, .max_model_len = 1000, .max_patches_per_step = 2048, .embedding_piece_bytes = 64 * 256 * 2};
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

}  // namespace
}  // namespace headroom::gateway
