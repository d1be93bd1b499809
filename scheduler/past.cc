#include "scheduler/past.h"

#include <algorithm>

#include "admission/link/convert.h"
#include "admission/link/past_request.h"

namespace headroom::scheduler {
namespace {

using admission::milliseconds;
using admission::ToProto;

// More than any history covers: what is further back, or longer, is as far as is remembered.
constexpr int64_t kYearMs = int64_t{366} * 24 * 3600 * 1000;
// Of all workers together: points cost more than legs when there are many workers.
constexpr int64_t kPointsTotalMax = 50'000;

size_t OrDefault(int64_t asked, int64_t by_default) { return static_cast<size_t>(asked == 0 ? by_default : asked); }
milliseconds UpToAYear(int64_t ms) { return milliseconds(std::min(ms, kYearMs)); }

void FillLeg(const admission::PastLeg& leg, TimePoint when, v1::LegPast* message) {
  *message->mutable_grant() = ToProto(leg.leg.id);
  message->set_request_id(leg.request_id);
  message->set_tenant(leg.tenant);
  message->set_role(ToProto(leg.leg.role));
  *message->mutable_resources() = ToProto(leg.resources);
  message->set_held_ms(Milliseconds(when - leg.granted_at));
  const bool active = leg.active_at && *leg.active_at <= when;
  message->set_active_ms(active ? Milliseconds(when - *leg.active_at) : -1);
  message->set_left_ms(leg.ended_at ? Milliseconds(*leg.ended_at - when) : -1);
}

void FillWorker(const admission::PastWorker& worker, TimePoint when, v1::WorkerPast* message) {
  message->set_worker(worker.info.worker);
  message->set_endpoint(worker.info.endpoint);
  message->set_device(worker.info.device);
  for (const admission::Role role : worker.info.roles) message->add_roles(ToProto(role));
  message->set_incarnation(worker.incarnation);
  message->set_block_size(worker.info.block_size);
  message->set_kv_block_bytes(worker.info.kv_block_bytes);
  *message->mutable_capacity() = ToProto(worker.info.capacity);
  if (worker.sampled_at) {
    message->set_state(ToProto(worker.state));
    message->set_ledger_before_ms(Milliseconds(when - *worker.sampled_at));
    v1::DeviceLedger* ledger = message->mutable_ledger();
    ledger->set_device(worker.info.device);
    ledger->set_total_bytes(worker.ledger.total_bytes);
    for (const admission::LedgerLine& line : worker.ledger.lines) {
      v1::LedgerLine* out = ledger->add_lines();
      out->set_component(line.component);
      out->set_planned_bytes(line.planned);
      out->set_reserved_bytes(line.reserved);
      out->set_used_bytes(line.used);
    }
  }
  for (const admission::PastLeg& leg : worker.legs) FillLeg(leg, when, message->add_legs());
  message->set_legs_left_out(worker.legs_left_out);
  if (worker.legs_left_out > 0) *message->mutable_left_out() = ToProto(worker.left_out);
}

}  // namespace

absl::StatusOr<v1::GetHistoryResponse> AnswerHistory(const CoreRunner& core, const v1::GetHistoryRequest& request) {
  HEADROOM_RETURN_IF_ERROR(admission::CheckRequest(request));
  const CoreRunner::MomentQuery query{.age = UpToAYear(request.age_ms()),
                                      .since_begin = UpToAYear(request.since_begin_ms()),
                                      .worker = request.worker(),
                                      .legs_max = OrDefault(request.legs_max(), admission::kHistoryLegsDefault),
                                      .span = UpToAYear(request.span_ms()),
                                      .points_max = OrDefault(request.points_max(), admission::kHistoryPointsDefault)};
  const CoreRunner::Moment moment = core.Past(query);
  v1::GetHistoryResponse response;
  response.set_age_ms(Milliseconds(moment.now - moment.when));
  response.set_covered_ms(Milliseconds(moment.now - moment.begin));
  int64_t points = 0;
  for (size_t i = 0; i < moment.workers.size(); ++i) {
    v1::WorkerPast* worker = response.add_workers();
    FillWorker(moment.workers[i], moment.when, worker);
    for (const admission::History::Sample& sample : moment.samples[i]) {
      if (++points > kPointsTotalMax) break;
      v1::LedgerPoint* point = worker->add_points();
      point->set_before_ms(Milliseconds(moment.when - sample.at));
      point->set_reserved_bytes(sample.reserved);
      point->set_used_bytes(sample.used);
    }
  }
  return response;
}

absl::StatusOr<v1::GetRefusalsResponse> AnswerRefusals(const CoreRunner& core, const v1::GetRefusalsRequest& request) {
  HEADROOM_RETURN_IF_ERROR(admission::CheckRequest(request));
  const CoreRunner::PastRefusals past =
      core.Refusals(request.request_id(), OrDefault(request.count(), admission::kRefusalsDefault));
  v1::GetRefusalsResponse response;
  for (const admission::RefusalRecord& refusal : past.refusals) {
    v1::RefusalView* view = response.add_refusals();
    *view = ToProto(refusal, past.now, "scheduler");
    view->set_since_begin_ms(Milliseconds(refusal.at - past.begin));
  }
  return response;
}

}  // namespace headroom::scheduler
