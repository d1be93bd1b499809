#include "admission/link/convert.h"

namespace headroom::admission {

Resources FromProto(const v1::Resources& resources) {
  return {.slots = resources.slots(),
          .kv_blocks = resources.kv_blocks(),
          .patches = resources.patches(),
          .embedding_bytes = resources.embedding_bytes(),
          .host_bytes = resources.host_bytes()};
}

v1::Resources ToProto(const Resources& resources) {
  v1::Resources message;
  message.set_slots(resources.slots);
  message.set_kv_blocks(resources.kv_blocks);
  message.set_patches(resources.patches);
  message.set_embedding_bytes(resources.embedding_bytes);
  message.set_host_bytes(resources.host_bytes);
  return message;
}

GrantId FromProto(const v1::GrantId& id) { return {id.high(), id.low()}; }

v1::GrantId ToProto(const GrantId& id) {
  v1::GrantId message;
  message.set_high(id.high);
  message.set_low(id.low);
  return message;
}

std::optional<Role> FromProto(v1::Role role) {
  if (role == v1::ROLE_VISION) return Role::kVision;
  if (role == v1::ROLE_LLM) return Role::kLlm;
  return std::nullopt;
}

v1::Role ToProto(Role role) { return role == Role::kVision ? v1::ROLE_VISION : v1::ROLE_LLM; }

std::optional<WorkerState> FromProto(v1::WorkerState state) {
  if (state == v1::WORKER_STATE_LOADING) return WorkerState::kLoading;
  if (state == v1::WORKER_STATE_READY) return WorkerState::kReady;
  if (state == v1::WORKER_STATE_DRAINING) return WorkerState::kDraining;
  return std::nullopt;
}

v1::WorkerState ToProto(WorkerState state) {
  if (state == WorkerState::kLoading) return v1::WORKER_STATE_LOADING;
  return state == WorkerState::kReady ? v1::WORKER_STATE_READY : v1::WORKER_STATE_DRAINING;
}

absl::StatusOr<Grant> FromProto(const v1::Grant& grant) {
  Grant result{.id = FromProto(grant.id()),
               .cluster_id = grant.epoch().cluster_id(),
               .epoch = grant.epoch().number(),
               .legs = {},
               .ttl = milliseconds(grant.ttl_ms()),
               .model = grant.model().sha256()};
  if (result.id == GrantId{}) return absl::InvalidArgumentError("the grant has no id");
  for (const v1::Leg& leg : grant.legs()) {
    const std::optional<Role> role = FromProto(leg.role());
    if (!role) return absl::InvalidArgumentError("a leg of the grant has an unknown role");
    if (result.Find(*role) != nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("the grant has two ", RoleName(*role), " legs"));
    }
    result.legs.push_back({.role = *role,
                           .worker = leg.worker(),
                           .endpoint = leg.endpoint(),
                           .incarnation = leg.incarnation(),
                           .rank = leg.rank(),
                           .resources = FromProto(leg.resources())});
  }
  return result;
}

v1::Grant ToProto(const Grant& grant) {
  v1::Grant message;
  *message.mutable_id() = ToProto(grant.id);
  message.mutable_epoch()->set_cluster_id(grant.cluster_id);
  message.mutable_epoch()->set_number(grant.epoch);
  for (const Leg& leg : grant.legs) {
    v1::Leg* out = message.add_legs();
    out->set_role(ToProto(leg.role));
    out->set_worker(leg.worker);
    out->set_endpoint(leg.endpoint);
    out->set_incarnation(leg.incarnation);
    out->set_rank(leg.rank);
    *out->mutable_resources() = ToProto(leg.resources);
  }
  message.set_ttl_ms(grant.ttl.count());
  message.mutable_model()->set_sha256(grant.model);
  return message;
}

Price FromProto(const v1::Price& price) {
  Price result{.vision = {},
               .llm = {},
               .largest_piece_patches = price.largest_piece_patches(),
               .sequence_tokens = price.sequence_tokens(),
               .prompt_tokens = price.prompt_tokens(),
               .image_tokens = price.image_tokens(),
               .pieces = price.pieces()};
  if (price.has_vision()) result.vision = FromProto(price.vision());
  if (price.has_llm()) result.llm = FromProto(price.llm());
  return result;
}

v1::Price ToProto(const Price& price) {
  v1::Price message;
  if (price.vision) *message.mutable_vision() = ToProto(*price.vision);
  if (price.llm) *message.mutable_llm() = ToProto(*price.llm);
  message.set_largest_piece_patches(price.largest_piece_patches);
  message.set_sequence_tokens(price.sequence_tokens);
  message.set_prompt_tokens(price.prompt_tokens);
  message.set_image_tokens(price.image_tokens);
  message.set_pieces(price.pieces);
  return message;
}

v1::Shortfall ToProto(const Shortfall& shortfall) {
  v1::Shortfall message;
  message.set_budget(shortfall.budget);
  message.set_worker(shortfall.worker);
  message.set_needed(shortfall.needed);
  message.set_free(shortfall.free);
  message.set_capacity(shortfall.capacity);
  return message;
}

v1::RefusalView ToProto(const RefusalRecord& refusal, TimePoint now, const std::string& refused_by) {
  v1::RefusalView message;
  message.set_age_ms(Milliseconds(now - refusal.at));
  message.set_request_id(refusal.request_id);
  message.set_tenant(refusal.tenant);
  message.set_model(refusal.model);
  message.set_refused_by(refused_by);
  message.set_code(static_cast<int32_t>(InfoOf(refusal.reason).code));
  message.set_reason(NameOf(refusal.reason));
  message.set_message(refusal.message);
  if (refusal.shortfall) *message.mutable_shortfall() = ToProto(*refusal.shortfall);
  if (const RefusedLeg* leg = refusal.ShortLeg()) message.set_device(leg->device);
  message.set_unit_bytes(refusal.UnitBytes());
  *message.mutable_price() = ToProto(refusal.price);
  message.set_waited_ms(refusal.waited.count());
  message.set_queue_entries(refusal.queue_entries);
  message.set_retry_ms(refusal.retry_delay.count());
  for (const Remedy& remedy : Remedies(refusal)) {
    v1::Remedy* out = message.add_remedies();
    out->set_what(remedy.what);
    out->set_now(remedy.now);
    out->set_fits(remedy.fits);
    out->set_bytes(remedy.bytes);
    out->set_request(remedy.request);
    out->set_note(remedy.note);
  }
  return message;
}

}  // namespace headroom::admission
