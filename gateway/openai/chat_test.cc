// Bodies of the endpoints that generate: to the protocol, and answers back.
#include <gmock/gmock.h>

#include "common/error_details.h"
#include "common/field_error.h"
#include "gateway/openai/chat_answer.h"
#include "gateway/openai/chat_request.h"
#include "gateway/openai/completions.h"
#include "gateway/openai/endpoints.h"
#include "gateway/openai/errors.h"
#include "gateway/openai/fields.h"

namespace headroom::gateway::openai {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<v1::GenerateRequest> ReadChat(const std::string& text) {
  HEADROOM_ASSIGN_OR_RETURN(Json body, ParseJson(text));
  std::vector<std::string> ignored;
  HEADROOM_RETURN_IF_ERROR(CheckFields(ChatShape(), body, UnknownFields::kRefuse, &ignored));
  v1::GenerateRequest request;
  AnswerOptions options;
  HEADROOM_RETURN_IF_ERROR(ReadChatRequest(body, "id-1", &request, &options));
  return request;
}

Json Param(const absl::Status& status) { return Json::parse(ErrorBody(status))["error"]["param"]; }

TEST(ChatRequestTest, TextsPicturesToolsAndCalls) {
  const auto request = ReadChat(R"({"model": "m", "messages": [
      {"role": "developer", "content": "Be short."},
      {"role": "user", "name": "Ann", "content": [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,REVG", "detail": "high"}}]},
      {"role": "assistant", "content": null, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]},
      {"role": "tool", "tool_call_id": "c1", "content": "7"}],
    "tools": [{"type": "function", "function": {"name": "f", "description": "F.",
               "parameters": {"type": "object", "properties": {"b": {}, "a": {}}}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}}})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->model(), "m");
  EXPECT_EQ(request->request_id(), "id-1");
  ASSERT_EQ(request->messages_size(), 4);
  EXPECT_EQ(request->messages(1).name(), "Ann");
  EXPECT_EQ(request->messages(1).content(1).image().data(), "ABC");
  EXPECT_EQ(request->messages(1).content(1).image().max_slice_nums(), 1);
  EXPECT_EQ(request->messages(1).content(2).image().data(), "DEF");
  EXPECT_FALSE(request->messages(1).content(2).image().has_max_slice_nums());
  EXPECT_EQ(request->messages(2).content_size(), 0);
  EXPECT_EQ(request->messages(2).tool_calls(0).arguments_json(), "{\"a\": 1}");
  EXPECT_EQ(request->messages(3).tool_call_id(), "c1");
  EXPECT_EQ(request->tools(0).parameters_json(), R"({"type":"object","properties":{"b":{},"a":{}}})");
  EXPECT_EQ(request->tool_choice().function(), "f");
}

TEST(ChatRequestTest, NumbersAndForms) {
  const auto request = ReadChat(R"({"messages": [{"role": "user", "content": "x"}], "max_completion_tokens": 7,
    "max_tokens": 7, "temperature": 0.5, "top_k": 3, "min_p": 0.1, "seed": -1, "logit_bias": {"5": -100},
    "stop": ["a", "b"], "logprobs": true, "top_logprobs": 2, "n": 2, "priority": -3, "request_id": "own",
    "reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": false},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->max_tokens(), 7);
  EXPECT_FLOAT_EQ(request->sampling().temperature(), 0.5);
  EXPECT_FALSE(request->sampling().has_top_p());
  EXPECT_EQ(request->sampling().seed(), UINT64_MAX);
  EXPECT_EQ(request->sampling().logit_bias().at(5), -100);
  EXPECT_EQ(request->stop_size(), 2);
  EXPECT_EQ(request->logprobs(), 2);
  EXPECT_EQ(request->n(), 2);
  EXPECT_EQ(request->priority(), -3);
  EXPECT_EQ(request->request_id(), "own");
  EXPECT_EQ(request->template_arguments_json(), R"({"enable_thinking":false,"reasoning_effort":"low"})");
  EXPECT_EQ(request->response_format().json_schema(), R"({"type":"object"})");
}

TEST(ChatRequestTest, FormatsHaveNames) {
  const auto with_name = [](const std::string& name) {
    return ReadChat(R"({"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_schema",
        "json_schema": {"name": ")" +
                    name + R"(", "schema": {}}}})")
        .status();
  };
  EXPECT_TRUE(with_name(std::string(64, 'n')).ok());
  EXPECT_EQ(Param(with_name(std::string(65, 'n'))), "response_format.json_schema.name");
  EXPECT_EQ(Param(with_name("")), "response_format.json_schema.name");
}

// The template's own list (model/text/template_arguments.h) is checked to be the same in api_test.
TEST(ChatRequestTest, ArgumentsOfTheTemplate) {
  const auto arguments = [](const std::string& fields) {
    return ReadChat(R"({"messages": [{"role": "user", "content": "x"}], )" + fields + "}")->template_arguments_json();
  };
  EXPECT_EQ(arguments(R"("chat_template_kwargs": {"thinking": null})"), "");
  EXPECT_EQ(
      arguments(
          R"("chat_template_kwargs": {"reasoning_effort": "low", "thinking_budget": 3}, "reasoning_effort": "high")"),
      R"({"reasoning_effort":"high","thinking_budget":3})");
  // Where unknown names are ignored, they do not reach the template, either.
  Json body = Json::parse(R"({"messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": {"tools": []}})");
  v1::GenerateRequest request;
  AnswerOptions options;
  ASSERT_TRUE(ReadChatRequest(body, "id-1", &request, &options).ok());
  EXPECT_EQ(request.template_arguments_json(), "");
}

TEST(EndpointsTest, FieldsOfTheProtocolAreToldInTheClientsWords) {
  const absl::Status wrong =
      FieldError("template_arguments_json.reasoning_effort", absl::InvalidArgumentError("is odd"));
  const std::pair<const char*, const char*> cases[] = {{"/v1/chat/completions", "reasoning_effort"},
                                                       {"/v1/responses", "reasoning.effort"}};
  for (const auto& [path, param] : cases) {
    const absl::Status told = InWordsOf(*FindEndpoint("POST", path), wrong);
    EXPECT_EQ(told.message(), absl::StrCat(param, ": is odd"));
    EXPECT_EQ(Param(told), param);
  }
  const absl::Status other = absl::InvalidArgumentError("n is 17");
  EXPECT_EQ(InWordsOf(*FindEndpoint("POST", "/v1/responses"), other), other);
}

TEST(ChatRequestTest, ErrorsNameTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("max_tokens": 1, "max_completion_tokens": 2)", "max_completion_tokens"},
      {R"("top_logprobs": 2)", "top_logprobs"},
      {R"("tool_choice": "required")", "tool_choice"},
      {R"("tool_choice": {"type": "function", "function": {"name": "g"}})", "tool_choice.function.name"},
      {R"("logit_bias": {"a": 1})", "logit_bias.a"},
      {R"("logit_bias": {"1": 101})", "logit_bias.1"},
      {R"("stop_token_ids": [-1])", "stop_token_ids"},
      {R"("response_format": {"type": "json_schema"})", "response_format.json_schema.schema"}};
  for (const auto& [members, param] : cases) {
    const auto request = ReadChat(absl::StrCat(R"({"messages": [{"role": "user", "content": "x"}], )", members, "}"));
    ASSERT_FALSE(request.ok()) << members;
    EXPECT_EQ(Param(request.status()), param);
  }
  const auto bad = ReadChat(R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"},
      {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}]}]})");
  EXPECT_EQ(Param(bad.status()), "messages[0].content[1].image_url.url");
  EXPECT_THAT(bad.status().message(), HasSubstr("no data URI"));
}

v1::GenerateResponse TextPiece(const std::string& text) {
  v1::GenerateResponse piece;
  piece.set_text_delta(text);
  return piece;
}

// The data of each event.
std::vector<std::string> Events(const std::string& stream) {
  std::vector<std::string> events;
  size_t at = 0;
  while (at < stream.size()) {
    const size_t end = stream.find("\n\n", at);
    EXPECT_EQ(stream.substr(at, 6), "data: ");
    EXPECT_NE(end, std::string::npos);
    events.push_back(stream.substr(at + 6, end - at - 6));
    at = end + 2;
  }
  return events;
}

TEST(ChatAnswerTest, StreamOfAnAnswer) {
  ChatAnswer answer({.stream = true, .include_usage = true});
  answer.SetHead({.request_id = "r", .model = "m", .fingerprint = "fp_1", .created = 5});
  std::string stream = answer.Piece(TextPiece("Hel"));
  stream += answer.Piece(TextPiece("lo"));
  v1::GenerateResponse last;
  last.mutable_finish()->set_reason(v1::FINISH_REASON_LENGTH);
  last.mutable_finish()->mutable_usage()->set_prompt_tokens(3);
  last.mutable_finish()->mutable_usage()->set_completion_tokens(2);
  stream += answer.Piece(last);
  stream += answer.End();
  const std::vector<std::string> events = Events(stream);
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(
      events[0],
      R"({"id":"chatcmpl-r","object":"chat.completion.chunk","created":5,"model":"m","system_fingerprint":"fp_1",)"
      R"("choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"logprobs":null,"finish_reason":null}],"usage":null})");
  EXPECT_EQ(Json::parse(events[1])["choices"][0]["delta"], Json::parse(R"({"content": "lo"})"));
  EXPECT_EQ(Json::parse(events[2])["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(Json::parse(events[3])["usage"]["total_tokens"], 5);
  EXPECT_TRUE(Json::parse(events[3])["choices"].empty());
  EXPECT_EQ(events[4], "[DONE]");
}

TEST(ChatAnswerTest, WholeAnswerWithCallsReasoningAndLogprobs) {
  v1::CompleteResponse whole;
  v1::Choice& choice = *whole.add_choices();
  choice.set_reasoning("hm");
  v1::ToolCall& call = *choice.add_tool_calls();
  call.set_id("c");
  call.set_name("f");
  call.set_arguments_json("{}");
  v1::TokenLogprob& logprob = *choice.add_logprobs();
  logprob.set_text("\xc3");
  logprob.set_logprob(-INFINITY);
  choice.mutable_finish()->set_reason(v1::FINISH_REASON_TOOL_CALLS);
  whole.mutable_finish()->mutable_usage()->set_image_tokens(64);
  ChatAnswer answer({});
  const Json json = Json::parse(answer.Whole(whole));
  const Json& first = json["choices"][0];
  EXPECT_EQ(first["finish_reason"], "tool_calls");
  EXPECT_TRUE(first["message"]["content"].is_null());
  EXPECT_EQ(first["message"]["reasoning_content"], "hm");
  EXPECT_EQ(first["message"]["tool_calls"][0]["function"]["arguments"], "{}");
  EXPECT_EQ(first["logprobs"]["content"][0]["bytes"], Json::parse("[195]"));
  EXPECT_EQ(first["logprobs"]["content"][0]["logprob"], -9999);
  EXPECT_EQ(json["usage"]["prompt_tokens_details"]["image_tokens"], 64);
}

std::string HeaderOf(const ErrorAnswer& answer, const std::string& name) {
  for (const auto& [key, value] : answer.headers) {
    if (key == name) return value;
  }
  return "";
}

TEST(ErrorsTest, RefusalsSayWhenToComeAgain) {
  const ErrorAnswer full = ToHttp(RefusalError(
      RefusalReason::kQueueFull, "full", {{"budget", "queue"}, {"needed", "1"}}, std::chrono::milliseconds(1'500)));
  EXPECT_EQ(full.status, 503);
  EXPECT_EQ(HeaderOf(full, "retry-after-ms"), "1500");
  EXPECT_EQ(HeaderOf(full, "retry-after"), "2");
  EXPECT_EQ(HeaderOf(full, "x-should-retry"), "true");
  EXPECT_EQ(HeaderOf(full, "x-headroom-budget"), "queue");
  const Json error = Json::parse(full.body)["error"];
  EXPECT_EQ(error["code"], "queue");
  EXPECT_EQ(error["type"], "overloaded_error");
  EXPECT_EQ(error["headroom"]["needed"], 1);
  EXPECT_EQ(error["headroom"]["reason"], "QUEUE_FULL");
}

TEST(ErrorsTest, EveryRefusalHasAStatusThatFitsIt) {
  for (const RefusalReasonInfo& info : RefusalReasons()) {
    const ErrorAnswer answer = ToHttp(RefusalError(info.reason, "no"));
    SCOPED_TRACE(info.name);
    // Voided is the gateway's own doing.
    if (info.reason == RefusalReason::kVoided) continue;
    const int refused = info.reason == RefusalReason::kModelNotFound ? 404 : 400;
    EXPECT_EQ(answer.status, info.retry ? 503 : refused);
    EXPECT_EQ(HeaderOf(answer, "x-should-retry"), info.retry ? "true" : "false");
  }
}

TEST(ErrorsTest, WhatFailedOnItsWayIsNotTriedAgain) {
  EXPECT_EQ(ToHttp(absl::UnavailableError("lost")).status, 500);
  EXPECT_EQ(HeaderOf(ToHttp(absl::UnavailableError("lost")), "x-should-retry"), "false");
  EXPECT_EQ(ToHttp(absl::DeadlineExceededError("late")).status, 504);
  EXPECT_EQ(HeaderOf(ToHttp(absl::DeadlineExceededError("late")), "x-should-retry"), "false");
  EXPECT_EQ(ToHttp(absl::InvalidArgumentError("image 1: broken")).status, 400);
  const absl::Status too_long = RefusalError(RefusalReason::kModelLimit, "too long", {{"budget", "model_len"}});
  EXPECT_EQ(Json::parse(ErrorBody(too_long))["error"]["code"], "context_length_exceeded");
}

}  // namespace
}  // namespace headroom::gateway::openai
