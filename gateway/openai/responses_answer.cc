#include "gateway/openai/responses_answer.h"

#include <utility>

namespace headroom::gateway::openai {
namespace {

Json UsageOfResponse(const v1::Finish& finish) {
  const v1::Usage& usage = finish.usage();
  const int64_t input = usage.prompt_tokens();
  const int64_t output = usage.completion_tokens();
  return {{"input_tokens", input},
          // Nothing of a prompt is kept for another request.
          {"input_tokens_details",
           {{"cached_tokens", 0}, {"cache_write_tokens", 0}, {"image_tokens", usage.image_tokens()}}},
          {"output_tokens", output},
          {"output_tokens_details", {{"reasoning_tokens", finish.reasoning_tokens()}}},
          {"total_tokens", input + output}};
}

Json TextPart(const char* type) {
  if (std::string_view(type) == "reasoning_text") return {{"type", type}, {"text", ""}};
  return {{"type", type}, {"text", ""}, {"annotations", Json::array()}, {"logprobs", Json::array()}};
}

template <typename Logprobs>
Json List(const Logprobs& logprobs) {
  Json list = Json::array();
  for (const v1::TokenLogprob& logprob : logprobs) list.push_back(LogprobJson(logprob));
  return list;
}

}  // namespace

Json ResponsesAnswer::Response(const char* status) const {
  Json response = {{"id", "resp_" + head_.request_id},
                   {"object", "response"},
                   {"created_at", head_.created},
                   {"status", status},
                   {"error", nullptr},
                   {"incomplete_details", nullptr},
                   {"model", head_.model},
                   {"output", output_},
                   {"usage", nullptr}};
  response.update(echo_);
  return response;
}

Json ResponsesAnswer::Finished() const {
  const bool cut = finish_.reason() == v1::FINISH_REASON_LENGTH;
  Json response = Response(cut ? "incomplete" : "completed");
  if (cut) response["incomplete_details"] = {{"reason", "max_output_tokens"}};
  response["usage"] = UsageOfResponse(finish_);
  return response;
}

std::string ResponsesAnswer::NewId(const char* prefix) const {
  return absl::StrCat(prefix, "_", head_.request_id, "_", output_.size());
}

std::string ResponsesAnswer::Named(const char* type, const Json& data) {
  Json event = {{"type", type}, {"sequence_number", sequence_++}};
  event.update(data);
  return absl::StrCat("event: ", type, "\n", Event(event));
}

Json ResponsesAnswer::At() const { return {{"item_id", Item()}, {"output_index", output_.size() - 1}}; }

std::string ResponsesAnswer::Begin() {
  std::string events = Named("response.created", {{"response", Response("in_progress")}});
  events += Named("response.in_progress", {{"response", Response("in_progress")}});
  return events;
}

// Ends the item that is open unless it is of this kind, and begins one.
std::string ResponsesAnswer::Turn(Open next) {
  if (open_ == next && next != Open::kCall) return "";
  std::string events = CloseItem();
  open_ = next;
  const bool thinks = next == Open::kReasoning;
  if (next == Open::kCall) return events;
  Json item = {
      {"id", NewId(thinks ? "rs" : "msg")}, {"type", thinks ? "reasoning" : "message"}, {"status", "in_progress"}};
  if (thinks) {
    item["summary"] = Json::array();
  } else {
    item["role"] = "assistant";
  }
  item["content"] = Json::array();
  output_.push_back(item);
  events += Named("response.output_item.added", {{"output_index", output_.size() - 1}, {"item", item}});
  const Json part = TextPart(thinks ? "reasoning_text" : "output_text");
  output_.back()["content"].push_back(part);
  Json added = At();
  added.update({{"content_index", 0}, {"part", part}});
  return events + Named("response.content_part.added", added);
}

std::string ResponsesAnswer::CloseItem() {
  if (open_ == Open::kNone) return "";
  Json& item = output_.back();
  std::string events;
  Json done = At();
  if (open_ == Open::kCall) {
    done.update({{"name", item["name"]}, {"arguments", item["arguments"]}});
    events = Named("response.function_call_arguments.done", done);
  } else {
    const bool thinks = open_ == Open::kReasoning;
    const Json& part = item["content"][0];
    done.update({{"content_index", 0}, {"text", part["text"]}});
    if (!thinks) done["logprobs"] = part["logprobs"];
    events = Named(thinks ? "response.reasoning_text.done" : "response.output_text.done", done);
    Json part_done = At();
    part_done.update({{"content_index", 0}, {"part", part}});
    events += Named("response.content_part.done", part_done);
  }
  item["status"] = finish_.reason() == v1::FINISH_REASON_LENGTH ? "incomplete" : "completed";
  open_ = Open::kNone;
  return events + Named("response.output_item.done", {{"output_index", output_.size() - 1}, {"item", item}});
}

std::string ResponsesAnswer::Text(Open kind, const std::string& delta, Json logprobs) {
  std::string events = Turn(kind);
  const bool thinks = kind == Open::kReasoning;
  Json& part = output_.back()["content"][0];
  part["text"].get_ref<std::string&>() += delta;
  Json data = At();
  data.update({{"content_index", 0}, {"delta", delta}});
  if (!thinks) {
    for (const Json& logprob : logprobs) part["logprobs"].push_back(logprob);
    data["logprobs"] = std::move(logprobs);
  }
  return events + Named(thinks ? "response.reasoning_text.delta" : "response.output_text.delta", data);
}

std::string ResponsesAnswer::Call(const v1::ToolCallDelta& call) {
  std::string events;
  if (!call.name().empty()) {
    events = Turn(Open::kCall);
    output_.push_back({{"id", NewId("fc")},
                       {"type", "function_call"},
                       {"status", "in_progress"},
                       {"call_id", call.id()},
                       {"name", call.name()},
                       {"arguments", ""}});
    events += Named("response.output_item.added", {{"output_index", output_.size() - 1}, {"item", output_.back()}});
  }
  output_.back()["arguments"].get_ref<std::string&>() += call.arguments_delta();
  Json data = At();
  data["delta"] = call.arguments_delta();
  return events + Named("response.function_call_arguments.delta", data);
}

std::string ResponsesAnswer::Piece(const v1::GenerateResponse& piece) {
  std::string events;
  if (!piece.reasoning_delta().empty()) events += Text(Open::kReasoning, piece.reasoning_delta(), Json::array());
  if (!piece.text_delta().empty()) events += Text(Open::kMessage, piece.text_delta(), List(piece.logprobs()));
  for (const v1::ToolCallDelta& call : piece.tool_calls()) events += Call(call);
  if (piece.has_finish()) finish_ = piece.finish();
  return events;
}

std::string ResponsesAnswer::End() {
  std::string events;
  // An answer without anything is an empty message.
  if (output_.empty()) events = Turn(Open::kMessage);
  events += CloseItem();
  const bool cut = finish_.reason() == v1::FINISH_REASON_LENGTH;
  return events + Named(cut ? "response.incomplete" : "response.completed", {{"response", Finished()}});
}

std::string ResponsesAnswer::Failed(const std::string& error) {
  const Json body = Json::parse(error)["error"];
  return Named("error", {{"code", body["code"]}, {"message", body["message"]}, {"param", body["param"]}});
}

// The same items, without their events.
std::string ResponsesAnswer::Whole(const v1::CompleteResponse& answer) {
  v1::GenerateResponse piece;
  if (answer.choices_size() > 0) {
    const v1::Choice& choice = answer.choices(0);
    piece.set_reasoning_delta(choice.reasoning());
    piece.set_text_delta(choice.text());
    *piece.mutable_logprobs() = choice.logprobs();
    for (const v1::ToolCall& call : choice.tool_calls()) {
      v1::ToolCallDelta* const delta = piece.add_tool_calls();
      delta->set_id(call.id());
      delta->set_name(call.name());
      delta->set_arguments_delta(call.arguments_json());
    }
  }
  *piece.mutable_finish() = answer.finish();
  Piece(piece);
  End();
  return WriteJson(Finished());
}

}  // namespace headroom::gateway::openai
