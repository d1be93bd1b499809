// The service of the llm-worker.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <map>
#include <thread>

#include "common/error_details.h"
#include "llm-worker/testing/llm_worker_test.h"
#include "model/structured/token_grammar.h"

namespace headroom::llm_worker {
namespace {

TEST_F(LlmWorkerTest, AnswersAsTheReference) {
  Start("qwen2");
  for (const char* name : {"qwen2/expected/short.json", "qwen2/expected/long.json"}) {
    const Golden golden = ReadGolden(name);
    const Answer answer = Ask(Request(golden.prompt, static_cast<int64_t>(golden.answer.size())));
    ASSERT_TRUE(answer.status.ok()) << answer.status;
    EXPECT_EQ(answer.ids, golden.answer) << name;
    EXPECT_EQ(answer.last.finish(), v1::FINISH_REASON_LENGTH);
    EXPECT_EQ(answer.last.usage().prompt_tokens(), static_cast<int64_t>(golden.prompt.size()));
    EXPECT_EQ(answer.last.usage().completion_tokens(), static_cast<int64_t>(golden.answer.size()));
  }
  ExpectAllFree();
}

TEST_F(LlmWorkerTest, TogetherAsAloneAndContinuedAsWhole) {
  Start("qwen2");
  const Golden goldens[] = {ReadGolden("qwen2/expected/short.json"), ReadGolden("qwen2/expected/long.json")};
  std::vector<std::thread> clients;
  for (int i = 0; i < 6; ++i) {
    const Golden& golden = goldens[i % 2];
    v1::LlmGenerateRequest request = Request(golden.prompt, static_cast<int64_t>(golden.answer.size()));
    const int continued = i / 2 * 3;
    for (int j = 0; j < continued; ++j) request.add_continued_ids(golden.answer[static_cast<size_t>(j)]);
    clients.emplace_back([this, request, &golden, continued] {
      const Answer answer = Ask(request);
      EXPECT_TRUE(answer.status.ok()) << answer.status;
      EXPECT_EQ(answer.ids, std::vector<int32_t>(golden.answer.begin() + continued, golden.answer.end()));
    });
  }
  for (std::thread& client : clients) client.join();
  ExpectAllFree();
}

// What the worker says of the tokens that it draws, it says of the same tokens in a prompt, in chunks and piece by
// piece; the reference's greedy ids are the likeliest.
TEST_F(LlmWorkerTest, LogprobsOfThePromptAreThoseOfTheAnswer) {
  Start("qwen2");
  const Golden golden = ReadGolden("qwen2/expected/long.json");
  v1::LlmGenerateRequest request = Request(golden.prompt, static_cast<int64_t>(golden.answer.size()));
  request.set_logprobs(3);
  std::vector<float> answered;
  Ask(request, [&](const v1::TokenEvent& event) {
    ASSERT_TRUE(event.has_logprob());
    ASSERT_EQ(event.top_size(), 3);
    EXPECT_EQ(event.top(0).token(), event.token());
    answered.push_back(event.logprob());
  });
  ASSERT_EQ(answered.size(), golden.answer.size());

  std::vector<int32_t> both = golden.prompt;
  both.insert(both.end(), golden.answer.begin(), golden.answer.end());
  request = Request(both, 1);
  request.set_prompt_logprobs(2);
  std::vector<v1::PromptLogprob> told;
  Ask(request, [&](const v1::TokenEvent& event) {
    told.insert(told.end(), event.prompt_logprobs().begin(), event.prompt_logprobs().end());
  });
  ASSERT_EQ(told.size(), both.size());
  EXPECT_FALSE(told[0].has_logprob());
  for (size_t i = 0; i < answered.size(); ++i) {
    const v1::PromptLogprob& position = told[golden.prompt.size() + i];
    EXPECT_NEAR(position.logprob(), answered[i], 2e-3) << i;
    EXPECT_EQ(position.top(0).token(), golden.answer[i]);
  }
  ExpectAllFree();
}

TEST_F(LlmWorkerTest, ChoicesAnswerAsTheReference) {
  Start("qwen2");
  const Golden golden = ReadGolden("qwen2/expected/short.json");
  v1::LlmGenerateRequest request = Request(golden.prompt, static_cast<int64_t>(golden.answer.size()));
  request.set_n(3);
  v1::Resources& leg = *request.mutable_grant()->mutable_legs(0)->mutable_resources();
  leg.set_slots(3);
  leg.set_kv_blocks(
      admission::ChoiceBlocks(static_cast<int64_t>(golden.prompt.size()), request.max_tokens(), 3, block_size_));
  std::map<int32_t, std::vector<int32_t>> choices;
  const Answer answer =
      Ask(request, [&](const v1::TokenEvent& event) { choices[event.choice()].push_back(event.token()); });
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  ASSERT_EQ(choices.size(), 3u);
  for (const auto& [choice, ids] : choices) EXPECT_EQ(ids, golden.answer) << choice;
  EXPECT_EQ(answer.last.usage().completion_tokens(), 3 * static_cast<int64_t>(golden.answer.size()));
  ExpectAllFree();
}

TEST_F(LlmWorkerTest, StopIdEndsTheAnswer) {
  Start("qwen2");
  const Golden golden = ReadGolden("qwen2/expected/short.json");
  v1::LlmGenerateRequest request = Request(golden.prompt, 24);
  request.add_stop_ids(1172);
  const Answer answer = Ask(request);
  EXPECT_EQ(answer.last.finish(), v1::FINISH_REASON_STOP);
  EXPECT_EQ(answer.ids.back(), 1172);
  EXPECT_EQ(answer.ids.size(), 9u);
}

TEST_F(LlmWorkerTest, CancelInTheMiddleFreesEverything) {
  Start("qwen2");
  for (int i = 0; i < 3; ++i) {
    grpc::ClientContext context;
    const auto reader = stub_->Generate(&context, Request({39, 68, 357, 78}, 1500));
    v1::TokenEvent event;
    ASSERT_TRUE(reader->Read(&event));
    context.TryCancel();
    while (reader->Read(&event)) {
    }
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
    ExpectAllFree();
  }
}

TEST_F(LlmWorkerTest, AnswerThatNobodyReadsIsCancelled) {
  Start("qwen2", {"llm_worker.unread_ms_max=100"});
  grpc::ClientContext context;
  const auto reader = stub_->Generate(&context, Request({39, 68, 357, 78}, 1500));
  v1::TokenEvent event;
  ASSERT_TRUE(reader->Read(&event));
  while (!server_->worker().gate().Snapshot().active.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  while (reader->Read(&event)) {
  }
  reader->Finish();
  // It was cancelled, or it was done before anyone looked: then the rest waited unread and was cancelled after it.
  ExpectAllFree();
}

TEST_F(LlmWorkerTest, FencesOfTheGrantHold) {
  Start("qwen2");
  v1::LlmGenerateRequest request = Request({1, 2, 3}, 2);
  request.mutable_grant()->mutable_legs(0)->set_incarnation(server_->worker().incarnation() + 1);
  Answer answer = Ask(request);
  EXPECT_EQ(answer.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(answer.status), RefusalReason::kGrantNotValid);

  request = Request({1, 2, 3}, 2);
  EXPECT_TRUE(Ask(request).status.ok());
  ExpectAllFree();
  EXPECT_EQ(Ask(request).status.code(), absl::StatusCode::kAlreadyExists);

  request = Request({1, 2, 3}, 2);
  request.mutable_grant()->mutable_epoch()->set_cluster_id("elsewhere");
  EXPECT_EQ(Ask(request).status.code(), absl::StatusCode::kFailedPrecondition);
  ExpectAllFree();
}

// How a constraint that is wrong is refused; where there is no library, every one is.
const absl::StatusCode kConstraintCode =
    model::TokenGrammarCompiler::IsAvailable() ? absl::StatusCode::kInvalidArgument : absl::StatusCode::kUnimplemented;

TEST_F(LlmWorkerTest, BadRequestsAreRefusedAndHoldNothing) {
  Start("minicpmv");
  StartVision();
  const struct {
    const char* name;
    std::function<void(v1::LlmGenerateRequest&)> spoil;
    absl::StatusCode code = absl::StatusCode::kInvalidArgument;
  } bad[] = {
      {"other model", [](auto& r) { r.mutable_model()->set_sha256("x"); }, absl::StatusCode::kFailedPrecondition},
      {"n", [](auto& r) { r.set_n(2); }},
      {"negative n", [](auto& r) { r.set_n(-1); }},
      {"many choices", [](auto& r) { r.set_n(17); }},
      {"logprobs", [](auto& r) { r.set_logprobs(21); }},
      {"negative logprobs", [](auto& r) { r.set_logprobs(-2); }},
      {"prompt logprobs", [](auto& r) { r.set_prompt_logprobs(21); }},
      {"min_tokens", [](auto& r) { r.set_min_tokens(r.max_tokens() + 1); }},
      {"bias outside", [](auto& r) { (*r.mutable_sampling()->mutable_logit_bias())[1 << 30] = 1; }},
      {"penalty", [](auto& r) { r.mutable_sampling()->set_presence_penalty(3); }},
      {"empty constraint", [](auto& r) { r.mutable_constraint(); }, kConstraintCode},
      {"two constraints",
       [](auto& r) {
         r.mutable_constraint()->set_json_object(true);
         r.mutable_constraint()->set_json_schema("{}");
       },
       kConstraintCode},
      {"constraint without an end", [](auto& r) { r.mutable_constraint()->set_json_object(true); }, kConstraintCode},
      {"schema",
       [](auto& r) {
         r.add_stop_ids(1203);
         r.mutable_constraint()->set_json_schema(R"({"type": "x"})");
       },
       kConstraintCode},
      {"after ids",
       [](auto& r) {
         r.add_stop_ids(1203);
         r.mutable_constraint()->set_json_object(true);
         r.mutable_constraint()->add_after_ids(1224);
       },
       kConstraintCode},
      {"continued ids that break the grammar",
       [](auto& r) {
         r.add_stop_ids(1203);
         r.mutable_constraint()->set_json_object(true);
         r.add_continued_ids(1203);
         r.add_continued_ids(5);
       },
       kConstraintCode},
      {"no sampling", [](auto& r) { r.clear_sampling(); }},
      {"temperature", [](auto& r) { r.mutable_sampling()->set_temperature(-1); }},
      {"no grant", [](auto& r) { r.clear_grant(); }},
      {"no leg", [](auto& r) { r.mutable_grant()->clear_legs(); }},
      {"no prompt", [](auto& r) { r.clear_prompt_ids(); }},
      {"id", [](auto& r) { r.set_prompt_ids(0, 1224); }},
      {"max_tokens", [](auto& r) { r.set_max_tokens(0); }},
      {"too long", [](auto& r) { r.set_max_tokens(2048); }},
      {"more than granted", [](auto& r) { r.set_max_tokens(400); }},
      {"ref index", [](auto& r) { r.mutable_spans(0)->set_ref(1); }},
      {"negative ref index", [](auto& r) { r.mutable_spans(0)->set_ref(-1); }},
      {"piece index", [](auto& r) { r.mutable_spans(0)->set_piece(2); }},
      {"piece twice", [](auto& r) { r.mutable_spans(0)->set_piece(1); }},
      {"rows", [](auto& r) { r.mutable_spans(0)->set_rows(63); }},
      {"overlap", [](auto& r) { r.mutable_spans(1)->set_begin(66); }},
      {"outside", [](auto& r) { r.mutable_spans(1)->set_begin(101); }},
      {"rows of the other piece", [](auto& r) { r.mutable_spans(1)->set_rows(64); }},
      {"both have more rows than granted",
       [](auto& r) {
         r.mutable_spans(1)->set_rows(51);
         r.mutable_refs(0)->set_piece_rows(1, 51);
       }},
      {"rows of a piece", [](auto& r) { r.mutable_refs(0)->set_piece_rows(1, 49); }},
      {"a piece without rows", [](auto& r) { r.mutable_refs(0)->set_piece_rows(1, 0); }},
      {"a piece of negative rows", [](auto& r) { r.mutable_refs(0)->add_piece_rows(-50); }},
      {"a sum of rows that overflows",
       [](auto& r) {
         r.mutable_refs(0)->add_piece_rows(INT64_MAX);
         r.mutable_refs(0)->add_piece_rows(INT64_MAX);
       }},
      {"columns", [](auto& r) { r.mutable_refs(0)->set_columns(255); }},
      {"pieces", [](auto& r) { r.mutable_refs(0)->clear_piece_rows(); }},
      {"many pieces", [](auto& r) { r.mutable_refs(0)->add_piece_rows(1); }},
      {"endpoint", [](auto& r) { r.mutable_refs(0)->set_endpoint(""); }},
      {"ref of another model", [](auto& r) { r.mutable_refs(0)->mutable_model()->set_sha256("y"); },
       absl::StatusCode::kFailedPrecondition},
      {"worker gone", [](auto& r) { r.mutable_refs(0)->set_endpoint("inproc:gone"); }, absl::StatusCode::kUnavailable},
  };
  ASSERT_TRUE(Ask(ImageRequest()).status.ok());
  for (const auto& entry : bad) {
    v1::LlmGenerateRequest request = ImageRequest();
    entry.spoil(request);
    EXPECT_EQ(Ask(request).status.code(), entry.code) << entry.name;
    ExpectAllFree();
  }
}

TEST_F(LlmWorkerTest, EmbeddingsThatAreNotAsAnnouncedEndTheRequestOnly) {
  Start("minicpmv");
  StartVision();
  const std::pair<const char*, absl::StatusCode> ways[] = {
      {"not found", absl::StatusCode::kUnavailable}, {"one more", absl::StatusCode::kInternal},
      {"one less", absl::StatusCode::kInternal},     {"order", absl::StatusCode::kInternal},
      {"short", absl::StatusCode::kInternal},        {"dtype", absl::StatusCode::kFailedPrecondition},
      {"row missing", absl::StatusCode::kInternal},  {"row order", absl::StatusCode::kInternal},
      {"row more", absl::StatusCode::kInternal},     {"no rows", absl::StatusCode::kInternal}};
  for (const auto& [how, code] : ways) {
    vision_.how = how;
    EXPECT_EQ(Ask(ImageRequest()).status.code(), code) << how;
    ExpectAllFree();
  }
  vision_.how = "";
  const Answer answer = Ask(ImageRequest());
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_EQ(answer.ids.size(), 4u);
  EXPECT_EQ(answer.last.usage().image_tokens(), 64 + 50);
  EXPECT_EQ(answer.last.usage().pieces(), 2);
}

TEST_F(LlmWorkerTest, CancelWhileEmbeddingsAreFetched) {
  Start("minicpmv");
  StartVision();
  vision_.how = "hang";
  grpc::ClientContext context;
  const auto reader = stub_->Generate(&context, ImageRequest());
  while (vision_.fetches == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  context.TryCancel();
  v1::TokenEvent event;
  EXPECT_FALSE(reader->Read(&event));
  reader->Finish();
  ExpectAllFree();
}

TEST_F(LlmWorkerTest, DrainLetsAnswersFinishAndThenNobodyIn) {
  Start("qwen2");
  const Golden golden = ReadGolden("qwen2/expected/long.json");
  grpc::ClientContext context;
  const auto reader = stub_->Generate(&context, Request(golden.prompt, static_cast<int64_t>(golden.answer.size())));
  v1::TokenEvent event;
  ASSERT_TRUE(reader->Read(&event));
  std::thread stop([this] { server_->Stop(std::chrono::seconds(30)); });
  size_t tokens = 1;
  while (reader->Read(&event)) ++tokens;
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(tokens, golden.answer.size());
  stop.join();
  // A stub on the channel of a server that is gone must not be used again: gRPC 1.51 crashes. The directory forgets it.
  EXPECT_EQ(channels_.Get("inproc:llm-test").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(LlmWorkerTest, StopWithoutPatienceEndsAnswersWithUnavailable) {
  Start("qwen2");
  grpc::ClientContext context;
  const auto reader = stub_->Generate(&context, Request({39, 68, 357, 78}, 1800));
  v1::TokenEvent event;
  ASSERT_TRUE(reader->Read(&event));
  std::thread stop([this] { server_->Stop(Duration::zero()); });
  while (reader->Read(&event)) {
  }
  // The stream's own end or the server's, whichever the client sees first.
  const grpc::StatusCode code = reader->Finish().error_code();
  EXPECT_TRUE(code == grpc::StatusCode::UNAVAILABLE || code == grpc::StatusCode::CANCELLED) << code;
  stop.join();
  ExpectAllFree();
}

}  // namespace
}  // namespace headroom::llm_worker
