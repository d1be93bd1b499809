// One request that generates an answer, on its way over HTTP: reads its body, is the sink of its answer.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "gateway/answer_sink.h"
#include "gateway/host_budget.h"
#include "gateway/http/exchange.h"
#include "gateway/openai/endpoints.h"
#include "gateway/served_model.h"
#include "gateway/whole_answer.h"

namespace headroom::gateway::openai {

// What every answer to a call says of itself: how long it took and waited, which model answers, what was ignored.
http::Headers AnswerHeaders(const char* content_type, std::chrono::steady_clock::time_point began,
                            std::chrono::milliseconds queued, const std::string& model,
                            const std::vector<std::string>& ignored);
std::chrono::milliseconds Since(std::chrono::steady_clock::time_point begin);

class AnswerCall : public AnswerSink {
 public:
  struct Parts {
    const ServedModels& models;
    HostBudget& host_budget;
    UnknownFields unknown_fields;
  };
  // The parts must outlive this.
  AnswerCall(const Parts& parts, const Endpoint& endpoint, std::shared_ptr<http::Request> request,
             std::shared_ptr<http::Exchange> exchange);

  // RequestRunner::ArrivalOf::read: before any call of the sink but End. The body is gone afterwards.
  absl::Status Read(v1::GenerateRequest* request);

  // The head of a stream goes out with the grant: until then a refusal has a status of its own.
  void Granted() override;
  void Piece(const v1::GenerateResponse& piece, Taken taken) override;
  void Disconnect() override { exchange_->Disconnect(); }
  void End(const absl::Status& ended) override;

 private:
  http::Headers OwnHeaders(const char* content_type) const;

  const Parts parts_;
  const Endpoint& endpoint_;
  const std::shared_ptr<http::Request> request_;
  const std::shared_ptr<http::Exchange> exchange_;
  const std::chrono::steady_clock::time_point began_;
  std::chrono::milliseconds queued_{0};
  HostBudget::Share bytes_;  // of the document and what is decoded from it
  std::vector<std::string> ignored_;
  Reading reading_;
  bool streaming_ = false;  // the head is out
  std::string begin_;       // events that go out with the first piece
  WholeAnswer whole_;
};

}  // namespace headroom::gateway::openai
