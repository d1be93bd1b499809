// One request for embeddings, on its way over HTTP: reads its body, is the sink of its rows.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/answer_sink.h"
#include "gateway/http/exchange.h"
#include "gateway/openai/answer_call.h"
#include "gateway/openai/embeddings.h"

namespace headroom::gateway::openai {

class EmbedCall : public RowsSink {
 public:
  // The parts must outlive this.
  EmbedCall(const AnswerCall::Parts& parts, std::shared_ptr<http::Request> request,
            std::shared_ptr<http::Exchange> exchange);

  // As AnswerCall::Read.
  absl::Status Read(v1::EmbedRequest* request);

  void Granted() override;
  // The head goes out with the first piece: a picture that is none has a status of its own, too.
  void Piece(const v1::EmbedResponse& piece, Taken taken) override;
  void Disconnect() override { exchange_->Disconnect(); }
  void End(const absl::Status& status) override;

 private:
  const AnswerCall::Parts parts_;
  const std::shared_ptr<http::Request> request_;
  const std::shared_ptr<http::Exchange> exchange_;
  const std::chrono::steady_clock::time_point began_;
  std::chrono::milliseconds queued_{0};
  HostBudget::Share bytes_;  // of the document and what is decoded from it
  std::vector<std::string> ignored_;
  AnswerHead head_;
  std::optional<EmbeddingsAnswer> answer_;
  bool streaming_ = false;  // the head is out
};

}  // namespace headroom::gateway::openai
