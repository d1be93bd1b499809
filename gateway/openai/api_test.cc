// The HTTP API over a scripted cluster: what each address answers, when the head goes out, how answers end.
#include <gmock/gmock.h>

#include <cstring>
#include <fstream>
#include <numeric>

#include "gateway/openai/data_uri.h"
#include "gateway/openai/fields.h"
#include "gateway/testing/api_client.h"

namespace headroom::gateway::openai {
namespace {

using ::testing::HasSubstr;

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
    ASSERT_EQ(entry["embedding"].size(), static_cast<size_t>(shape[0] * shape[1]));
    const auto piece_rows = entry["piece_rows"].get<std::vector<int64_t>>();
    EXPECT_EQ(std::accumulate(piece_rows.begin(), piece_rows.end(), int64_t{0}), shape[0]);
    EXPECT_EQ(piece_rows.size(), i == 0 ? 1u : 4u) << "the wide one has three slices";
    rows += shape[0];
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
