// The scheduler's side of the protocol, scripted, over real in-process gRPC.
#pragma once

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/rpc/status.h"
#include "headroom/v1/scheduler.grpc.pb.h"

namespace headroom::gateway {

// Grants everything at once; remembers what was asked and voided.
class ScriptedScheduler : public v1::Scheduler::Service {
 public:
  grpc::Status Reserve(grpc::ServerContext* context, const v1::ReserveRequest* request,
                       v1::ReserveResponse* response) override {
    std::unique_lock lock(mutex);
    reserves.push_back(*request);
    if (!refuse.ok() && static_cast<int>(reserves.size()) <= refusals) return rpc::ToGrpc(refuse);
    if (stop != nullptr) {
      stop->request_stop();  // the answer is lost
      lock.unlock();
      while (!context->IsCancelled()) std::this_thread::yield();
      lock.lock();
    }
    v1::Grant* grant = response->mutable_grant();
    grant->mutable_id()->set_high(7);
    grant->mutable_id()->set_low(reserves.size());
    grant->mutable_epoch()->set_number(1);
    grant->set_ttl_ms(60'000);
    auto add_leg = [&](v1::Role role, const std::string& worker, const v1::Resources& resources) {
      v1::Leg* leg = grant->add_legs();
      leg->set_role(role);
      leg->set_worker(worker);
      leg->set_endpoint("inproc:" + worker);
      *leg->mutable_resources() = resources;
    };
    if (request->price().has_vision()) add_leg(v1::ROLE_VISION, "vision", request->price().vision());
    const bool second = request->exclude_workers_size() > 0;
    if (request->price().has_llm()) add_leg(v1::ROLE_LLM, second ? "llm-b" : "llm-a", request->price().llm());
    return grpc::Status::OK;
  }
  grpc::Status Void(grpc::ServerContext*, const v1::VoidRequest* request, v1::VoidResponse*) override {
    std::lock_guard lock(mutex);
    voided.push_back(request->id().low());
    changed.notify_all();
    return grpc::Status::OK;
  }
  grpc::Status GetClusterState(grpc::ServerContext*, const v1::GetClusterStateRequest*,
                               v1::ClusterState* state) override {
    std::lock_guard lock(mutex);
    for (v1::Role role : {v1::ROLE_VISION, v1::ROLE_LLM}) {
      v1::WorkerView* worker = state->add_workers();
      worker->add_roles(role);
      worker->set_placeable(true);
      worker->mutable_model()->set_sha256(fingerprint);
      worker->set_block_size(16);
      worker->set_max_model_len(1000);
      worker->set_max_patches_per_step(2048);
      worker->set_embedding_row_bytes(row_bytes);
    }
    return grpc::Status::OK;
  }

  std::mutex mutex;
  std::string fingerprint;
  absl::Status refuse;
  int refusals = 1 << 20;
  int64_t row_bytes = 256 * 2;  // of embeddings, as all workers say
  std::stop_source* stop = nullptr;
  std::condition_variable changed;
  std::vector<v1::ReserveRequest> reserves;
  std::vector<uint64_t> voided;
};

}  // namespace headroom::gateway
