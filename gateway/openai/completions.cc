#include "gateway/openai/completions.h"

#include <utility>

#include "common/utf8.h"
#include "gateway/openai/errors.h"
#include "gateway/openai/fields.h"
#include "gateway/openai/request_parts.h"

namespace headroom::gateway::openai {
namespace {

// The older form: one list for each kind of thing, counted over the tokens. `*offset`: of the next token in the text,
// in characters.
template <typename Logprobs>
Json LogprobsJson(const Logprobs& logprobs, int64_t* offset) {
  if (logprobs.empty()) return nullptr;
  Json json = {{"tokens", Json::array()},
               {"token_logprobs", Json::array()},
               {"top_logprobs", Json::array()},
               {"text_offset", Json::array()}};
  for (const v1::TokenLogprob& logprob : logprobs) {
    const Json entry = LogprobJson(logprob);
    json["tokens"].push_back(entry["token"]);
    json["token_logprobs"].push_back(entry["logprob"]);
    Json top = Json::object();
    for (const Json& alternative : entry["top_logprobs"]) {
      top[alternative["token"].get<std::string>()] = alternative["logprob"];
    }
    json["top_logprobs"].push_back(std::move(top));
    json["text_offset"].push_back(*offset);
    *offset += static_cast<int64_t>(CountCharacters(logprob.text()));
  }
  return json;
}

}  // namespace

absl::Status ReadCompletionsRequest(Json& body, const std::string& request_id, v1::GenerateRequest* request,
                                    AnswerOptions* options) {
  request->set_model(TakeString(body, "model"));
  ReadExtensions(body, request_id, request);
  Json& prompt = *Find(body, "prompt");
  Json& text = prompt.is_array() ? prompt[0] : prompt;
  request->set_prompt(std::move(text.get_ref<std::string&>()));
  if (request->prompt().empty()) return RequestError("invalid_value", "prompt", "prompt is empty");
  if (const int64_t most = IntegerOr(body, "max_tokens", 0); most != 0) {
    request->set_max_tokens(static_cast<int32_t>(most));
  }
  if (Find(body, "logprobs") != nullptr) request->set_logprobs(static_cast<int32_t>(IntegerOr(body, "logprobs", 0)));
  HEADROOM_RETURN_IF_ERROR(ReadSampling(body, request));
  HEADROOM_RETURN_IF_ERROR(ReadStop(body, request));
  request->set_n(static_cast<int32_t>(IntegerOr(body, "n", 1)));
  if (Json* const format = Find(body, "response_format"); format != nullptr) {
    HEADROOM_RETURN_IF_ERROR(ReadResponseFormat(TakeString(*format, "type"), Find(*format, "json_schema"),
                                                "response_format.json_schema.schema", request));
  }
  ReadStreamOptions(body, options);
  return absl::OkStatus();
}

Json CompletionsAnswer::Head() const {
  return {{"id", "cmpl-" + head_.request_id},
          {"object", "text_completion"},
          {"created", head_.created},
          {"model", head_.model},
          {"system_fingerprint", head_.fingerprint}};
}

std::string CompletionsAnswer::Whole(const v1::CompleteResponse& answer) {
  Json json = Head();
  Json& choices = json["choices"] = Json::array();
  for (const v1::Choice& choice : answer.choices()) {
    int64_t offset = 0;
    choices.push_back({{"index", choice.index()},
                       {"text", choice.text()},
                       {"logprobs", LogprobsJson(choice.logprobs(), &offset)},
                       {"finish_reason", FinishWord(choice.finish().reason())}});
  }
  json["usage"] = UsageJson(answer.finish());
  return WriteJson(json);
}

std::string CompletionsAnswer::Piece(const v1::GenerateResponse& piece) {
  const bool finished = piece.has_finish();
  Json chunk = Head();
  chunk["choices"] = {{{"index", piece.choice()},
                       {"text", piece.text_delta()},
                       {"logprobs", LogprobsJson(piece.logprobs(), &offsets_[piece.choice()])},
                       {"finish_reason", finished ? Json(FinishWord(piece.finish().reason())) : Json(nullptr)}}};
  if (options_.include_usage) chunk["usage"] = nullptr;
  if (finished && piece.finish().has_usage()) last_ = piece.finish();
  return Event(chunk);
}

std::string CompletionsAnswer::End() {
  if (!options_.include_usage) return kDoneEvent;
  Json chunk = Head();
  chunk["choices"] = Json::array();
  chunk["usage"] = UsageJson(last_);
  return Event(chunk) + kDoneEvent;
}

}  // namespace headroom::gateway::openai
