// Bodies of /v1/embeddings: pictures in, the rows that the vision tower makes of them out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/openai/answer_format.h"
#include "gateway/openai/json.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway::openai {

// In what form numbers are told.
enum class EncodingFormat {
  kFloat,   // numbers of JSON, the shortest that stand for the same float32
  kBase64,  // of the float32, little endian
};

// As ReadChatRequest, for EmbeddingsShape. What is no data URI is a text, which is refused by the name of its entry.
absl::Status ReadEmbeddingsRequest(Json& body, const std::string& request_id, v1::EmbedRequest* request,
                                   EncodingFormat* format);

// The answer as text, piece by piece, so that no more than one of them is in memory. One per answer.
class EmbeddingsAnswer {
 public:
  EmbeddingsAnswer(AnswerHead head, EncodingFormat format) : head_(std::move(head)), format_(format) {}

  // The pieces as the protocol brings them; the last one, which has `finish`, ends the text.
  std::string Piece(const v1::EmbedResponse& piece);

 private:
  void AppendFloats(std::string_view values, std::string* text);
  void AppendBase64(std::string_view values, bool last, std::string* text);

  const AnswerHead head_;
  const EncodingFormat format_;
  bool begun_ = false;
  std::string rest_;  // of the entry so far: what is not yet three bytes of base64
};

}  // namespace headroom::gateway::openai
