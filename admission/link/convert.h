// Between the plain structs of admission and the messages of headroom.v1. The only place that knows both. Numbers are
// copied as they are: checking them is the receiver's work (ValidateResources, ValidatePrice, the gate).
#pragma once

#include <optional>

#include "admission/grant.h"
#include "admission/refusals.h"
#include "headroom/v1/cluster.pb.h"
#include "headroom/v1/common.pb.h"

namespace headroom::admission {

Resources FromProto(const v1::Resources& resources);
v1::Resources ToProto(const Resources& resources);

GrantId FromProto(const v1::GrantId& id);
v1::GrantId ToProto(const GrantId& id);

// Empty for an unspecified or unknown role.
std::optional<Role> FromProto(v1::Role role);
v1::Role ToProto(Role role);

std::optional<WorkerState> FromProto(v1::WorkerState state);
v1::WorkerState ToProto(WorkerState state);

// INVALID_ARGUMENT: no id, an unknown role, two legs of one role, or more legs than roles.
absl::StatusOr<Grant> FromProto(const v1::Grant& grant);
v1::Grant ToProto(const Grant& grant);

Price FromProto(const v1::Price& price);
v1::Price ToProto(const Price& price);

v1::Shortfall ToProto(const Shortfall& shortfall);

// With its remedies. `refused_by`: scheduler or gateway.
v1::RefusalView ToProto(const RefusalRecord& refusal, TimePoint now, const std::string& refused_by);

}  // namespace headroom::admission
