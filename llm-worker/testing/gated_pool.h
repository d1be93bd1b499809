// A KV pool between the gate and the ledger that it lives between in a worker.
#pragma once

#include <cstdint>
#include <utility>

#include "admission/worker_gate.h"
#include "common/check.h"
#include "llm-worker/kv/kv_pool.h"
#include "memory/ledger.h"

namespace headroom::llm_worker {

class GatedPool {
 public:
  explicit GatedPool(const KvPool::Shape& shape)
      : ledger_(shape.blocks * shape.block_bytes),
        gate_({.worker = "w",
               .cluster_id = "c",
               .model = "m",
               .incarnation = 7,
               .capacity = {.slots = 1000, .kv_blocks = shape.blocks}},
              SystemClock()),
        pool_(shape, Planned(ledger_, shape)) {
    gate_.SetState(admission::WorkerState::kReady, 1);
  }

  // Of a leg that was promised so many blocks.
  KvBlocks Reserve(int64_t blocks, int64_t slots = 1) {
    admission::Grant grant{.id = {1, ++grants_},
                           .cluster_id = "c",
                           .epoch = 0,
                           .legs = {},
                           .ttl = admission::milliseconds(10'000),
                           .model = "m"};
    admission::Leg leg;
    leg.worker = "w";
    leg.incarnation = 7;
    leg.resources.slots = slots;
    leg.resources.kv_blocks = blocks;
    grant.legs.push_back(leg);
    auto active = gate_.Activate(grant, admission::Role::kLlm);
    HEADROOM_CHECK(active.ok()) << active.status();
    return pool_.Reserve(std::move(*active));
  }

  memory::Ledger& ledger() { return ledger_; }
  admission::WorkerGate& gate() { return gate_; }
  KvPool& pool() { return pool_; }

 private:
  static memory::Ledger& Planned(memory::Ledger& ledger, const KvPool::Shape& shape) {
    ledger.SetPlanned(memory::Component::kKvPool, shape.blocks * shape.block_bytes);
    return ledger;
  }

  memory::Ledger ledger_;
  admission::WorkerGate gate_;
  KvPool pool_;
  uint64_t grants_ = 0;
};

}  // namespace headroom::llm_worker
