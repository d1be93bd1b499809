// Answers of /v1/chat/completions.
#pragma once

#include <set>
#include <string>

#include "gateway/openai/answer_format.h"
#include "gateway/openai/chat_request.h"

namespace headroom::gateway::openai {

class ChatAnswer : public AnswerFormat {
 public:
  explicit ChatAnswer(const AnswerOptions& options) : options_(options) {}

  std::string Whole(const v1::CompleteResponse& answer) override;
  std::string Piece(const v1::GenerateResponse& piece) override;
  std::string End() override;

 private:
  Json Head(const char* object) const;

  const AnswerOptions options_;
  std::set<int> begun_;  // choices that have had a chunk
  v1::Finish last_;
};

}  // namespace headroom::gateway::openai
