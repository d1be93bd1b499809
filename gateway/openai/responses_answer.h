// Answers of /v1/responses: items (reasoning, a message, calls), and in a stream the events that build them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "gateway/openai/answer_format.h"

namespace headroom::gateway::openai {

class ResponsesAnswer : public AnswerFormat {
 public:
  // `echo`: what a response repeats of its request.
  explicit ResponsesAnswer(Json echo) : echo_(std::move(echo)) {}

  std::string Whole(const v1::CompleteResponse& answer) override;
  std::string Begin() override;
  std::string Piece(const v1::GenerateResponse& piece) override;
  std::string End() override;
  std::string Failed(const std::string& error) override;

 private:
  // The last item of output_, while it is being written.
  enum class Open { kNone, kReasoning, kMessage, kCall };

  Json Response(const char* status) const;
  Json Finished() const;
  std::string Named(const char* type, const Json& data);
  std::string Item() const { return output_.back()["id"].get<std::string>(); }
  // Ids are of the request, and counted, so that they are unique.
  std::string NewId(const char* prefix) const;
  Json At() const;  // item_id, output_index
  std::string Turn(Open next);
  std::string CloseItem();
  std::string Text(Open kind, const std::string& delta, Json logprobs);
  std::string Call(const v1::ToolCallDelta& call);

  const Json echo_;
  Json output_ = Json::array();
  Open open_ = Open::kNone;
  int64_t sequence_ = 0;
  v1::Finish finish_;
};

}  // namespace headroom::gateway::openai
