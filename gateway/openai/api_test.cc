// The HTTP API over a scripted cluster, without a socket: what each address answers, when the head goes out, how
// answers end.
#include "gateway/openai/api.h"

#include <gmock/gmock.h>

#include <cstring>
#include <fstream>

#include "gateway/openai/data_uri.h"
#include "gateway/openai/fields.h"
#include "gateway/testing/scripted_cluster.h"
#include "model/text/template_arguments.h"

namespace headroom::gateway::openai {
namespace {

using ::testing::HasSubstr;

// A client on the other side of the transport.
class KeptExchange : public http::Exchange {
 public:
  void Respond(http::Answer answer, Taken taken) override {
    std::unique_lock lock(mutex_);
    EXPECT_FALSE(over_);
    answer_ = std::move(answer);
    over_ = true;
    changed_.notify_all();
    lock.unlock();
    if (taken) taken(true);
  }
  void BeginStream(int status, http::Headers headers) override {
    std::lock_guard lock(mutex_);
    answer_ = {status, std::move(headers), ""};
    streaming_ = true;
  }
  void Chunk(std::string bytes, Taken taken) override {
    std::function<void()> gone;
    {
      std::lock_guard lock(mutex_);
      EXPECT_FALSE(bytes.empty());
      EXPECT_TRUE(streaming_ && !over_);
      answer_.body += bytes;
      if (leave_) std::swap(gone, gone_);
    }
    if (gone) gone();
    if (taken) taken(true);
  }
  void EndStream(bool complete) override {
    std::lock_guard lock(mutex_);
    complete_ = complete;
    over_ = true;
    changed_.notify_all();
  }
  void Disconnect() override {}
  void OnGone(std::function<void()> gone) override {
    std::lock_guard lock(mutex_);
    gone_ = std::move(gone);
  }

  http::Answer Await() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [this] { return over_; }));
    return answer_;
  }
  bool complete() {
    std::lock_guard lock(mutex_);
    return complete_;
  }
  // The client leaves with the next chunk.
  void Leave() { leave_ = true; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  http::Answer answer_;
  std::function<void()> gone_;
  std::atomic<bool> leave_ = false;
  bool streaming_ = false, over_ = false, complete_ = false;
};

std::string HeaderOf(const http::Answer& answer, const std::string& name) {
  for (const auto& [key, value] : answer.headers) {
    if (key == name) return value;
  }
  return "";
}

class ApiTest : public ScriptedCluster {
 protected:
  ApiTest() = default;
  explicit ApiTest(int64_t host_bytes) : ScriptedCluster(host_bytes) {}

  void SetUp() override {
    ScriptedCluster::SetUp();
    api_.emplace(Api::Parts{config_, *models_, *runner_, *cluster_, budget_, threads_.prepare});
  }
  void TearDown() override {
    api_.reset();
    EXPECT_TRUE(Eventually([this] { return budget_.used_bytes() == 0; })) << budget_.used_bytes();
    ScriptedCluster::TearDown();
  }

  static bool Eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 6'000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return condition();
  }

  http::Answer Ask(const std::string& method, const std::string& route_path, const std::string& path,
                   const std::string& body = "") {
    for (const http::Route& route : api_->Routes()) {
      if (route.method != method || route.path != route_path) continue;
      auto request = std::make_shared<http::Request>();
      request->method = method;
      request->path = path;
      request->body = body;
      request->id = "req-1";
      std::optional<RequestRunner::Place> place;
      if (route.body_bytes_max > 0) place.emplace(*runner_->Enter(0));
      exchange_ = std::make_shared<KeptExchange>();
      if (leave_) exchange_->Leave();
      api_->Handle(route, std::move(request), std::move(place), exchange_);
      return exchange_->Await();
    }
    ADD_FAILURE() << "no route " << route_path;
    return {};
  }
  http::Answer Chat(const std::string& body) {
    return Ask("POST", "/v1/chat/completions", "/v1/chat/completions", body);
  }

  // The gateway again, with these models; the workers are those of minicpmv.
  void ServeModels(std::vector<ModelSection> sections) {
    api_.reset();
    runner_.reset();
    cluster_.reset();
    ClusterConfig config;
    config.models = std::move(sections);
    auto models = ServedModels::Load(config);
    ASSERT_TRUE(models.ok()) << models.status();
    models_.emplace(*std::move(models));
    cluster_.emplace(*client_, *models_);
    ASSERT_TRUE(Eventually([this] { return cluster_->Ready().ok(); }));
    Serve(*peers_);
    api_.emplace(Api::Parts{config_, *models_, *runner_, *cluster_, budget_, threads_.prepare});
  }

  std::optional<Api> api_;
  std::shared_ptr<KeptExchange> exchange_;
  bool leave_ = false;
};

TEST_F(ApiTest, WholeAnswer) {
  const http::Answer answer = Chat(R"({"model": "minicpmv", "messages": [{"role": "user", "content": "Which?"}]})");
  EXPECT_EQ(answer.status, 200) << answer.body;
  const Json json = Json::parse(answer.body);
  EXPECT_EQ(json["id"], "chatcmpl-req-1");
  EXPECT_EQ(json["choices"][0]["message"]["content"], "one two three");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "stop");
  EXPECT_GT(json["usage"]["prompt_tokens"], 0);
  EXPECT_EQ(HeaderOf(answer, "content-type"), "application/json");
  EXPECT_NE(HeaderOf(answer, "openai-processing-ms"), "");
}

// The list of the HTTP API and that of the templates are one.
TEST(TemplateArgumentsTest, BothListsAreTheSame) {
  const Shape& shape = *ChatShape().Find("chat_template_kwargs")->shape;
  EXPECT_EQ(shape.fields.size(), model::TemplateArguments().size());
  for (const model::TemplateArgument& argument : model::TemplateArguments()) {
    const Field* const field = shape.Find(argument.name);
    ASSERT_NE(field, nullptr) << argument.name;
    const std::map<std::string, uint8_t> types = {{"boolean", kBoolean}, {"integer", kInteger}, {"string", kString}};
    EXPECT_EQ(field->types, types.at(argument.type)) << argument.name;
  }
}

TEST_F(ApiTest, ArgumentsThatTheTemplateDoesNotReadAreRefused) {
  const http::Answer chat =
      Chat(R"({"messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": {"enable_thinking": true}})");
  EXPECT_EQ(chat.status, 400);
  const Json error = Json::parse(chat.body)["error"];
  EXPECT_EQ(error["param"], "chat_template_kwargs.enable_thinking");
  EXPECT_EQ(error["message"], "chat_template_kwargs.enable_thinking: the model's chat template does not read it");
  const http::Answer responses =
      Ask("POST", "/v1/responses", "/v1/responses", R"({"input": "x", "reasoning": {"effort": "low"}})");
  EXPECT_EQ(Json::parse(responses.body)["error"]["param"], "reasoning.effort") << responses.body;
  const http::Answer tokenized =
      Ask("POST", "/tokenize", "/tokenize",
          R"({"messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": {"thinking": true}})");
  EXPECT_EQ(Json::parse(tokenized.body)["error"]["param"], "chat_template_kwargs.thinking") << tokenized.body;
}

TEST_F(ApiTest, ThoughtsAreCounted) {
  ServedModel& model = *models_->all().front();
  model.answer_syntax = {"<<", ">>", CallForm::kNone, "", ""};
  const auto ids = [&](const char* text) { return *model.tokenizer->Encode(text, model::AddedTokens::kNone); };
  llm_a_.tokens = ids("<<one two>>");
  const auto thought = static_cast<int64_t>(llm_a_.tokens.size());
  for (const int32_t id : ids(" three four five six")) llm_a_.tokens.push_back(id);
  llm_a_.tokens.push_back(model.stop_ids.front());
  const Json chat = Json::parse(Chat(R"({"messages": [{"role": "user", "content": "x"}], "n": 2})").body);
  EXPECT_EQ(chat["choices"][1]["message"]["reasoning_content"], "one two");
  EXPECT_EQ(chat["choices"][1]["message"]["content"], "three four five six");
  EXPECT_EQ(chat["usage"]["completion_tokens_details"]["reasoning_tokens"], 2 * thought) << chat;
  const Json response = Json::parse(Ask("POST", "/v1/responses", "/v1/responses", R"({"input": "x"})").body);
  EXPECT_EQ(response["usage"]["output_tokens_details"]["reasoning_tokens"], thought) << response;
  // A text that is gone on with has no thoughts.
  const Json completion = Json::parse(Ask("POST", "/v1/completions", "/v1/completions", R"({"prompt": "x"})").body);
  EXPECT_EQ(completion["choices"][0]["text"], "<<one two>> three four five six");
  EXPECT_EQ(completion["usage"]["completion_tokens_details"]["reasoning_tokens"], 0);
}

class ConstrainedApiTest : public ApiTest {
 protected:
  ConstrainedApiTest() : ApiTest(int64_t{1} << 30) {}
  void SetUp() override {
    ApiTest::SetUp();
    models_->all().front()->constrains = true;
  }
  void Answer(const char* text) {
    llm_a_.tokens = *model_->tokenizer->Encode(text, model::AddedTokens::kNone);
    llm_a_.tokens.push_back(model_->stop_ids.front());
  }
  http::Answer Responses(const std::string& body) { return Ask("POST", "/v1/responses", "/v1/responses", body); }
  std::string schema() { return llm_a_.requests.back().constraint().json_schema(); }

  static constexpr char kTools[] =
      R"("tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
                   {"type": "function", "function": {"name": "g"}}])";
};

TEST_F(ConstrainedApiTest, FormatsReachTheWorker) {
  Answer("[7]");
  EXPECT_EQ(Chat(R"({"messages": [{"role": "user", "content": "x"}], "prompt_logprobs": 0, "logprobs": true, "n": 2,
      "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"const": [7]}}}})")
                .status,
            200);
  EXPECT_EQ(schema(), R"({"const":[7]})");
  EXPECT_EQ(
      Responses(R"({"input": "x", "text": {"format": {"type": "json_schema", "name": "n", "schema": {"const": 8}}}})")
          .status,
      200);
  EXPECT_EQ(schema(), R"({"const":8})");
  EXPECT_EQ(Ask("POST", "/v1/completions", "/v1/completions",
                R"({"prompt": "x", "response_format": {"type": "json_object"}})")
                .status,
            200);
  EXPECT_TRUE(llm_a_.requests.back().constraint().json_object());
  EXPECT_EQ(Chat(R"({"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "text"}})").status,
            200);
  EXPECT_FALSE(llm_a_.requests.back().has_constraint());
}

TEST_F(ConstrainedApiTest, RefusalsNameTheClientsField) {
  const auto param = [](const http::Answer& answer) {
    EXPECT_EQ(answer.status, 400) << answer.body;
    return Json::parse(answer.body)["error"]["param"];
  };
  const std::string user = R"({"messages": [{"role": "user", "content": "x"}], )";
  const std::string bad = R"({"properties": {"a": {"contains": {}}}, "type": "object"})";
  const std::string format =
      R"("response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": )" + bad + "}}";
  EXPECT_EQ(param(Chat(user + format + "}")), "response_format.json_schema.schema");
  EXPECT_THAT(exchange_->Await().body, HasSubstr("/properties/a/contains"));
  EXPECT_EQ(param(Responses(R"({"input": "x", "text": {"format": {"type": "json_schema", "name": "n", "schema": )" +
                            bad + "}}}")),
            "text.format.schema");
  EXPECT_EQ(param(Chat(user + R"("max_tokens": 1, "response_format": {"type": "json_schema",
      "json_schema": {"name": "n", "schema": {"const": "one two three"}}}})")),
            "max_tokens");
  EXPECT_EQ(param(Chat(user + R"("stop": "a", "response_format": {"type": "json_object"}})")), "stop");
  EXPECT_EQ(param(Chat(user + R"("tool_choice": "required", "tools": [{"type": "function", "function":
      {"name": "f", "parameters": )" +
                       bad + "}}]}")),
            "tools[0].function.parameters");
  EXPECT_EQ(param(Responses(R"({"input": "x", "tool_choice": "required", "tools": [{"type": "function", "name": "f",
      "parameters": )" + bad +
                            "}]}")),
            "tools[0].parameters");
}

TEST_F(ConstrainedApiTest, ForcedCalls) {
  Answer(R"({"name":"g","arguments":{}})");
  const std::string body = R"({"messages": [{"role": "user", "content": "x"}], "tool_choice": "required", )";
  const http::Answer answer = Chat(body + kTools + "}");
  EXPECT_EQ(answer.status, 200) << answer.body;
  const Json choice = Json::parse(answer.body)["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_TRUE(choice["message"]["content"].is_null());
  EXPECT_EQ(choice["message"]["tool_calls"][0]["function"], Json::parse(R"({"name": "g", "arguments": "{}"})"));
  EXPECT_THAT(schema(), HasSubstr(R"("const":"g")"));

  Answer(R"({"a": 1})");
  const std::string named = R"({"messages": [{"role": "user", "content": "x"}], "stream": true,
      "tool_choice": {"type": "function", "function": {"name": "f"}}, )";
  const std::string stream = Chat(named + kTools + "}").body;
  EXPECT_THAT(stream, HasSubstr(R"("function":{"name":"f","arguments":)"));
  EXPECT_THAT(stream, HasSubstr(R"("finish_reason":"tool_calls")"));
  EXPECT_EQ(schema(), R"({"type":"object"})");
}

TEST_F(ConstrainedApiTest, ForcedCallsOfResponsesAreItems) {
  Answer(R"({"a": 1})");
  const std::string body = R"({"input": "x", "stream": true, "tool_choice": {"type": "function", "name": "f"},
      "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}]})";
  const http::Answer answer = Responses(body);
  EXPECT_EQ(answer.status, 200) << answer.body;
  std::vector<std::string> types;
  std::string arguments;
  Json completed;
  for (size_t at = 0; (at = answer.body.find("data: ", at)) != std::string::npos; at += 6) {
    const Json event = Json::parse(answer.body.substr(at + 6, answer.body.find('\n', at) - at - 6));
    if (types.empty() || types.back() != event["type"]) types.push_back(event["type"]);
    if (event["type"] == "response.function_call_arguments.delta") arguments += event["delta"].get<std::string>();
    if (event["type"] == "response.completed") completed = event["response"];
  }
  EXPECT_THAT(types,
              ::testing::ElementsAre("response.created", "response.in_progress", "response.output_item.added",
                                     "response.function_call_arguments.delta", "response.function_call_arguments.done",
                                     "response.output_item.done", "response.completed"));
  EXPECT_EQ(arguments, R"({"a": 1})");
  EXPECT_EQ(completed["output"][0]["type"], "function_call");
  EXPECT_EQ(completed["output"][0]["arguments"], arguments);
}

TEST_F(ApiTest, PicturesReachTheWorkerAsTheyAre) {
  std::ifstream file(kGolden + "/images/small.png", std::ios::binary);
  const std::string picture(std::istreambuf_iterator<char>(file), {});
  const http::Answer answer = Chat(
      R"({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,)" +
      EncodeBase64(picture) + R"("}}, {"type": "text", "text": "Which?"}]}]})");
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_GT(Json::parse(answer.body)["usage"]["prompt_tokens_details"]["image_tokens"], 0);
  std::lock_guard lock(vision_.mutex);
  ASSERT_EQ(vision_.received.size(), 1u);
  EXPECT_EQ(vision_.received[0], picture);
}

TEST_F(ApiTest, StreamEndsWithDone) {
  const http::Answer answer = Chat(R"({"messages": [{"role": "user", "content": "Which?"}], "stream": true})");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(HeaderOf(answer, "content-type"), HasSubstr("text/event-stream"));
  EXPECT_TRUE(answer.body.ends_with("data: [DONE]\n\n")) << answer.body;
  EXPECT_TRUE(exchange_->complete());
}

TEST_F(ApiTest, RefusalBeforeTheGrantHasItsStatusThoughAStreamWasAsked) {
  scheduler_.refuse =
      RefusalError(RefusalReason::kWaitTooLong, "no room", {{"budget", "kv_blocks"}}, std::chrono::milliseconds(2'000));
  const http::Answer answer = Chat(R"({"messages": [{"role": "user", "content": "Which?"}], "stream": true})");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(HeaderOf(answer, "retry-after-ms"), "2000");
  EXPECT_EQ(Json::parse(answer.body)["error"]["code"], "kv_blocks");
}

TEST_F(ApiTest, ErrorInAStreamIsAnEventAndNoEnd) {
  llm_a_.fail_after = 1;
  llm_a_.fail = absl::InternalError("broken");
  const http::Answer answer = Chat(R"({"messages": [{"role": "user", "content": "Which?"}], "stream": true})");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, HasSubstr("data: {\"error\":"));
  EXPECT_FALSE(answer.body.ends_with("data: [DONE]\n\n"));
  EXPECT_FALSE(exchange_->complete());
}

TEST_F(ApiTest, ClientThatLeavesEndsTheRequest) {
  leave_ = true;
  llm_a_.tokens.insert(llm_a_.tokens.begin(), 500, llm_a_.tokens.front());
  Chat(R"({"messages": [{"role": "user", "content": "Which?"}], "stream": true})");
  EXPECT_FALSE(exchange_->complete());
  EXPECT_TRUE(Eventually([this] { return runner_->running() == 0; }));
}

TEST_F(ApiTest, BadBodiesAreRefusedBeforeAnyWork) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "invalid_json"},
      {"[]", "invalid_type"},
      {"{}", "missing_required_parameter"},
      {R"({"messages": []})", "invalid_value"},
      {R"({"messages": [{"role": "user", "content": "x"}], "functions": [{"name": "f"}]})", "unsupported_parameter"},
      {R"({"messages": [{"role": "user", "content": "x"}], "nothing": 1})", "unknown_parameter"}};
  for (const auto& [body, code] : cases) {
    const http::Answer answer = Chat(body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_EQ(Json::parse(answer.body)["error"]["code"], code) << body;
  }
  const http::Answer unknown = Chat(R"({"model": "gpt", "messages": [{"role": "user", "content": "x"}]})");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(Json::parse(unknown.body)["error"]["code"], "model_not_found");
  std::lock_guard lock(scheduler_.mutex);
  EXPECT_TRUE(scheduler_.reserves.empty());
}

TEST_F(ApiTest, TokensThereAndBack) {
  const Json tokens =
      Json::parse(Ask("POST", "/tokenize", "/tokenize", R"({"prompt": "one two", "return_token_strs": true})").body);
  EXPECT_EQ(tokens["count"], tokens["tokens"].size());
  EXPECT_EQ(tokens["max_model_len"], 1000);
  const Json back =
      Json::parse(Ask("POST", "/detokenize", "/detokenize", Json({{"tokens", tokens["tokens"]}}).dump()).body);
  EXPECT_EQ(back["prompt"], "one two");
  const Json chat = Json::parse(
      Ask("POST", "/tokenize", "/tokenize", R"({"messages": [{"role": "user", "content": "one two"}]})").body);
  EXPECT_GT(chat["count"], tokens["count"]);
  EXPECT_EQ(Ask("POST", "/tokenize", "/tokenize", "{}").status, 400);
  EXPECT_EQ(Ask("POST", "/detokenize", "/detokenize", R"({"tokens": [100000000]})").status, 400);
}

TEST_F(ApiTest, PriceIsWhatTheRequestThenReserves) {
  const std::string body = R"({"messages": [{"role": "user", "content": "Which?"}], "max_tokens": 40})";
  const Json price = Json::parse(Ask("POST", "/v1/headroom/price", "/v1/headroom/price", body).body);
  Chat(body);
  std::lock_guard lock(scheduler_.mutex);
  ASSERT_EQ(scheduler_.reserves.size(), 1u);
  EXPECT_EQ(price["price"]["llm"]["kv_blocks"], scheduler_.reserves[0].price().llm().kv_blocks());
  EXPECT_EQ(price["max_tokens"], 40);
}

class PicturesTest : public ApiTest {
 protected:
  static std::string Uri(const std::string& name) {
    std::ifstream file(kGolden + "/images/" + name, std::ios::binary);
    return "data:image/png;base64," + EncodeBase64(std::string(std::istreambuf_iterator<char>(file), {}));
  }
  http::Answer Embed(const Json& body) { return Ask("POST", "/v1/embeddings", "/v1/embeddings", body.dump()); }
};

Json AskAbout(const Json& part) {
  return {{"messages", {{{"role", "user"}, {"content", {part, {{"type", "text"}, {"text", "Which?"}}}}}}},
          {"max_tokens", 8}};
}

TEST_F(PicturesTest, ASizeHasThePriceOfThePicture) {
  const auto price = [&](const Json& part) {
    return Ask("POST", "/v1/headroom/price", "/v1/headroom/price", AskAbout(part).dump());
  };
  const Json picture = Json::parse(price({{"type", "image_url"}, {"image_url", {{"url", Uri("wide.png")}}}}).body);
  std::ifstream file(kGolden + "/images/wide.png", std::ios::binary | std::ios::ate);
  Json size = {{"width", 0}, {"height", 0}, {"format", "png"}, {"size_bytes", static_cast<int64_t>(file.tellg())}};
  // Of the header: both sides are big-endian at bytes 16 and 20.
  file.seekg(16);
  for (const char* side : {"width", "height"}) {
    int64_t value = 0;
    for (int i = 0; i < 4; ++i) value = value * 256 + file.get();
    size[side] = value;
  }
  EXPECT_EQ(Json::parse(price({{"type", "image_size"}, {"image_size", size}}).body), picture);
  size.erase("format"), size.erase("size_bytes");
  const Json least = Json::parse(price({{"type", "image_size"}, {"image_size", size}}).body);
  EXPECT_EQ(least["price"]["llm"], picture["price"]["llm"]);
  EXPECT_LT(least["price"]["vision"]["host_bytes"], picture["price"]["vision"]["host_bytes"]);
  size["width"] = 65535;
  EXPECT_EQ(price({{"type", "image_size"}, {"image_size", size}}).status, 400);
  const http::Answer refused =
      Chat(AskAbout({{"type", "image_size"}, {"image_size", {{"width", 9}, {"height", 9}}}}).dump());
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(refused.body, HasSubstr("a size alone is enough for a price"));
}

TEST_F(PicturesTest, EveryPictureHasAnEntryInBothFormats) {
  const Json input = {Uri("small.png"), Uri("wide.png")};
  const http::Answer numbers = Embed({{"input", input}});
  ASSERT_EQ(numbers.status, 200) << numbers.body;
  EXPECT_EQ(HeaderOf(numbers, "content-type"), "application/json");
  EXPECT_EQ(HeaderOf(numbers, "x-headroom-model"), "minicpmv");
  EXPECT_TRUE(exchange_->complete());
  const Json whole = Json::parse(numbers.body);
  EXPECT_EQ(whole["object"], "list");
  ASSERT_EQ(whole["data"].size(), 2u);
  const Json coded = Json::parse(Embed({{"input", input}, {"encoding_format", "base64"}}).body);
  int64_t rows = 0;
  for (size_t i = 0; i < 2; ++i) {
    const Json& entry = whole["data"][i];
    EXPECT_EQ(entry["object"], "embedding");
    EXPECT_EQ(entry["index"], i);
    const auto shape = entry["shape"].get<std::vector<int64_t>>();
    ASSERT_EQ(entry["embedding"].size(), static_cast<size_t>(shape[0] * shape[1] * shape[2]));
    rows += shape[0] * shape[1];
    std::string bytes;
    ASSERT_TRUE(DecodeBase64(coded["data"][i]["embedding"].get<std::string>(), &bytes).ok());
    ASSERT_EQ(bytes.size(), entry["embedding"].size() * sizeof(float));
    for (size_t at = 0; at < entry["embedding"].size(); ++at) {
      float value = 0;
      std::memcpy(&value, bytes.data() + at * sizeof value, sizeof value);
      ASSERT_EQ(entry["embedding"][at].get<float>(), value) << "entry " << i << ", number " << at;
    }
  }
  EXPECT_EQ(whole["usage"]["total_tokens"], rows);
  EXPECT_EQ(Json::parse(Embed({{"input", Uri("small.png")}}).body)["data"].size(), 1u);
}

TEST_F(PicturesTest, WhatIsNoPictureIsRefusedByItsName) {
  const std::pair<Json, std::string> bad[] = {
      {{{"input", "a text"}}, "input"},
      {{{"input", {Uri("small.png"), "a text"}}}, "input[1]"},
      {{{"input", {1, 2}}}, "input[0]"},
      {{{"input", Json::array()}}, "input"},
      {{{"input", "data:text/plain,a"}}, "input"},
      {{{"input", Uri("small.png")}, {"dimensions", 8}}, "dimensions"},
      {{{"input", Uri("small.png")}, {"encoding_format", "int8"}}, "encoding_format"},
  };
  for (const auto& [body, param] : bad) {
    const http::Answer answer = Embed(body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_EQ(Json::parse(answer.body)["error"]["param"], param) << answer.body;
  }
  std::lock_guard lock(scheduler_.mutex);
  EXPECT_TRUE(scheduler_.reserves.empty());
}

TEST_F(PicturesTest, APictureThatDoesNotDecodeHasItsStatusThoughTheGrantWasHeld) {
  vision_.fail = absl::InvalidArgumentError("image 1: is cut");
  const http::Answer answer = Embed({{"input", Uri("small.png")}});
  EXPECT_EQ(answer.status, 400) << answer.body;
}

TEST_F(ApiTest, Models) {
  const Json list = Json::parse(Ask("GET", "/v1/models", "/v1/models").body);
  ASSERT_EQ(list["data"].size(), 1u);
  EXPECT_EQ(list["data"][0]["id"], "minicpmv");
  EXPECT_EQ(Ask("GET", "/v1/models/{model}", "/v1/models/mini%63pmv").status, 200);
  EXPECT_EQ(Ask("GET", "/v1/models/{model}", "/v1/models/other").status, 404);
}

// One with workers, one without, one whose files are not there: each is told of, and asked by name or alias.
TEST_F(ApiTest, SeveralModels) {
  ServeModels({{.name = "eyes", .aliases = {"gpt", "default"}, .path = kGolden},
               {.name = "idle", .path = SourceDir() + "/tests/golden/qwen2"},
               {.name = "gone", .aliases = {"away"}, .path = "/no/such/model"}});
  const Json list = Json::parse(Ask("GET", "/v1/models", "/v1/models").body)["data"];
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0]["id"], "eyes");
  EXPECT_EQ(list[0]["aliases"], Json({"gpt", "default"}));
  EXPECT_EQ(list[0]["ready"], true);
  EXPECT_EQ(list[0]["max_model_len"], 1000);
  EXPECT_EQ(list[1]["ready"], false);
  EXPECT_THAT(list[1]["not_ready"].get<std::string>(), HasSubstr("no llm-worker is ready for the model 'idle'"));
  EXPECT_EQ(list[2]["id"], "gone");
  EXPECT_EQ(list[2]["not_ready"], "the gateway could not load it");
  EXPECT_EQ(Json::parse(Ask("GET", "/v1/models/{model}", "/v1/models/away").body), list[2]);

  const auto chat = [&](const std::string& model) {
    return Chat(R"({"messages": [{"role": "user", "content": "Which?"}])" + model + "}");
  };
  for (const char* name : {"eyes", "gpt", "default"}) {
    const http::Answer answer = chat(absl::StrCat(R"(, "model": ")", name, "\""));
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(Json::parse(answer.body)["model"], "eyes");
    EXPECT_EQ(HeaderOf(answer, "x-headroom-model"), "eyes");
  }

  // Who is asked, the status, the code, the words; on every address that takes a model.
  struct Case {
    const char* model;
    int status;
    const char* code;
    const char* words;
  };
  for (const Case& wanted : {Case{"", 400, "missing_required_parameter", "names no model; served are 'eyes', 'idle'"},
                             {R"(, "model": "gpt-17")", 404, "model_not_found", "served are 'eyes', 'idle'"},
                             {R"(, "model": "away")", 503, "model_not_loaded", "could not load the model 'gone'"},
                             {R"(, "model": "idle")", 503, "service_unavailable", "the model 'idle'"}}) {
    const std::string messages = R"({"messages": [{"role": "user", "content": "Which?"}])";
    for (const auto& [address, begin] : {std::pair<std::string, std::string>{"/v1/chat/completions", messages},
                                         {"/v1/headroom/price", messages},
                                         {"/tokenize", messages},
                                         {"/v1/responses", R"({"input": "Which?")"},
                                         {"/v1/completions", R"({"prompt": "Which?")"}}) {
      const http::Answer answer = Ask("POST", address, address, begin + wanted.model + "}");
      EXPECT_EQ(answer.status, wanted.status) << address << " " << answer.body;
      const Json error = Json::parse(answer.body)["error"];
      EXPECT_EQ(error["code"], wanted.code) << address << " " << answer.body;
      EXPECT_THAT(error["message"].get<std::string>(), HasSubstr(wanted.words)) << address;
      EXPECT_EQ(HeaderOf(answer, "x-should-retry"), wanted.status == 503 ? "true" : "false") << address;
      EXPECT_EQ(HeaderOf(answer, "retry-after-ms").empty(), wanted.status != 503) << address;
    }
  }
  EXPECT_EQ(HeaderOf(chat(R"(, "model": "gone")"), "retry-after-ms"), "30000");
  EXPECT_EQ(Ask("POST", "/detokenize", "/detokenize", R"({"tokens": [1], "model": "idle"})").status, 200)
      << "the text of tokens needs no worker";
  EXPECT_FALSE(runner_->refusals().Last("req-1", 10, SystemClock().Now()).empty()) << "headroom explain knows of them";
}

TEST_F(ApiTest, OpenApiNamesEveryAddressAndSchema) {
  const Json api = Json::parse(Ask("GET", "/openapi.json", "/openapi.json").body);
  for (const Endpoint& endpoint : Endpoints()) EXPECT_TRUE(api["paths"].contains(endpoint.path)) << endpoint.path;
  const std::string text = api.dump();
  for (size_t at = text.find("#/components/schemas/"); at != std::string::npos;
       at = text.find("#/components/schemas/", at + 1)) {
    const size_t begin = at + std::string("#/components/schemas/").size();
    EXPECT_TRUE(api["components"]["schemas"].contains(text.substr(begin, text.find('"', begin) - begin)));
  }
}

// The items of a response are built by its events: the last one repeats what the others said.
TEST_F(ApiTest, ResponsesStreamTellsItsItems) {
  const http::Answer answer =
      Ask("POST", "/v1/responses", "/v1/responses", R"({"input": "Which?", "stream": true, "store": false})");
  ASSERT_EQ(answer.status, 200) << answer.body;
  std::string text;
  std::vector<std::string> types;
  Json last;
  for (size_t at = answer.body.find("data: "); at != std::string::npos; at = answer.body.find("data: ", at + 1)) {
    last = Json::parse(answer.body.substr(at + 6, answer.body.find('\n', at) - at - 6));
    EXPECT_EQ(last["sequence_number"], types.size());
    types.push_back(last["type"]);
    if (types.back() == "response.output_text.delta") text += last["delta"].get<std::string>();
  }
  EXPECT_EQ(text, "one two three");
  EXPECT_EQ(types.front(), "response.created");
  EXPECT_EQ(types.back(), "response.completed");
  EXPECT_EQ(last["response"]["output"][0]["content"][0]["text"], text);
  EXPECT_EQ(last["response"]["status"], "completed");
}

TEST_F(ApiTest, ResponsesAndCompletionsWhole) {
  const http::Answer answer = Ask("POST", "/v1/responses", "/v1/responses", R"({"instructions": "Short.", "input": [
      {"role": "user", "content": [{"type": "input_text", "text": "Which?"}]},
      {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
      {"type": "function_call_output", "call_id": "c", "output": "7"}]})");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const Json json = Json::parse(answer.body);
  EXPECT_EQ(json["output"][0]["content"][0]["text"], "one two three");
  EXPECT_EQ(json["id"], "resp_req-1");
  EXPECT_EQ(Ask("POST", "/v1/responses", "/v1/responses", R"({"input": "x", "previous_response_id": "r"})").status,
            400);
}

}  // namespace
}  // namespace headroom::gateway::openai
