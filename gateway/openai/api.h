// The HTTP API: which addresses there are, and what answers each. docs/openai-api.md describes it.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/async/executor.h"
#include "common/async/task.h"
#include "common/config.h"
#include "gateway/cluster_view.h"
#include "gateway/host_budget.h"
#include "gateway/http/exchange.h"
#include "gateway/openai/answer_call.h"
#include "gateway/openai/endpoints.h"
#include "gateway/questions.h"
#include "gateway/request_runner.h"
#include "gateway/served_model.h"

namespace headroom::gateway::openai {

// Thread-safe.
class Api : public http::Handler {
 public:
  // Must outlive it.
  struct Parts {
    const GatewaySection& config;
    const ServedModels& models;
    RequestRunner& runner;
    ClusterView& cluster;
    HostBudget& host_budget;
    Executor& prepare;  // for work that would hold up the transport
  };
  explicit Api(const Parts& parts);
  // Waits for the end of what it works on itself; the runner's requests go on without it.
  ~Api() override;

  std::vector<http::Route> Routes() const override;
  void Handle(const http::Route& route, std::shared_ptr<http::Request> request,
              std::optional<RequestRunner::Place> place, std::shared_ptr<http::Exchange> exchange) override;
  http::Answer Refusal(int status, const std::string& message) const override;
  http::Answer Refusal(const absl::Status& refused) const override;

 private:
  Detached Question(const Endpoint& endpoint, std::shared_ptr<http::Request> request, RequestRunner::Place place,
                    std::shared_ptr<http::Exchange> exchange);
  void Generate(const Endpoint& endpoint, std::shared_ptr<http::Request> request, RequestRunner::Place place,
                const std::shared_ptr<http::Exchange>& exchange);

  void Embed(std::shared_ptr<http::Request> request, RequestRunner::Place place,
             const std::shared_ptr<http::Exchange>& exchange);

  const Parts parts_;
  const Questions questions_;
  const int64_t started_;  // seconds since 1970
  const std::string open_api_;
  const UnknownFields unknown_fields_;
  std::mutex mutex_;
  std::condition_variable all_over_;
  int64_t open_questions_ = 0;
};

}  // namespace headroom::gateway::openai
