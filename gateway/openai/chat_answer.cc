#include "gateway/openai/chat_answer.h"

#include <utility>

namespace headroom::gateway::openai {
namespace {

template <typename Logprobs>
Json LogprobsJson(const Logprobs& logprobs) {
  if (logprobs.empty()) return nullptr;
  Json content = Json::array();
  for (const v1::TokenLogprob& logprob : logprobs) content.push_back(LogprobJson(logprob));
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json MessageJson(const v1::Choice& choice) {
  const bool called = choice.tool_calls_size() > 0;
  Json message = {{"role", "assistant"},
                  {"content", called && choice.text().empty() ? Json(nullptr) : Json(choice.text())},
                  {"refusal", nullptr}};
  if (!choice.reasoning().empty()) message["reasoning_content"] = choice.reasoning();
  if (!called) return message;
  Json& calls = message["tool_calls"] = Json::array();
  for (const v1::ToolCall& call : choice.tool_calls()) {
    calls.push_back({{"id", call.id()},
                     {"type", "function"},
                     {"function", {{"name", call.name()}, {"arguments", call.arguments_json()}}}});
  }
  return message;
}

Json DeltaJson(const v1::GenerateResponse& piece, bool first) {
  Json delta = Json::object();
  if (first) delta["role"] = "assistant";
  if (!piece.text_delta().empty()) {
    delta["content"] = piece.text_delta();
  } else if (first && piece.tool_calls().empty()) {
    delta["content"] = "";
  }
  if (!piece.reasoning_delta().empty()) delta["reasoning_content"] = piece.reasoning_delta();
  if (piece.tool_calls().empty()) return delta;
  Json& calls = delta["tool_calls"] = Json::array();
  for (const v1::ToolCallDelta& call : piece.tool_calls()) {
    Json json = {{"index", call.index()}};
    if (!call.name().empty()) {
      json["id"] = call.id();
      json["type"] = "function";
      json["function"]["name"] = call.name();
    }
    json["function"]["arguments"] = call.arguments_delta();
    calls.push_back(std::move(json));
  }
  return delta;
}

}  // namespace

Json ChatAnswer::Head(const char* object) const {
  return {{"id", "chatcmpl-" + head_.request_id},
          {"object", object},
          {"created", head_.created},
          {"model", head_.model},
          {"system_fingerprint", head_.fingerprint}};
}

std::string ChatAnswer::Whole(const v1::CompleteResponse& answer) {
  Json json = Head("chat.completion");
  Json& choices = json["choices"] = Json::array();
  for (const v1::Choice& choice : answer.choices()) {
    choices.push_back({{"index", choice.index()},
                       {"message", MessageJson(choice)},
                       {"logprobs", LogprobsJson(choice.logprobs())},
                       {"finish_reason", FinishWord(choice.finish().reason())}});
  }
  json["usage"] = UsageJson(answer.finish());
  if (answer.prompt_logprobs_size() > 0) {
    Json& prompt = json["prompt_logprobs"] = Json::array();
    for (const v1::TokenLogprob& logprob : answer.prompt_logprobs()) prompt.push_back(LogprobJson(logprob));
  }
  return WriteJson(json);
}

std::string ChatAnswer::Piece(const v1::GenerateResponse& piece) {
  Json chunk = Head("chat.completion.chunk");
  if (piece.prompt_logprobs_size() > 0) {
    Json& prompt = chunk["prompt_logprobs"] = Json::array();
    for (const v1::TokenLogprob& logprob : piece.prompt_logprobs()) prompt.push_back(LogprobJson(logprob));
  }
  const bool finished = piece.has_finish();
  chunk["choices"] = {{{"index", piece.choice()},
                       {"delta", DeltaJson(piece, begun_.insert(piece.choice()).second)},
                       {"logprobs", LogprobsJson(piece.logprobs())},
                       {"finish_reason", finished ? Json(FinishWord(piece.finish().reason())) : Json(nullptr)}}};
  if (options_.include_usage) chunk["usage"] = nullptr;
  if (finished && piece.finish().has_usage()) last_ = piece.finish();
  return Event(chunk);
}

std::string ChatAnswer::End() {
  if (!options_.include_usage) return kDoneEvent;
  Json chunk = Head("chat.completion.chunk");
  chunk["choices"] = Json::array();
  chunk["usage"] = UsageJson(last_);
  return Event(chunk) + kDoneEvent;
}

}  // namespace headroom::gateway::openai
