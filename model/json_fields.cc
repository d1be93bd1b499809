#include "model/json_fields.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "common/json_depth.h"
#include "common/status.h"

namespace headroom::model {
namespace {

using nlohmann::json;

std::string Brief(const json& value) {
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > 40) text = text.substr(0, 37) + "...";
  return text;
}

}  // namespace

absl::StatusOr<JsonFields> JsonFields::Parse(const std::string& file, const std::string& text, int depth_max) {
  if (JsonNestsDeeper(text, depth_max)) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": nested deeper than ", depth_max, " levels"));
  }
  std::vector<std::set<std::string>> open_objects;
  std::string repeated;
  const auto watch = [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == json::parse_event_t::object_end) open_objects.pop_back();
    if (event == json::parse_event_t::key && !open_objects.back().insert(value.get<std::string>()).second) {
      repeated = Brief(value);
    }
    return true;
  };
  json root = json::parse(text, watch, /*allow_exceptions=*/false);
  if (root.is_discarded()) return absl::InvalidArgumentError(absl::StrCat(file, ": is not valid JSON"));
  if (!root.is_object()) return absl::InvalidArgumentError(absl::StrCat(file, ": is not a JSON object"));
  if (!repeated.empty()) return absl::InvalidArgumentError(absl::StrCat(file, ": ", repeated, " appears twice"));
  auto shared = std::make_shared<const json>(std::move(root));
  const json* object = shared.get();
  return JsonFields(file + ": ", std::move(shared), object);
}

JsonFields::JsonFields(std::string where, std::shared_ptr<const json> root, const json* object)
    : where_(std::move(where)), root_(std::move(root)), object_(object) {}

const json* JsonFields::Find(const std::string& name) const {
  const auto found = object_->find(name);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

bool JsonFields::IsNull(const std::string& name) const {
  const auto found = object_->find(name);
  return found != object_->end() && found->is_null();
}

std::string JsonFields::Print(const std::string& name) const {
  const json* value = Find(name);
  return value ? Brief(*value) : "null";
}

absl::Status JsonFields::Error(const std::string& name, const std::string& message) const {
  return absl::InvalidArgumentError(absl::StrCat(where_, name, ": ", message));
}

absl::StatusOr<int64_t> JsonFields::CheckInt(const std::string& name, const json& value, int64_t min,
                                             int64_t max) const {
  if (!value.is_number_integer()) return Error(name, absl::StrCat("must be an integer, is ", Brief(value)));
  const bool above_int64 =
      value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (above_int64 || value.get<int64_t>() > max) {
    return Error(name, absl::StrCat(Brief(value), " is above the limit of ", max));
  }
  if (value.get<int64_t>() < min) return Error(name, absl::StrCat(Brief(value), " is below the minimum of ", min));
  return value.get<int64_t>();
}

absl::StatusOr<double> JsonFields::CheckNumber(const std::string& name, const json& value, double min,
                                               double max) const {
  if (!value.is_number()) return Error(name, absl::StrCat("must be a number, is ", Brief(value)));
  const double number = value.get<double>();
  if (!(number >= min && number <= max)) {
    return Error(name, absl::StrCat(Brief(value), " is not between ", min, " and ", max));
  }
  return number;
}

absl::StatusOr<int64_t> JsonFields::Int(const std::string& name, int64_t min, int64_t max) const {
  const json* value = Find(name);
  if (!value) return Error(name, "is missing");
  return CheckInt(name, *value, min, max);
}

absl::StatusOr<int64_t> JsonFields::IntOr(const std::string& name, int64_t min, int64_t max, int64_t absent) const {
  const json* value = Find(name);
  if (!value) return absent;
  return CheckInt(name, *value, min, max);
}

absl::StatusOr<double> JsonFields::NumberOr(const std::string& name, double min, double max, double absent) const {
  const json* value = Find(name);
  if (!value) return absent;
  return CheckNumber(name, *value, min, max);
}

absl::StatusOr<bool> JsonFields::BoolOr(const std::string& name, bool absent) const {
  const json* value = Find(name);
  if (!value) return absent;
  if (!value->is_boolean()) return Error(name, absl::StrCat("must be true or false, is ", Brief(*value)));
  return value->get<bool>();
}

absl::StatusOr<std::string> JsonFields::StringOr(const std::string& name, const std::string& absent) const {
  const json* value = Find(name);
  if (!value) return absent;
  if (!value->is_string()) return Error(name, absl::StrCat("must be a string, is ", Brief(*value)));
  return value->get<std::string>();
}

absl::StatusOr<std::vector<std::string>> JsonFields::Strings(const std::string& name) const {
  std::vector<std::string> strings;
  const json* value = Find(name);
  if (!value) return strings;
  if (!value->is_array()) return Error(name, absl::StrCat("must be a list of strings, is ", Brief(*value)));
  for (const json& item : *value) {
    if (!item.is_string()) return Error(name, absl::StrCat("must be a list of strings, holds ", Brief(item)));
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

absl::StatusOr<std::vector<int64_t>> JsonFields::IntOrInts(const std::string& name, int64_t min, int64_t max,
                                                           size_t count_max) const {
  std::vector<int64_t> numbers;
  const json* value = Find(name);
  if (!value) return numbers;
  if (!value->is_array()) {
    HEADROOM_ASSIGN_OR_RETURN(const int64_t number, CheckInt(name, *value, min, max));
    numbers.push_back(number);
    return numbers;
  }
  if (value->size() > count_max) {
    return Error(name, absl::StrCat("has ", value->size(), " entries, the limit is ", count_max));
  }
  for (const json& item : *value) {
    HEADROOM_ASSIGN_OR_RETURN(const int64_t number, CheckInt(name, item, min, max));
    numbers.push_back(number);
  }
  return numbers;
}

absl::StatusOr<std::vector<double>> JsonFields::Numbers(const std::string& name, double min, double max) const {
  std::vector<double> numbers;
  const json* value = Find(name);
  if (!value) return numbers;
  if (!value->is_array()) return Error(name, absl::StrCat("must be a list of numbers, is ", Brief(*value)));
  for (const json& item : *value) {
    HEADROOM_ASSIGN_OR_RETURN(const double number, CheckNumber(name, item, min, max));
    numbers.push_back(number);
  }
  return numbers;
}

absl::StatusOr<std::optional<JsonFields>> JsonFields::Object(const std::string& name) const {
  const json* value = Find(name);
  if (!value) return std::optional<JsonFields>();
  if (!value->is_object()) return Error(name, absl::StrCat("must be an object, is ", Brief(*value)));
  return std::optional<JsonFields>(JsonFields(absl::StrCat(where_, name, "."), root_, value));
}

}  // namespace headroom::model
