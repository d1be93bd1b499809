// A client of the HTTP API without a socket, over a scripted cluster.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gateway/openai/api.h"
#include "gateway/testing/scripted_cluster.h"

namespace headroom::gateway::openai {

// A client on the other side of the transport.
class KeptExchange : public http::Exchange {
 public:
  void Respond(http::Answer answer, Taken taken) override {
    std::unique_lock lock(mutex_);
    EXPECT_FALSE(over_);
    answer_ = std::move(answer);
    over_ = true;
    changed_.notify_all();
    lock.unlock();
    if (taken) taken(true);
  }
  void BeginStream(int status, http::Headers headers) override {
    std::lock_guard lock(mutex_);
    answer_ = {status, std::move(headers), ""};
    streaming_ = true;
  }
  void Chunk(std::string bytes, Taken taken) override {
    std::function<void()> gone;
    {
      std::lock_guard lock(mutex_);
      EXPECT_FALSE(bytes.empty());
      EXPECT_TRUE(streaming_ && !over_);
      answer_.body += bytes;
      if (leave_) std::swap(gone, gone_);
    }
    if (gone) gone();
    if (taken) taken(true);
  }
  void EndStream(bool complete) override {
    std::lock_guard lock(mutex_);
    complete_ = complete;
    over_ = true;
    changed_.notify_all();
  }
  void Disconnect() override {}
  void OnGone(std::function<void()> gone) override {
    std::lock_guard lock(mutex_);
    gone_ = std::move(gone);
  }

  http::Answer Await() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [this] { return over_; }));
    return answer_;
  }
  bool complete() {
    std::lock_guard lock(mutex_);
    return complete_;
  }
  // The client leaves with the next chunk.
  void Leave() { leave_ = true; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  http::Answer answer_;
  std::function<void()> gone_;
  std::atomic<bool> leave_ = false;
  bool streaming_ = false, over_ = false, complete_ = false;
};

inline std::string HeaderOf(const http::Answer& answer, const std::string& name) {
  for (const auto& [key, value] : answer.headers) {
    if (key == name) return value;
  }
  return "";
}

class ApiTest : public ScriptedCluster {
 protected:
  ApiTest() = default;
  explicit ApiTest(int64_t host_bytes) : ScriptedCluster(host_bytes) {}

  void SetUp() override {
    ScriptedCluster::SetUp();
    api_.emplace(Api::Parts{config_, *models_, *runner_, *cluster_, budget_, threads_.prepare});
  }
  void TearDown() override {
    api_.reset();
    EXPECT_TRUE(Eventually([this] { return budget_.used_bytes() == 0; })) << budget_.used_bytes();
    ScriptedCluster::TearDown();
  }

  static bool Eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 6'000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return condition();
  }

  http::Answer Ask(const std::string& method, const std::string& route_path, const std::string& path,
                   const std::string& body = "") {
    for (const http::Route& route : api_->Routes()) {
      if (route.method != method || route.path != route_path) continue;
      auto request = std::make_shared<http::Request>();
      request->method = method;
      request->path = path;
      request->body = body;
      request->id = "req-1";
      std::optional<RequestRunner::Place> place;
      if (route.body_bytes_max > 0) place.emplace(*runner_->Enter(0));
      exchange_ = std::make_shared<KeptExchange>();
      if (leave_) exchange_->Leave();
      api_->Handle(route, std::move(request), std::move(place), exchange_);
      return exchange_->Await();
    }
    ADD_FAILURE() << "no route " << route_path;
    return {};
  }
  http::Answer Chat(const std::string& body) {
    return Ask("POST", "/v1/chat/completions", "/v1/chat/completions", body);
  }

  // The gateway again, with these models; the workers are those of minicpmv.
  void ServeModels(std::vector<ModelSection> sections) {
    api_.reset();
    runner_.reset();
    cluster_.reset();
    ClusterConfig config;
    config.models = std::move(sections);
    auto models = ServedModels::Load(config);
    ASSERT_TRUE(models.ok()) << models.status();
    models_.emplace(*std::move(models));
    cluster_.emplace(*client_, *models_);
    ASSERT_TRUE(Eventually([this] { return cluster_->Ready().ok(); }));
    Serve(*peers_);
    api_.emplace(Api::Parts{config_, *models_, *runner_, *cluster_, budget_, threads_.prepare});
  }

  std::optional<Api> api_;
  std::shared_ptr<KeptExchange> exchange_;
  bool leave_ = false;
};

}  // namespace headroom::gateway::openai
