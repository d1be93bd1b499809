// A JSON Schema as its text says it: parsed within limits, every keyword that is reached known, every reference inside.
// Schemas are known by numbers; those that a rewrite makes up get numbers, too.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"

namespace headroom::model {

inline constexpr size_t kSchemaBytesMax = 64 * 1024;
inline constexpr int kSchemaDepthMax = 16;             // schemas inside schemas
inline constexpr int kSchemaJsonDepthMax = 64;         // values inside values
inline constexpr int64_t kSchemaPropertiesMax = 1000;  // of all objects together
inline constexpr int64_t kSchemaEnumMax = 1000;        // values of all enums together

class SchemaDocument {
 public:
  using Json = nlohmann::ordered_json;
  using Id = int32_t;

  // INVALID_ARGUMENT with JSON pointer, value and limit. All schemas that the root can reach have been checked.
  static absl::StatusOr<std::unique_ptr<SchemaDocument>> Parse(const std::string& text);

  // Of those that are understood; others have no effect.
  static bool IsKeyword(const std::string& name);

  static constexpr Id kRoot = 0;
  const Json& At(Id id) const { return *schemas_[static_cast<size_t>(id)].json; }
  const std::string& PointerOf(Id id) const { return schemas_[static_cast<size_t>(id)].pointer; }
  // Of a value inside a schema that Parse or Add has seen.
  Id IdOf(const Json& schema) const { return ids_.at(&schema); }
  // Where the $ref of this schema leads; it has one.
  Id Target(Id id) const { return targets_.at(id); }
  // Drafts up to 7 ignore what stands beside a $ref.
  bool ignores_beside_ref() const { return ignores_beside_ref_; }

  // A schema that says the same as something at `origin`, for rewriting. Checked like the others.
  absl::StatusOr<Id> Add(Json schema, Id origin);

  absl::Status Error(Id id, const std::string& keyword, const std::string& what) const;

 private:
  struct Schema {
    const Json* json = nullptr;
    std::string pointer;
  };
  friend class SchemaWalk;

  SchemaDocument() = default;

  Json root_;
  std::deque<Json> added_;
  std::vector<Schema> schemas_;
  std::unordered_map<const Json*, Id> ids_;
  std::unordered_map<Id, Id> targets_;
  std::string base_;  // the root's own URI
  bool ignores_beside_ref_ = false;
  int64_t properties_ = 0, enum_values_ = 0;
};

}  // namespace headroom::model
