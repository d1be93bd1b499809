#include "gateway/openai/fields.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/utf8.h"
#include "gateway/openai/errors.h"

namespace headroom::gateway::openai {
namespace {

uint8_t TypeOf(const Json& value) {
  switch (value.type()) {
    case Json::value_t::boolean:
      return kBoolean;
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return kInteger | kNumber;
    case Json::value_t::number_float: {
      const double number = value.get<double>();
      return number == std::trunc(number) && std::abs(number) < 9007199254740992.0 ? kInteger | kNumber : kNumber;
    }
    case Json::value_t::string:
      return kString;
    case Json::value_t::array:
      return kArray;
    case Json::value_t::object:
      return kObject;
    default:
      return 0;
  }
}

std::string Names(uint8_t types) {
  std::vector<std::string> names;
  for (const auto& [bit, name] : {std::pair(kBoolean, "true or false"),
                                  {kInteger, "an integer"},
                                  {kNumber, "a number"},
                                  {kString, "a string"},
                                  {kArray, "a list"},
                                  {kObject, "an object"}}) {
    if ((types & bit) != 0) names.emplace_back(name);
  }
  return absl::StrJoin(names, " or ");
}

// A value as it stands in Field::values.
std::string Word(const Json& value) { return value.is_string() ? value.get<std::string>() : WriteJson(value); }

std::string Shown(const Json& value) { return CutText(Word(value), 64); }

class Checker {
 public:
  Checker(UnknownFields unknown, std::vector<std::string>* ignored) : unknown_(unknown), ignored_(ignored) {}

  absl::Status CheckObject(const Shape& shape, const Json& object, const std::string& path) {
    for (const auto& [name, value] : object.items()) {
      const std::string param = path.empty() ? CutText(name, 64) : absl::StrCat(path, ".", CutText(name, 64));
      const Field* field = shape.Find(name);
      if (field != nullptr) {
        if (!value.is_null()) HEADROOM_RETURN_IF_ERROR(CheckField(*field, value, param));
      } else if (unknown_ == UnknownFields::kIgnore) {
        if (ignored_->size() < kIgnoredMax) ignored_->push_back(param);
      } else {
        return RequestError("unknown_parameter", param,
                            param + " is not a field that is known here (gateway.http_unknown_fields)");
      }
    }
    for (const Field& field : shape.fields) {
      if (!field.required || openai::Find(object, field.name) != nullptr) continue;
      const std::string param = path.empty() ? field.name : absl::StrCat(path, ".", field.name);
      return RequestError("missing_required_parameter", param, param + " is missing");
    }
    return absl::OkStatus();
  }

 private:
  static constexpr size_t kIgnoredMax = 32;

  absl::Status CheckField(const Field& field, const Json& value, const std::string& param) {
    if (field.handling == Handling::kRefused) {
      if ((value.is_array() || value.is_object()) && value.empty()) return absl::OkStatus();
      return RequestError("unsupported_parameter", param, absl::StrCat(param, " is not supported: ", field.help));
    }
    if ((TypeOf(value) & field.types) == 0) {
      return RequestError("invalid_type", param,
                          absl::StrCat(param, " must be ", Names(field.types), "; it is ", value.type_name()));
    }
    HEADROOM_RETURN_IF_ERROR(CheckValue(field, value, param));
    HEADROOM_RETURN_IF_ERROR(CheckRange(field, value, param));
    if (value.is_object() && field.shape != nullptr) return CheckObject(*field.shape, value, param);
    if (!value.is_array()) return absl::OkStatus();
    for (size_t i = 0; i < value.size(); ++i) {
      const std::string entry = absl::StrCat(param, "[", i, "]");
      if ((TypeOf(value[i]) & field.items) == 0) {
        return RequestError("invalid_type", entry,
                            absl::StrCat(entry, " must be ", Names(field.items), "; it is ", value[i].type_name()));
      }
      if (value[i].is_object() && field.shape != nullptr) {
        HEADROOM_RETURN_IF_ERROR(CheckObject(*field.shape, value[i], entry));
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckValue(const Field& field, const Json& value, const std::string& param) {
    const bool listed = value.is_string() || field.handling == Handling::kInert;
    if (!listed || *field.values == '\0') return absl::OkStatus();
    const std::vector<std::string> values = absl::StrSplit(field.values, '|');
    const std::string word = Word(value);
    for (const std::string& allowed : values) {
      if (word == allowed) return absl::OkStatus();
    }
    return RequestError("unsupported_value", param,
                        absl::StrCat(param, " is ", Shown(value), "; supported is ", absl::StrJoin(values, ", ")));
  }

  absl::Status CheckRange(const Field& field, const Json& value, const std::string& param) {
    double number = 0;
    const char* of = "";
    if (value.is_number()) {
      number = value.get<double>();
    } else if (value.is_array()) {
      number = static_cast<double>(value.size());
      of = "the number of entries of ";
    } else if (value.is_object()) {
      number = static_cast<double>(value.size());
      of = "the number of members of ";
    } else {
      return absl::OkStatus();
    }
    const bool inside = number <= field.most && (field.above_least ? number > field.least : number >= field.least);
    if (inside) return absl::OkStatus();
    return RequestError("invalid_value", param,
                        absl::StrCat(of, param, " is ", value.is_number() ? WriteJson(value) : absl::StrCat(number),
                                     "; it must be ", RangeText(field)));
  }

  const UnknownFields unknown_;
  std::vector<std::string>* const ignored_;
};

}  // namespace

std::string RangeText(const Field& field) {
  const bool low = std::isfinite(field.least);
  const bool high = std::isfinite(field.most);
  if (!low && !high) return "";
  if (!high) return absl::StrCat(field.above_least ? "above " : "at least ", field.least);
  const auto text = [](double number) { return absl::StrFormat("%.20g", number); };
  if (!low) return "at most " + text(field.most);
  return absl::StrCat("in ", field.above_least ? "(" : "[", text(field.least), ", ", text(field.most), "]");
}

const Field* Shape::Find(const std::string& member) const {
  for (const Field& field : fields) {
    if (member == field.name) return &field;
  }
  return nullptr;
}

absl::Status CheckFields(const Shape& shape, const Json& body, UnknownFields unknown,
                         std::vector<std::string>* ignored) {
  if (!body.is_object()) return RequestError("invalid_type", "", "the body must be a JSON object");
  return Checker(unknown, ignored).CheckObject(shape, body, "");
}

const Json* Find(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

Json* Find(Json& object, const char* name) { return const_cast<Json*>(Find(std::as_const(object), name)); }

}  // namespace headroom::gateway::openai
