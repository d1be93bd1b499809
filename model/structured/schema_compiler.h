// From what schemas mean to rules of JSON text. Members of an object come in the order in which the schema names them,
// those that it does not name after them; white space is a blank, or a line end and blanks, and never unbounded.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "model/structured/rules.h"
#include "model/structured/schema_meaning.h"

namespace headroom::model {

class SchemaCompiler {
 public:
  using Expression = Rules::Expression;
  using Json = SchemaDocument::Json;
  using Id = SchemaDocument::Id;

  // Both must outlive it.
  SchemaCompiler(SchemaMeaning& meaning, Rules& rules);

  // JSON texts of the values that are valid for the root. INVALID_ARGUMENT with a pointer.
  absl::StatusOr<Expression> Compile();

 private:
  // Schemas that hold for a value, as a reference to the rule for them, which may be written later.
  absl::StatusOr<Expression> Value(const std::vector<Id>& schemas);
  Expression RuleFor(const Conjunction& all);
  absl::StatusOr<Expression> Body(const Conjunction& all);
  absl::StatusOr<Expression> Values(const SchemaFacts& facts, const Conjunction& all);
  absl::StatusOr<Expression> Typed(const SchemaFacts& facts);

  Expression Literal(const Json& value);
  absl::StatusOr<Expression> String(const SchemaFacts& facts);
  Expression Quoted(Expression characters);
  absl::StatusOr<Expression> Array(const SchemaFacts& facts);

  // Elements or members that stand in one rule at most: expressions are walked by recursion.
  static constexpr int64_t kInOneRule = 8;

  // object_rules.cc
  struct Member {
    Expression text = Rules::Never();  // "name": value
    bool required = false;
  };
  absl::StatusOr<Expression> Object(const SchemaFacts& facts);
  std::vector<std::string> NamesIn(const SchemaFacts& facts) const;
  absl::StatusOr<std::vector<Member>> NamedMembers(const SchemaFacts& facts, const std::vector<std::string>& names);
  // Members with other names.
  absl::StatusOr<Expression> OtherMembers(const SchemaFacts& facts, const std::vector<std::string>& names);
  absl::StatusOr<std::vector<Id>> OtherSchemas(const SchemaFacts& facts, const std::vector<const Json*>& matched) const;
  absl::StatusOr<Expression> MembersInOrder(const SchemaFacts& facts, const std::vector<Member>& members,
                                            Expression others);

  SchemaMeaning& meaning_;
  Rules& rules_;
  Expression space_, comma_, colon_, character_, any_string_, any_number_, any_integer_;
  std::map<Conjunction, Expression> rule_of_;
  std::deque<std::pair<Conjunction, int32_t>> open_;  // rules whose bodies are still to be written
};

}  // namespace headroom::model
