#include "model/structured/schema_document.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "common/json_depth.h"
#include "common/status.h"
#include "common/utf8.h"
#include "model/structured/schema_keywords.h"

namespace headroom::model {

using Json = SchemaDocument::Json;

namespace {

std::string Escape(const std::string& name) {
  std::string escaped;
  for (const char c : CutText(name, 200)) {
    if (c == '~') {
      escaped += "~0";
    } else if (c == '/') {
      escaped += "~1";
    } else {
      escaped.push_back(c);
    }
  }
  return escaped;
}

// Of a pointer, and of the percent signs in it.
bool Unescape(std::string_view token, std::string* name) {
  std::string bytes;
  for (size_t i = 0; i < token.size(); ++i) {
    if (token[i] != '%') {
      bytes.push_back(token[i]);
      continue;
    }
    const auto hex = [](char c) {
      return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    };
    if (i + 2 >= token.size() || hex(token[i + 1]) < 0 || hex(token[i + 2]) < 0) return false;
    bytes.push_back(static_cast<char>(hex(token[i + 1]) * 16 + hex(token[i + 2])));
    i += 2;
  }
  name->clear();
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != '~') {
      name->push_back(bytes[i]);
    } else if (++i < bytes.size() && (bytes[i] == '0' || bytes[i] == '1')) {
      name->push_back(bytes[i] == '0' ? '~' : '/');
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

bool SchemaDocument::IsKeyword(const std::string& name) { return SchemaKeywords().contains(name); }

absl::Status SchemaDocument::Error(Id id, const std::string& keyword, const std::string& what) const {
  const std::string pointer = keyword.empty() ? PointerOf(id) : PointerOf(id) + "/" + Escape(keyword);
  return absl::InvalidArgumentError(absl::StrCat("JSON schema, \"", pointer, "\": ", what));
}

// Visits each schema once and looks for references that come back to themselves without a value in between.
class SchemaWalk {
 public:
  // `added`: written by us, which may say more.
  explicit SchemaWalk(SchemaDocument& document, bool added) : document_(document), added_(added) {}

  absl::StatusOr<SchemaDocument::Id> Visit(const Json& json, const std::string& pointer, int depth) {
    if (const auto found = document_.ids_.find(&json); found != document_.ids_.end()) return found->second;
    const auto id = static_cast<SchemaDocument::Id>(document_.schemas_.size());
    document_.schemas_.push_back({&json, pointer});
    document_.ids_[&json] = id;
    if (depth > kSchemaDepthMax) {
      return document_.Error(id, "", absl::StrCat("schemas nest deeper than ", kSchemaDepthMax));
    }
    if (json.is_boolean()) return id;
    const bool only_ref = document_.ignores_beside_ref_ && json.contains("$ref");
    for (const auto& [keyword, value] : json.items()) {
      if (only_ref && keyword != "$ref") continue;
      HEADROOM_RETURN_IF_ERROR(VisitKeyword(id, json, keyword, value, depth));
    }
    return id;
  }

 private:
  absl::Status VisitKeyword(SchemaDocument::Id id, const Json& json, const std::string& keyword, const Json& value,
                            int depth) {
    const auto known = SchemaKeywords().find(keyword);
    if (known == SchemaKeywords().end()) {
      if (IsUnsupportedKeyword(keyword)) return document_.Error(id, keyword, "this keyword is not supported");
      const std::string* meant = NearlyAConstraint(keyword);
      if (meant == nullptr) return absl::OkStatus();
      return document_.Error(id, keyword, absl::StrCat("unknown keyword; ", *meant, " may be meant"));
    }
    if (added_ && keyword[0] == '\x01') return absl::OkStatus();
    if (keyword[0] == '\x01') return document_.Error(id, "", "this keyword is not supported");
    if (const char* wanted = WrongShape(known->second, value); wanted != nullptr) {
      return document_.Error(id, keyword, absl::StrCat("must be ", wanted));
    }
    const std::string pointer = document_.PointerOf(id) + "/" + Escape(keyword);
    switch (known->second) {
      case KeywordShape::kReference:
        return VisitReference(id, value.get<std::string>());
      case KeywordShape::kValues:
        document_.enum_values_ += static_cast<int64_t>(value.size());
        if (document_.enum_values_ <= kSchemaEnumMax) return absl::OkStatus();
        return document_.Error(id, keyword,
                               absl::StrCat("more than ", kSchemaEnumMax, " values in all enums together"));
      case KeywordShape::kSchemaMap:
      case KeywordShape::kDependencies:
        document_.properties_ += static_cast<int64_t>(value.size());
        if (document_.properties_ > kSchemaPropertiesMax) {
          return document_.Error(
              id, keyword, absl::StrCat("more than ", kSchemaPropertiesMax, " properties in all objects together"));
        }
        break;
      case KeywordShape::kAnnotation:
        return CheckBase(id, json, keyword, value);
      case KeywordShape::kSchema:
      case KeywordShape::kItems:
      case KeywordShape::kSchemaList:
        break;
      default:
        return absl::OkStatus();
    }
    return VisitInside(value, pointer, depth);
  }

  absl::Status VisitInside(const Json& value, const std::string& pointer, int depth) {
    if (value.is_boolean() || (value.is_object() && !IsMap(pointer))) {
      return Visit(value, pointer, depth + 1).status();
    }
    for (const auto& [name, schema] : value.items()) {
      if (value.is_object() && schema.is_array()) continue;  // dependencies: names
      HEADROOM_RETURN_IF_ERROR(Visit(schema, pointer + "/" + Escape(name), depth + 1).status());
    }
    return absl::OkStatus();
  }
  static bool IsMap(const std::string& pointer) {
    const auto known = SchemaKeywords().find(pointer.substr(pointer.rfind('/') + 1));
    return known != SchemaKeywords().end() &&
           (known->second == KeywordShape::kSchemaMap || known->second == KeywordShape::kDependencies);
  }

  // A schema with a URI of its own changes what the references inside it mean: it may have none.
  absl::Status CheckBase(SchemaDocument::Id id, const Json& json, const std::string& keyword, const Json& value) {
    if ((keyword != "$id" && keyword != "id") || id == SchemaDocument::kRoot || !value.is_string()) {
      return absl::OkStatus();
    }
    if (keyword == "id" && !document_.ignores_beside_ref_) return absl::OkStatus();
    if (!HasReference(json)) return absl::OkStatus();
    return document_.Error(id, keyword, "is supported at the root only, or in a schema without $ref");
  }
  // Wherever it stands: what is no schema is taken for one.
  static bool HasReference(const Json& json) {
    if (!json.is_structured()) return false;
    if (json.is_object() && json.contains("$ref")) return true;
    return std::ranges::any_of(json, HasReference);
  }

  absl::Status VisitReference(SchemaDocument::Id id, std::string reference) {
    if (!document_.base_.empty() && reference.starts_with(document_.base_)) reference.erase(0, document_.base_.size());
    if (!reference.empty() && reference != "#" && !reference.starts_with("#/")) {
      return document_.Error(id, "$ref", "only references inside the schema (#, #/…) are supported");
    }
    const Json* target = &document_.root_;
    std::string pointer;
    std::string_view rest = reference.size() > 1 ? std::string_view(reference).substr(2) : std::string_view();
    for (bool more = reference.size() > 1; more;) {
      const size_t slash = rest.find('/');
      more = slash != std::string_view::npos;
      std::string name;
      if (!Unescape(rest.substr(0, slash), &name)) return document_.Error(id, "$ref", "is no JSON pointer");
      rest = more ? rest.substr(slash + 1) : std::string_view();
      const Json* inside = nullptr;
      if (target->is_object()) {
        if (const auto found = target->find(name); found != target->end()) inside = &*found;
      } else if (target->is_array() && !name.empty() && name.size() < 6 &&
                 std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; })) {
        if (const auto index = static_cast<size_t>(std::stoi(name)); index < target->size()) inside = &(*target)[index];
      }
      if (inside == nullptr) return document_.Error(id, "$ref", "leads to nothing");
      target = inside;
      pointer += "/" + Escape(name);
    }
    if (!target->is_object() && !target->is_boolean()) return document_.Error(id, "$ref", "leads to no schema");
    HEADROOM_ASSIGN_OR_RETURN(const SchemaDocument::Id found, Visit(*target, pointer, 0));
    document_.targets_[id] = found;
    return absl::OkStatus();
  }

  SchemaDocument& document_;
  const bool added_;
};

absl::StatusOr<std::unique_ptr<SchemaDocument>> SchemaDocument::Parse(const std::string& text) {
  if (text.size() > kSchemaBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("JSON schema of ", text.size(), " bytes, limit ", kSchemaBytesMax));
  }
  if (JsonNestsDeeper(text, kSchemaJsonDepthMax)) {
    return absl::InvalidArgumentError(absl::StrCat("JSON schema nests deeper than ", kSchemaJsonDepthMax));
  }
  if (!IsValidUtf8(text)) return absl::InvalidArgumentError("JSON schema is no UTF-8");
  std::unique_ptr<SchemaDocument> document(new SchemaDocument);
  document->root_ = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const Json& root = document->root_;
  if (!root.is_object() && !root.is_boolean()) return absl::InvalidArgumentError("JSON schema is no JSON object");
  if (root.is_object()) {
    const auto text_of = [&root](const char* name) {
      const auto found = root.find(name);
      return found != root.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    for (const char* draft : {"draft-03", "draft-04", "draft-05", "draft-06", "draft-07"}) {
      if (text_of("$schema").find(draft) != std::string::npos) document->ignores_beside_ref_ = true;
    }
    document->base_ = text_of("$id").empty() ? text_of("id") : text_of("$id");
    while (document->base_.ends_with('#')) document->base_.pop_back();
  }
  HEADROOM_RETURN_IF_ERROR(SchemaWalk(*document, /*added=*/false).Visit(root, "", 0).status());
  return document;
}

absl::StatusOr<SchemaDocument::Id> SchemaDocument::Add(Json schema, Id origin) {
  if (schemas_.size() > 20'000) return Error(origin, "", "the schema is too complex");
  added_.push_back(std::move(schema));
  // What the client wrote has been counted; copies of it are not.
  const int64_t properties = std::exchange(properties_, 0), enum_values = std::exchange(enum_values_, 0);
  auto id = SchemaWalk(*this, /*added=*/true).Visit(added_.back(), PointerOf(origin), 0);
  properties_ = properties;
  enum_values_ = enum_values;
  return id;
}

}  // namespace headroom::model
