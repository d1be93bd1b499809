// What requests tell the chat template, and formats and forced calls, from the HTTP API to the worker.
#include <gmock/gmock.h>

#include "gateway/openai/fields.h"
#include "gateway/testing/api_client.h"
#include "model/text/template_arguments.h"

namespace headroom::gateway::openai {
namespace {

using ::testing::HasSubstr;

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

}  // namespace
}  // namespace headroom::gateway::openai
