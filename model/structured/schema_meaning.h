// What schemas that hold together mean: conjunctions of schemas, expanded until only facts and choices are left.
// Decides whether a value is valid, and whether none can be.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "model/structured/dfa.h"
#include "model/structured/schema_document.h"
#include "model/structured/schema_facts.h"

namespace headroom::model {

// All of these hold. Two conjunctions that are equal mean the same.
struct Conjunction {
  std::vector<SchemaDocument::Id> facts;  // schemas whose own keywords count
  std::vector<int> choices;               // SchemaMeaning::Options: one of the options holds as well
  auto operator<=>(const Conjunction&) const = default;
};

// Not thread-safe; `document` must outlive it.
class SchemaMeaning {
 public:
  using Json = SchemaDocument::Json;
  using Id = SchemaDocument::Id;

  explicit SchemaMeaning(SchemaDocument& document) : document_(document) {}

  // `base` and all of `schemas`. Absent: one of them is `false`. Errors name what cannot be said exactly.
  absl::StatusOr<std::optional<Conjunction>> Expand(const std::vector<Id>& schemas, const Conjunction& base);
  const std::vector<Id>& Options(int choice) const { return choices_[static_cast<size_t>(choice)]; }
  absl::StatusOr<SchemaFacts> FactsOf(const Conjunction& all) const { return CollectFacts(document_, all.facts); }

  // Schemas for element `index` of an array; of a member of an object, where nothing means that the name is forbidden.
  std::vector<Id> ItemSchemas(const SchemaFacts& facts, size_t index) const;
  absl::StatusOr<std::optional<std::vector<Id>>> MemberSchemas(const SchemaFacts& facts, const std::string& name);
  // Elements that have schemas of their own.
  size_t PrefixSize(const SchemaFacts& facts) const;

  absl::StatusOr<bool> IsValid(const Json& value, const Conjunction& all);
  // True only when no value is valid for certain.
  absl::StatusOr<bool> IsImpossible(const Conjunction& all, int depth = 4);

  // Strings that fit all that the facts say of strings.
  absl::StatusOr<Dfa> StringsOf(const SchemaFacts& facts);
  absl::StatusOr<const Dfa*> PatternDfa(const std::string& pattern);
  // Names that propertyNames allows; absent without one.
  absl::StatusOr<std::optional<Dfa>> NamesOf(const SchemaFacts& facts);

  SchemaDocument& document() { return document_; }

 private:
  // Refuses schemas that come back to themselves with no value in between, which say nothing.
  absl::Status CheckLoops(Id id);
  absl::Status ExpandOne(Id id, std::vector<Id>* open, Conjunction* all);
  absl::StatusOr<int> ChoiceOf(Id id, const char* keyword);
  absl::StatusOr<std::vector<Id>> ExactlyOne(Id id, const std::vector<Id>& options);
  absl::StatusOr<Id> Rewritten(Id id, const char* keyword, Json schema);
  absl::Status ExpandRewritten(Id id, std::vector<Id>* open);
  absl::Status ExpandDependencies(Id id, const char* keyword, std::vector<Id>* open);
  absl::StatusOr<bool> FitsFacts(const Json& value, const Conjunction& all, const SchemaFacts& facts);
  absl::StatusOr<bool> FitsArray(const Json& value, const SchemaFacts& facts);
  absl::StatusOr<bool> FitsObject(const Json& value, const SchemaFacts& facts);
  absl::StatusOr<bool> FitsString(const std::string& value, const SchemaFacts& facts);
  absl::StatusOr<bool> AreImpossible(const std::vector<Id>& schemas, int depth);
  absl::StatusOr<bool> ArrayIsImpossible(const SchemaFacts& facts, int depth);
  absl::StatusOr<bool> ObjectIsImpossible(const SchemaFacts& facts, int depth);

  SchemaDocument& document_;
  std::vector<std::vector<Id>> choices_;
  std::map<std::pair<Id, std::string>, int> choice_of_;
  std::map<std::pair<Id, std::string>, Id> rewritten_;
  std::map<std::string, Dfa> patterns_;
  std::map<Id, bool> loop_free_;  // false while it is looked at
  int64_t work_ = 0;
  int comparing_ = 0;  // ExactlyOne, inside one another
};

}  // namespace headroom::model
