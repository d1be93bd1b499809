// The whole llm-worker over in-process channels, on the tiny reference models in fp32.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "admission/link/convert.h"
#include "admission/price.h"
#include "common/error_details.h"
#include "common/rpc/server_host.h"
#include "common/rpc/status.h"
#include "common/testing/paths.h"
#include "headroom/v1/vision.grpc.pb.h"
#include "llm-worker/server.h"
#include "model/text/tokenizer.h"
#include "runtime/testing/test_device.h"

namespace headroom::llm_worker {
namespace {

using nlohmann::json;

struct Golden {
  std::vector<int32_t> prompt, answer;
};

Golden ReadGolden(const std::string& path) {
  std::ifstream file(SourceDir() + "/tests/golden/" + path);
  const json data = json::parse(file);
  return {data["prompt_ids"].get<std::vector<int32_t>>(), data["greedy_ids"].get<std::vector<int32_t>>()};
}

// Sends pieces that are right but for one thing.
class OddVision final : public v1::Vision::Service {
 public:
  grpc::Status Fetch(grpc::ServerContext* context, const v1::FetchRequest* request,
                     grpc::ServerWriter<v1::FetchResponse>* writer) override {
    ++fetches;
    if (how == "not found") return {grpc::StatusCode::NOT_FOUND, "gone"};
    while (how == "hang" && !context->IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const int64_t count = request->ref().pieces() + (how == "one more" ? 1 : how == "one less" ? -1 : 0);
    for (int64_t piece = 0; piece < count; ++piece) {
      v1::FetchResponse response;
      response.set_piece(how == "order" ? 1 - piece : piece);
      response.set_dtype(how == "dtype" ? "bfloat16" : "float32");
      std::vector<float> rows(static_cast<size_t>(request->ref().rows_per_piece() * request->ref().columns()),
                              0.01f * static_cast<float>(piece + 1));
      response.set_data(rows.data(), rows.size() * sizeof(float) - (how == "short" ? 4 : 0));
      writer->Write(response);
    }
    return grpc::Status::OK;
  }
  std::string how;
  std::atomic<int> fetches = 0;
};

class LlmWorkerTest : public testing::Test {
 protected:
  void Start(const std::string& model, std::vector<std::string> overrides = {}) {
    overrides.insert(overrides.begin(),
                     {"model.path=" + SourceDir() + "/tests/golden/" + model, "model.dtype=fp32", "device.memory=96MiB",
                      "device.threads=1", "knobs.max_model_len=2048", "knobs.max_num_seqs=8",
                      "knobs.max_num_batched_tokens=64", "llm_worker.name=llm-test"});
    auto config = LoadConfig("", overrides);
    ASSERT_TRUE(config.ok()) << config.status();
    config->llm_worker.listen.clear();
    config->llm_worker.scheduler = "inproc:nowhere";
    metrics_ = *Metrics::Create("");
    auto device = worker::WorkerDevice::Create(*config, {.vision = false, .llm = true}, AddDecoderNeeds, {}, {},
                                               runtime::CreateTestDevice);
    ASSERT_TRUE(device.ok()) << device.status();
    device_ = std::move(*device);
    auto server = LlmServer::Start(*config, *device_, channels_, *metrics_, process_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
    ASSERT_TRUE(server_->WaitLoaded().ok());
    stub_ = v1::Llm::NewStub(*channels_.Get("inproc:llm-test"));
    block_size_ = device_->plan().knobs.block_size;
  }

  void StartVision() {
    ASSERT_TRUE(vision_host_.Start({&vision_}).ok());
    channels_.Register("inproc:vision", vision_host_.server());
  }

  v1::LlmGenerateRequest Request(const std::vector<int32_t>& prompt, int64_t max_tokens, int64_t host_bytes = 0) {
    v1::LlmGenerateRequest request;
    request.mutable_model()->set_sha256(device_->fingerprint());
    request.mutable_prompt_ids()->Assign(prompt.begin(), prompt.end());
    request.set_max_tokens(max_tokens);
    request.mutable_sampling()->set_top_p(1);
    request.mutable_sampling()->set_repetition_penalty(1);
    admission::Grant grant;
    grant.id = {7, ++grants_};
    grant.cluster_id = "headroom";  // of epoch 0: no scheduler has told this worker another
    grant.ttl = std::chrono::milliseconds(60'000);
    grant.model = device_->fingerprint();
    admission::Leg leg;
    leg.role = admission::Role::kLlm;
    leg.worker = "llm-test";
    leg.incarnation = server_->worker().incarnation();
    leg.resources.slots = 1;
    leg.resources.kv_blocks = BlocksFor(static_cast<int64_t>(prompt.size()) + max_tokens, block_size_);
    leg.resources.host_bytes = host_bytes;
    grant.legs.push_back(leg);
    *request.mutable_grant() = admission::ToProto(grant);
    return request;
  }

  // A prompt with one image of two pieces.
  v1::LlmGenerateRequest ImageRequest() {
    const EmbeddingShape shape{
        .rows_per_piece = 64, .columns = device_->model().llm.hidden_size, .dtype = DType::kF32, .model = ""};
    v1::LlmGenerateRequest request = Request(std::vector<int32_t>(150, 5), 4, 2 * shape.piece_bytes());
    v1::EmbeddingRef& ref = *request.add_refs();
    ref.set_endpoint("inproc:vision");
    ref.set_id(1);
    ref.set_pieces(2);
    ref.set_rows_per_piece(shape.rows_per_piece);
    ref.set_columns(shape.columns);
    ref.mutable_model()->set_sha256(device_->fingerprint());
    for (int i = 0; i < 2; ++i) {
      v1::EmbeddingSpan& span = *request.add_spans();
      span.set_begin(3 + 70 * i);
      span.set_rows(64);
      span.set_piece(i);
    }
    return request;
  }

  struct Answer {
    std::vector<int32_t> ids;
    v1::TokenEvent last;
    absl::Status status;
  };
  Answer Ask(const v1::LlmGenerateRequest& request, const std::function<void(const v1::TokenEvent&)>& look = {}) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    const auto reader = stub_->Generate(&context, request);
    Answer answer;
    v1::TokenEvent event;
    while (reader->Read(&event)) {
      if (event.has_token()) answer.ids.push_back(event.token());
      if (look) look(event);
      answer.last = event;
    }
    answer.status = rpc::FromGrpc(reader->Finish());
    return answer;
  }

  // What a call held is back by the time that its end is seen, but for the microseconds of the last hand-over.
  void ExpectAllFree() {
    for (int i = 0; i < 2000 && !server_->worker().gate().Snapshot().active.empty(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_TRUE(server_->worker().gate().Snapshot().active.empty());
    const memory::LedgerLine kv = device_->ledger().Snapshot()[memory::Component::kKvPool];
    EXPECT_EQ(kv.used, 0);
    EXPECT_EQ(kv.reserved, 0);
  }

  OddVision vision_;
  rpc::ServerHost vision_host_{{}};
  ProcessEnd process_;
  rpc::ChannelDirectory channels_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<worker::WorkerDevice> device_;
  std::unique_ptr<LlmServer> server_;
  std::unique_ptr<v1::Llm::Stub> stub_;
  int64_t block_size_ = 0;
  uint64_t grants_ = 0;
};

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
      {"outside", [](auto& r) { r.mutable_spans(1)->set_begin(87); }},
      {"columns", [](auto& r) { r.mutable_refs(0)->set_columns(255); }},
      {"pieces", [](auto& r) { r.mutable_refs(0)->set_pieces(0); }},
      {"many pieces", [](auto& r) { r.mutable_refs(0)->set_pieces(3); }},
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
      {"short", absl::StatusCode::kInternal},        {"dtype", absl::StatusCode::kFailedPrecondition}};
  for (const auto& [how, code] : ways) {
    vision_.how = how;
    EXPECT_EQ(Ask(ImageRequest()).status.code(), code) << how;
    ExpectAllFree();
  }
  vision_.how = "";
  const Answer answer = Ask(ImageRequest());
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_EQ(answer.ids.size(), 4u);
  EXPECT_EQ(answer.last.usage().image_tokens(), 128);
  EXPECT_EQ(answer.last.usage().pieces(), 2);
}

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
    if (answer.last.finish() == v1::FINISH_REASON_STOP) EXPECT_TRUE(json::accept(text)) << text;
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
