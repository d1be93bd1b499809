// Answers that keep to a grammar, from the message to the last token.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <thread>

#include "llm-worker/testing/llm_worker_test.h"
#include "model/structured/token_grammar.h"
#include "model/text/tokenizer.h"

namespace headroom::llm_worker {
namespace {

constexpr char kOrderSchema[] = R"({"type": "object", "properties": {
    "name": {"type": "string", "maxLength": 6}, "count": {"type": "integer", "minimum": -5, "maximum": 99},
    "tags": {"type": "array", "items": {"enum": ["a", "bc"]}, "minItems": 1, "maxItems": 2}, "fresh": {"type": "boolean"}},
    "required": ["name", "count", "tags", "fresh"], "additionalProperties": false})";

void ExpectOrder(const std::string& text) {
  const json order = json::parse(text, nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(order.is_object()) << text;
  EXPECT_EQ(order.size(), 4u) << text;
  EXPECT_TRUE(order["name"].is_string()) << text;
  EXPECT_TRUE(order["count"].is_number_integer() && order["count"] >= -5 && order["count"] <= 99) << text;
  EXPECT_TRUE(order["tags"].is_array() && !order["tags"].empty() && order["tags"].size() <= 2) << text;
  for (const json& tag : order["tags"]) EXPECT_TRUE(tag == "a" || tag == "bc") << text;
  EXPECT_TRUE(order["fresh"].is_boolean()) << text;
}

class ConstrainedAnswerTest : public LlmWorkerTest {
 protected:
  static constexpr int32_t kEnd = 1203;

  void SetUp() override {
    if (!model::TokenGrammarCompiler::IsAvailable()) GTEST_SKIP() << "built without xgrammar";
    Start("qwen2");
    auto tokenizer = model::Tokenizer::FromDirectory(SourceDir() + "/tests/golden/qwen2");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
  }
  v1::LlmGenerateRequest Constrained(uint64_t seed, const std::string& schema = kOrderSchema) {
    v1::LlmGenerateRequest request = Request({5, 6, 7, static_cast<int32_t>(seed % 1000)}, 400);
    request.mutable_sampling()->set_temperature(1);
    request.mutable_sampling()->set_seed(seed);
    request.add_stop_ids(kEnd);
    if (schema.empty()) {
      request.mutable_constraint()->set_json_object(true);
    } else {
      request.mutable_constraint()->set_json_schema(schema);
    }
    return request;
  }
  std::string Text(std::vector<int32_t> ids) const {
    if (!ids.empty() && ids.back() == kEnd) ids.pop_back();
    std::string text;
    for (const int32_t id : ids) text += tokenizer_->TokenBytes(id);
    return text;
  }
  std::unique_ptr<model::Tokenizer> tokenizer_;
};

// The weights are random: what is valid is so by the grammar alone.
TEST_F(ConstrainedAnswerTest, AnswersKeepToTheirSchema) {
  std::set<std::string> texts;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    const Answer answer = Ask(Constrained(seed));
    ASSERT_TRUE(answer.status.ok()) << answer.status << ", seed " << seed;
    EXPECT_EQ(answer.last.finish(), v1::FINISH_REASON_STOP) << seed;
    ExpectOrder(Text(answer.ids));
    texts.insert(Text(answer.ids));
  }
  EXPECT_GT(texts.size(), 20u);
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    v1::LlmGenerateRequest request = Constrained(seed, "");
    const Answer answer = Ask(request);
    ASSERT_TRUE(answer.status.ok()) << answer.status;
    const std::string text = Text(answer.ids);
    EXPECT_EQ(text[0], '{');
    EXPECT_TRUE(answer.last.finish() == v1::FINISH_REASON_LENGTH || json::accept(text)) << text;
  }
  ExpectAllFree();
}

TEST_F(ConstrainedAnswerTest, MovedIsAsUnmoved) {
  const Answer whole = Ask(Constrained(11));
  ASSERT_TRUE(whole.status.ok()) << whole.status;
  for (size_t done = 1; done <= whole.ids.size(); done += 3) {
    v1::LlmGenerateRequest moved = Constrained(11);
    moved.mutable_continued_ids()->Assign(whole.ids.begin(), whole.ids.begin() + static_cast<ptrdiff_t>(done));
    const Answer rest = Ask(moved);
    ASSERT_TRUE(rest.status.ok()) << rest.status << " after " << done;
    EXPECT_EQ(rest.ids, std::vector<int32_t>(whole.ids.begin() + static_cast<ptrdiff_t>(done), whole.ids.end()));
    EXPECT_EQ(rest.last.finish(), v1::FINISH_REASON_STOP);
    EXPECT_EQ(rest.last.usage().completion_tokens(), whole.last.usage().completion_tokens());
  }
}

TEST_F(ConstrainedAnswerTest, EveryChoiceKeepsToItAndTogetherIsAsAlone) {
  v1::LlmGenerateRequest request = Constrained(3);
  request.set_n(4);
  request.mutable_grant()->mutable_legs(0)->mutable_resources()->set_slots(4);
  request.mutable_grant()->mutable_legs(0)->mutable_resources()->set_kv_blocks(
      admission::ChoiceBlocks(4, 400, 4, block_size_));
  std::map<int32_t, std::vector<int32_t>> choices;
  const Answer alone = Ask(Constrained(3));
  const Answer answer = Ask(request, [&](const v1::TokenEvent& event) {
    if (event.has_token()) choices[event.choice()].push_back(event.token());
  });
  ASSERT_TRUE(answer.status.ok()) << answer.status;
  ASSERT_EQ(choices.size(), 4u);
  EXPECT_EQ(choices[0], alone.ids);
  for (const auto& [choice, ids] : choices) ExpectOrder(Text(ids));
  std::vector<std::thread> threads;
  for (uint64_t seed = 40; seed < 48; ++seed) {
    threads.emplace_back([this, one = Constrained(seed)] { ExpectOrder(Text(Ask(one).ids)); });
  }
  for (std::thread& thread : threads) thread.join();
  ExpectAllFree();
}

TEST_F(ConstrainedAnswerTest, ThoughtsAreFreeAndTheirEndIsNot) {
  v1::LlmGenerateRequest request = Constrained(9);
  request.mutable_constraint()->add_after_ids(1202);
  (*request.mutable_sampling()->mutable_logit_bias())[kEnd] = 100;  // would end the thoughts at once
  request.set_max_tokens(3);
  const Answer thinks = Ask(request);
  ASSERT_TRUE(thinks.status.ok()) << thinks.status;
  EXPECT_EQ(thinks.last.finish(), v1::FINISH_REASON_LENGTH);
  request = Constrained(9);
  request.mutable_constraint()->add_after_ids(1202);
  request.mutable_continued_ids()->Assign(thinks.ids.begin(), thinks.ids.end());
  request.add_continued_ids(1202);
  const Answer answer = Ask(request);
  ASSERT_TRUE(answer.status.ok()) << answer.status;
  ExpectOrder(Text(answer.ids));
}

TEST_F(ConstrainedAnswerTest, ClientsThatGoWhileTheirGrammarIsMadeLeaveNothing) {
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext context;
    const auto reader =
        stub_->Generate(&context, Constrained(1, R"({"enum": ["grammar )" + std::to_string(i) + R"("]})"));
    if (i % 2 == 1) std::this_thread::sleep_for(std::chrono::milliseconds(i / 2));
    context.TryCancel();
    v1::TokenEvent event;
    while (reader->Read(&event)) {
    }
    reader->Finish();
  }
  ExpectAllFree();
}

}  // namespace
}  // namespace headroom::llm_worker
