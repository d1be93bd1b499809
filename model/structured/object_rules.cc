// Objects: the part of SchemaCompiler with the most to say.
#include <algorithm>
#include <map>

#include "common/status.h"
#include "model/structured/schema_compiler.h"

namespace headroom::model {
namespace {

constexpr size_t kStatesMax = 20'000;

}  // namespace

absl::StatusOr<Rules::Expression> SchemaCompiler::Object(const SchemaFacts& facts) {
  const std::vector<std::string> names = NamesIn(facts);
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Member> members, NamedMembers(facts, names));
  HEADROOM_ASSIGN_OR_RETURN(const Expression others, OtherMembers(facts, names));
  HEADROOM_ASSIGN_OR_RETURN(const Expression inside, MembersInOrder(facts, members, others));
  return rules_.Sequence({rules_.Literal("{"), space_, inside, rules_.Literal("}")});
}

std::vector<std::string> SchemaCompiler::NamesIn(const SchemaFacts& facts) const {
  std::vector<std::string> names;
  std::map<std::string, bool> seen;
  const auto add = [&](const std::string& name) {
    if (seen.emplace(name, true).second) names.push_back(name);
  };
  for (const Id id : facts.object_schemas) {
    const Json& schema = meaning_.document().At(id);
    if (!schema.contains("properties")) continue;
    for (const auto& [name, property] : schema["properties"].items()) add(name);
  }
  for (const std::string& name : facts.required) add(name);
  return names;
}

absl::StatusOr<std::vector<SchemaCompiler::Member>> SchemaCompiler::NamedMembers(
    const SchemaFacts& facts, const std::vector<std::string>& names) {
  std::vector<Member> members;
  for (const std::string& name : names) {
    Member member{.required = std::ranges::find(facts.required, name) != facts.required.end()};
    HEADROOM_ASSIGN_OR_RETURN(const auto schemas, meaning_.MemberSchemas(facts, name));
    if (schemas) {
      HEADROOM_ASSIGN_OR_RETURN(const Expression value, Value(*schemas));
      member.text = rules_.Shared(rules_.Sequence({rules_.Literal(Json(name).dump()), colon_, value}));
    }
    members.push_back(member);
  }
  return members;
}

// Names fall into classes by the patterns that they match; each class has its language and its schemas.
absl::StatusOr<Rules::Expression> SchemaCompiler::OtherMembers(const SchemaFacts& facts,
                                                               const std::vector<std::string>& names) {
  struct NameClass {
    Dfa names;
    std::vector<const Json*> matched;  // schemas in patternProperties
  };
  HEADROOM_ASSIGN_OR_RETURN(std::optional<Dfa> allowed, meaning_.NamesOf(facts));
  const bool restricted = allowed.has_value() || !names.empty();
  Dfa all = allowed ? *std::move(allowed) : Dfa::Everything();
  if (!names.empty()) {
    HEADROOM_ASSIGN_OR_RETURN(all, Dfa::Combine(all, Dfa::Of(names), Dfa::Operation::kFirstOnly));
  }
  std::vector<NameClass> classes = {{std::move(all), {}}};
  for (const Id id : facts.object_schemas) {
    const Json& schema = meaning_.document().At(id);
    if (!schema.contains("patternProperties")) continue;
    for (const auto& [pattern, property] : schema["patternProperties"].items()) {
      HEADROOM_ASSIGN_OR_RETURN(const Dfa* dfa, meaning_.PatternDfa(pattern));
      std::vector<NameClass> split;
      for (const NameClass& one : classes) {
        for (const auto operation : {Dfa::Operation::kBoth, Dfa::Operation::kFirstOnly}) {
          HEADROOM_ASSIGN_OR_RETURN(Dfa part, Dfa::Combine(one.names, *dfa, operation));
          if (part.IsEmpty()) continue;
          split.push_back({std::move(part), one.matched});
          if (operation == Dfa::Operation::kBoth) split.back().matched.push_back(&property);
        }
      }
      if (split.size() > 64) return meaning_.document().Error(id, "patternProperties", "the patterns overlap too much");
      classes = std::move(split);
    }
  }
  std::vector<Expression> options;
  for (const NameClass& one : classes) {
    HEADROOM_ASSIGN_OR_RETURN(const std::vector<Id> schemas, OtherSchemas(facts, one.matched));
    HEADROOM_ASSIGN_OR_RETURN(const Expression value, Value(schemas));
    if (value == Rules::Never()) continue;
    const bool any_name = !restricted && classes.size() == 1;
    const auto spell = [this](const CodePoints& set) { return JsonCharacter(set, rules_); };
    const Expression name = any_name ? any_string_ : Quoted(one.names.ToRules(spell, rules_));
    options.push_back(rules_.Sequence({name, colon_, value}));
  }
  return rules_.Choice(options);
}

absl::StatusOr<std::vector<SchemaDocument::Id>> SchemaCompiler::OtherSchemas(
    const SchemaFacts& facts, const std::vector<const Json*>& matched) const {
  std::vector<Id> schemas;
  for (const Id id : facts.object_schemas) {
    const Json& schema = meaning_.document().At(id);
    bool named = false;
    if (const auto patterns = schema.find("patternProperties"); patterns != schema.end()) {
      for (const auto& [pattern, property] : patterns->items()) {
        if (std::ranges::find(matched, &property) == matched.end()) continue;
        schemas.push_back(meaning_.document().IdOf(property));
        named = true;
      }
    }
    if (const auto rest = schema.find("additionalProperties"); !named && rest != schema.end()) {
      schemas.push_back(meaning_.document().IdOf(*rest));
    }
  }
  return schemas;
}

// From the end: Behind(i, n) is what may follow when n members (counted up to what matters) have come out of the first
// i named ones. Everything but the first member has a comma in front.
absl::StatusOr<Rules::Expression> SchemaCompiler::MembersInOrder(const SchemaFacts& facts,
                                                                 const std::vector<Member>& members,
                                                                 Expression others) {
  const int64_t min = facts.min_properties, max = facts.max_properties;
  const bool bounded = max != Rules::kUnbounded;
  if (bounded && max < min) return Rules::Never();
  const auto required = std::ranges::count(members, true, &Member::required);
  // A member whose name comes twice would count twice: names that are not written down can repeat.
  if (others != Rules::Never() && min > std::max<int64_t>(required, 1)) {
    return meaning_.document().Error(facts.object_schemas.empty() ? SchemaDocument::kRoot : facts.object_schemas[0], "",
                                     "minProperties is supported up to the number of required properties, or where "
                                     "additionalProperties is false");
  }
  const int64_t counted = std::max<int64_t>({1, min, bounded ? max : 0});
  if (static_cast<size_t>(counted + 1) * (members.size() + 1) > kStatesMax) {
    return meaning_.document().Error(SchemaDocument::kRoot, "",
                                     "minProperties or maxProperties of too many properties");
  }
  std::vector<Expression> behind;
  for (int64_t n = 0; n <= counted; ++n) {
    const int64_t least = std::max<int64_t>(0, min - n);
    const int64_t most = bounded ? std::max<int64_t>(0, max - n) : Rules::kUnbounded;
    if (most == 0 || others == Rules::Never()) {
      behind.push_back(least > 0 ? Rules::Never() : n > 0 ? space_ : Rules::Empty());
      continue;
    }
    const auto less = [](int64_t count) {
      return count == Rules::kUnbounded ? count : std::max<int64_t>(0, count - 1);
    };
    const Expression other = rules_.Shared(others), following = rules_.Sequence({comma_, other});
    const Expression some = n > 0 ? rules_.Sequence({rules_.Repeat(following, least, most), space_})
                                  : rules_.Sequence({other, rules_.Repeat(following, less(least), less(most)), space_});
    behind.push_back(rules_.Shared(n == 0 && least == 0 ? rules_.Optional(some) : some));
  }
  for (size_t i = members.size(); i-- > 0;) {
    std::vector<Expression> before;
    for (int64_t n = 0; n <= counted; ++n) {
      std::vector<Expression> options;
      if (!bounded || n < max) {
        const Expression next = behind[static_cast<size_t>(std::min(n + 1, counted))];
        options.push_back(rules_.Sequence({n > 0 ? comma_ : Rules::Empty(), members[i].text, next}));
      }
      if (!members[i].required) options.push_back(behind[static_cast<size_t>(n)]);
      const Expression choice = rules_.Choice(options);
      before.push_back(members[i].required && static_cast<int64_t>(i) % kInOneRule != 0 ? choice
                                                                                        : rules_.Shared(choice));
    }
    behind = std::move(before);
  }
  return behind[0];
}

}  // namespace headroom::model
