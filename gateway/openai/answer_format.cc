#include "gateway/openai/answer_format.h"

namespace headroom::gateway::openai {
namespace {

// log(0) is no number of JSON: OpenAI's own stand-in for it.
constexpr float kLogprobLeast = -9999;

Json TokenJson(const v1::TokenLogprob& logprob) {
  Json bytes = Json::array();
  for (const char byte : logprob.text()) bytes.push_back(static_cast<uint8_t>(byte));
  return {
      {"token", logprob.text()}, {"logprob", std::max(logprob.logprob(), kLogprobLeast)}, {"bytes", std::move(bytes)}};
}

}  // namespace

const char* FinishWord(v1::FinishReason reason) {
  switch (reason) {
    case v1::FINISH_REASON_LENGTH:
      return "length";
    case v1::FINISH_REASON_TOOL_CALLS:
      return "tool_calls";
    default:
      return "stop";
  }
}

Json UsageJson(const v1::Finish& finish) {
  const v1::Usage& usage = finish.usage();
  return {{"prompt_tokens", usage.prompt_tokens()},
          {"completion_tokens", usage.completion_tokens()},
          {"total_tokens", usage.prompt_tokens() + usage.completion_tokens()},
          // Nothing of a prompt is kept for another request.
          {"prompt_tokens_details", {{"cached_tokens", 0}, {"image_tokens", usage.image_tokens()}}},
          {"completion_tokens_details", {{"reasoning_tokens", finish.reasoning_tokens()}}}};
}

Json LogprobJson(const v1::TokenLogprob& logprob) {
  Json entry = TokenJson(logprob);
  Json& top = entry["top_logprobs"] = Json::array();
  for (const v1::TokenLogprob& alternative : logprob.top()) top.push_back(TokenJson(alternative));
  return entry;
}

}  // namespace headroom::gateway::openai
