// Bodies of /v1/completions: a prompt as it is, without a template.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "gateway/openai/answer_format.h"
#include "gateway/openai/chat_request.h"

namespace headroom::gateway::openai {

// As ReadChatRequest, for CompletionsShape.
absl::Status ReadCompletionsRequest(Json& body, const std::string& request_id, v1::GenerateRequest* request,
                                    AnswerOptions* options);

class CompletionsAnswer : public AnswerFormat {
 public:
  explicit CompletionsAnswer(const AnswerOptions& options) : options_(options) {}

  std::string Whole(const v1::CompleteResponse& answer) override;
  std::string Piece(const v1::GenerateResponse& piece) override;
  std::string End() override;

 private:
  Json Head() const;

  const AnswerOptions options_;
  std::map<int, int64_t> offsets_;  // characters of each choice so far, for logprobs
  v1::Finish last_;
};

}  // namespace headroom::gateway::openai
