// One core and a clock that stands still, for tests of the core's decisions.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "admission/scheduler_core.h"
#include "common/testing/fake_clock.h"
#include "common/testing/seeded_random.h"

namespace headroom::admission {

inline constexpr char kModel[] = "m";

// One core, workers that say exactly what a test wants.
class SchedulerCoreTest : public testing::Test {
 protected:
  SchedulerCoreTest() { Restart(); }

  void Restart() {
    options_.workers.cluster_id = "c";
    core_ = std::make_unique<SchedulerCore>(options_, random_, clock_.Now());
  }

  std::vector<Action> Apply(const Event& event) {
    std::vector<Action> actions = core_->Apply(event, clock_.Now());
    for (const Action& action : actions) {
      if (const auto* granted = std::get_if<Granted>(&action)) granted_[granted->ticket] = granted->grant;
      if (const auto* refused = std::get_if<Refused>(&action)) refused_[refused->ticket] = refused->refusal;
      if (const auto* greet = std::get_if<Greet>(&action)) epoch_told_[greet->link] = greet->epoch;
      if (const auto* close = std::get_if<CloseLink>(&action)) closed_[close->link] = close->status;
    }
    return actions;
  }

  static WorkerHello Hello(const std::string& name, LinkId link, std::vector<Role> roles, const Resources& capacity,
                           uint64_t incarnation = 1) {
    WorkerHello hello;
    hello.link = link;
    hello.cluster_id = "c";
    hello.incarnation = incarnation;
    hello.info = {name, "10.0.0.1:" + std::to_string(link), "cpu", kModel, std::move(roles), capacity, 1024, 1000, 16};
    hello.state = WorkerState::kReady;
    return hello;
  }

  void Beat(LinkId link, uint64_t last_event = 0, std::vector<LegReport> active = {},
            WorkerState state = WorkerState::kReady) {
    Apply(Heartbeat{link, last_event, std::move(active), state, 1, core_->epoch()});
  }

  // A worker in step with the core.
  void Join(const std::string& name, LinkId link, std::vector<Role> roles, const Resources& capacity,
            uint64_t incarnation = 1) {
    Apply(Hello(name, link, std::move(roles), capacity, incarnation));
    Beat(link);
  }
  void JoinLlm(LinkId link = 1, int64_t blocks = 100) {
    Join("llm-" + std::to_string(link), link, {Role::kLlm}, {.slots = 10, .kv_blocks = blocks});
  }

  // An llm-worker each: of kModel on link 1, of "n" on link 2.
  void JoinTwoModels() {
    JoinLlm(1);
    WorkerHello other = Hello("other-llm", 2, {Role::kLlm}, {.slots = 10, .kv_blocks = 100});
    other.info.model = "n";
    Apply(other);
    Beat(2);
  }

  Ticket Ask(int64_t blocks, const std::function<void(Reserve&)>& change = {}) {
    Reserve reserve;
    reserve.ticket = ++last_ticket_;
    reserve.tenant = "t";
    reserve.model = kModel;
    reserve.price.llm = Resources{.slots = 1, .kv_blocks = blocks};
    reserve.price.sequence_tokens = 10;
    if (change) change(reserve);
    Apply(reserve);
    return reserve.ticket;
  }
  static void WithImage(Reserve& reserve) {
    reserve.price.vision = Resources{.slots = 1, .patches = 1024};
    reserve.price.largest_piece_patches = 1024;
  }

  // In steps, because the core takes a long one for a stop of its own.
  void PassTime(milliseconds time, const std::vector<LinkId>& beating = {1}) {
    do {
      const milliseconds step = std::min<milliseconds>(time, std::chrono::seconds(1));
      clock_.Advance(step);
      for (LinkId link : beating) {
        if (const Worker* worker = const_cast<WorkerTable&>(core_->table()).Find(link)) Beat(link, worker->last_event);
      }
      Apply(Tick{});
      time -= step;
    } while (time.count() > 0);
  }

  bool IsGranted(Ticket ticket) const { return granted_.contains(ticket); }
  // Empty when it was not refused.
  std::optional<RefusalReason> ReasonOf(Ticket ticket) const {
    if (!refused_.contains(ticket)) return std::nullopt;
    return refused_.at(ticket).reason;
  }
  Resources ReservedOf(const std::string& worker) const {
    for (const WorkerStatus& status : core_->Status(clock_now_()).workers) {
      if (status.info.worker == worker) return status.reserved;
    }
    return {};
  }
  std::function<TimePoint()> clock_now_ = [this] { return clock_.Now(); };

  FakeClock clock_;
  SeededRandom random_{1};
  SchedulerCore::Options options_;
  std::unique_ptr<SchedulerCore> core_;
  Ticket last_ticket_ = 0;
  std::map<Ticket, Grant> granted_;
  std::map<Ticket, Refusal> refused_;
  std::map<LinkId, uint64_t> epoch_told_;
  std::map<LinkId, absl::Status> closed_;
};

}  // namespace headroom::admission
