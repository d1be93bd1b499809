#include "model/structured/schema_meaning.h"

#include <algorithm>
#include <set>

#include "common/status.h"
#include "model/structured/schema_keywords.h"
#include "model/structured/schema_rewrite.h"

namespace headroom::model {
namespace {

using Id = SchemaDocument::Id;
using Json = SchemaDocument::Json;

constexpr int64_t kWorkMax = 200'000;
constexpr size_t kNegatedOptionsMax = 8;
constexpr int kComparisonsNested = 2;

bool SaysSomethingItself(const Json& schema) {
  static const char* const own[] = {"type",
                                    "enum",
                                    "const",
                                    "minimum",
                                    "maximum",
                                    "exclusiveMinimum",
                                    "exclusiveMaximum",
                                    "multipleOf",
                                    "minLength",
                                    "maxLength",
                                    "pattern",
                                    "format",
                                    "items",
                                    "prefixItems",
                                    "additionalItems",
                                    "minItems",
                                    "maxItems",
                                    "uniqueItems",
                                    "properties",
                                    "patternProperties",
                                    "additionalProperties",
                                    "propertyNames",
                                    "required",
                                    "minProperties",
                                    "maxProperties",
                                    kExcludedStrings,
                                    kExcludedPattern};
  return std::ranges::any_of(own, [&schema](const char* keyword) { return schema.contains(keyword); });
}

}  // namespace

absl::StatusOr<std::optional<Conjunction>> SchemaMeaning::Expand(const std::vector<Id>& schemas,
                                                                 const Conjunction& base) {
  for (const Id id : schemas) HEADROOM_RETURN_IF_ERROR(CheckLoops(id));
  Conjunction all = base;
  std::vector<Id> open(schemas.rbegin(), schemas.rend());
  std::set<Id> seen;
  while (!open.empty()) {
    const Id id = open.back();
    open.pop_back();
    if (++work_ > kWorkMax) return document_.Error(id, "", "the schema is too complex");
    if (!seen.insert(id).second) continue;
    const Json& schema = document_.At(id);
    if (schema.is_boolean()) {
      if (!schema.get<bool>()) return std::optional<Conjunction>();
      continue;
    }
    HEADROOM_RETURN_IF_ERROR(ExpandOne(id, &open, &all));
  }
  return std::optional<Conjunction>(std::move(all));
}

absl::Status SchemaMeaning::CheckLoops(Id id) {
  const auto [found, is_new] = loop_free_.emplace(id, false);
  if (!is_new)
    return found->second ? absl::OkStatus() : document_.Error(id, "", "refers to itself without a value in between");
  const Json& schema = document_.At(id);
  if (schema.contains("$ref")) HEADROOM_RETURN_IF_ERROR(CheckLoops(document_.Target(id)));
  const bool only_ref = schema.contains("$ref") && document_.ignores_beside_ref();
  for (const char* keyword : {"allOf", "anyOf", "oneOf", "dependentSchemas"}) {
    if (only_ref || !schema.contains(keyword)) continue;
    for (const Json& one : schema[keyword]) HEADROOM_RETURN_IF_ERROR(CheckLoops(document_.IdOf(one)));
  }
  for (const char* keyword : {"not", "if", "then", "else"}) {
    if (!only_ref && schema.contains(keyword)) HEADROOM_RETURN_IF_ERROR(CheckLoops(document_.IdOf(schema[keyword])));
  }
  loop_free_[id] = true;
  return absl::OkStatus();
}

// In the order in which the schema is written, so that properties come in its order.
absl::Status SchemaMeaning::ExpandOne(Id id, std::vector<Id>* open, Conjunction* all) {
  const Json& schema = document_.At(id);
  if (schema.contains("$ref")) {
    open->push_back(document_.Target(id));
    if (document_.ignores_beside_ref()) return absl::OkStatus();
  }
  if (SaysSomethingItself(schema) && std::ranges::find(all->facts, id) == all->facts.end()) all->facts.push_back(id);
  HEADROOM_RETURN_IF_ERROR(ExpandRewritten(id, open));
  for (const char* keyword : {"dependentRequired", "dependentSchemas", "dependencies"}) {
    HEADROOM_RETURN_IF_ERROR(ExpandDependencies(id, keyword, open));
  }
  if (const auto list = schema.find("allOf"); list != schema.end()) {
    for (auto one = list->rbegin(); one != list->rend(); ++one) open->push_back(document_.IdOf(*one));
  }
  for (const char* keyword : {"anyOf", "oneOf"}) {
    if (!schema.contains(keyword)) continue;
    HEADROOM_ASSIGN_OR_RETURN(const int choice, ChoiceOf(id, keyword));
    if (Options(choice).size() == 1) {
      open->push_back(Options(choice)[0]);
    } else if (std::ranges::find(all->choices, choice) == all->choices.end()) {
      all->choices.push_back(choice);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<int> SchemaMeaning::ChoiceOf(Id id, const char* keyword) {
  if (const auto found = choice_of_.find({id, keyword}); found != choice_of_.end()) return found->second;
  std::vector<Id> options;
  for (const Json& option : document_.At(id)[keyword]) options.push_back(document_.IdOf(option));
  std::string name = keyword;
  if (name == "oneOf" && options.size() > 1) {
    if (comparing_ < kComparisonsNested) {
      ++comparing_;
      absl::StatusOr<std::vector<Id>> exact = ExactlyOne(id, options);
      --comparing_;
      HEADROOM_ASSIGN_OR_RETURN(options, std::move(exact));
    } else {
      // Inside a comparison of options, which only asks whether nothing fits: "at least one" is wider and will do. A
      // schema that holds itself would be compared for ever.
      name = "oneOf, as anyOf";
      if (const auto found = choice_of_.find({id, name}); found != choice_of_.end()) return found->second;
    }
  }
  choices_.push_back(std::move(options));
  return choice_of_[{id, name}] = static_cast<int>(choices_.size()) - 1;
}

// The options, where no two of them can hold at once; else each with "and none of those that overlap it".
absl::StatusOr<std::vector<Id>> SchemaMeaning::ExactlyOne(Id id, const std::vector<Id>& options) {
  Conjunction base;
  if (SaysSomethingItself(document_.At(id))) base.facts.push_back(id);
  std::vector<std::vector<size_t>> overlaps(options.size());
  bool disjoint = true;
  for (size_t i = 0; i < options.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      HEADROOM_ASSIGN_OR_RETURN(const std::optional<Conjunction> both, Expand({options[i], options[j]}, base));
      if (!both) continue;
      HEADROOM_ASSIGN_OR_RETURN(const bool impossible, IsImpossible(*both));
      if (impossible) continue;
      disjoint = false;
      overlaps[i].push_back(j);
      overlaps[j].push_back(i);
    }
  }
  if (disjoint) return options;
  if (options.size() > kNegatedOptionsMax) {
    return document_.Error(id, "oneOf", absl::StrCat("overlapping options are supported up to ", kNegatedOptionsMax));
  }
  std::vector<Id> exact;
  for (size_t i = 0; i < options.size(); ++i) {
    Json all = Json::array({document_.At(options[i])});
    for (const size_t j : overlaps[i]) {
      absl::StatusOr<Json> other = Negate(document_.At(options[j]), document_);
      if (!other.ok()) {
        return document_.Error(id, "oneOf",
                               absl::StrCat("options overlap, and ", std::string(other.status().message())));
      }
      all.push_back(*std::move(other));
    }
    Json schema;
    schema["allOf"] = std::move(all);
    HEADROOM_ASSIGN_OR_RETURN(const Id one, document_.Add(std::move(schema), options[i]));
    exact.push_back(one);
  }
  return exact;
}

absl::StatusOr<Id> SchemaMeaning::Rewritten(Id id, const char* keyword, Json schema) {
  HEADROOM_ASSIGN_OR_RETURN(const Id added, document_.Add(std::move(schema), id));
  return rewritten_[{id, keyword}] = added;
}

absl::Status SchemaMeaning::ExpandRewritten(Id id, std::vector<Id>* open) {
  const Json& schema = document_.At(id);
  for (const char* keyword : {"not", "if"}) {
    if (!schema.contains(keyword)) continue;
    if (const auto found = rewritten_.find({id, keyword}); found != rewritten_.end()) {
      open->push_back(found->second);
      continue;
    }
    const bool is_if = std::string(keyword) == "if";
    if (is_if && !schema.contains("then") && !schema.contains("else")) continue;
    absl::StatusOr<Json> other = Negate(schema[keyword], document_);
    if (!other.ok()) return document_.Error(id, keyword, std::string(other.status().message()));
    Json rewritten = *std::move(other);
    if (is_if) {
      Json yes, no, both = Json::array();
      yes["allOf"] = Json::array({schema["if"], schema.value("then", Json(true))});
      no["allOf"] = Json::array({rewritten, schema.value("else", Json(true))});
      both.push_back(yes);
      both.push_back(no);
      rewritten = Json::object();
      rewritten["anyOf"] = both;
    }
    HEADROOM_ASSIGN_OR_RETURN(const Id added, Rewritten(id, keyword, std::move(rewritten)));
    open->push_back(added);
  }
  return absl::OkStatus();
}

// The name is absent, or what depends on it holds.
absl::Status SchemaMeaning::ExpandDependencies(Id id, const char* keyword, std::vector<Id>* open) {
  const Json& schema = document_.At(id);
  if (!schema.contains(keyword)) return absl::OkStatus();
  const auto found = rewritten_.find({id, keyword});
  if (found != rewritten_.end()) {
    open->push_back(found->second);
    return absl::OkStatus();
  }
  Json all = Json::array();
  for (const auto& [name, needed] : schema[keyword].items()) {
    Json absent, present, consequence, either;
    absent["properties"][name] = false;
    if (needed.is_array()) {
      present["required"] = Json::array({name});
      for (const Json& other : needed) present["required"].push_back(other);
      consequence = present;
    } else {
      present["required"] = Json::array({name});
      consequence["allOf"] = Json::array({present, needed});
    }
    either["anyOf"] = Json::array({absent, consequence});
    all.push_back(std::move(either));
  }
  if (all.empty()) return absl::OkStatus();
  Json rewritten;
  rewritten["allOf"] = std::move(all);
  HEADROOM_ASSIGN_OR_RETURN(const Id added, Rewritten(id, keyword, std::move(rewritten)));
  open->push_back(added);
  return absl::OkStatus();
}

size_t SchemaMeaning::PrefixSize(const SchemaFacts& facts) const {
  size_t size = 0;
  for (const Id id : facts.array_schemas) {
    const Json& schema = document_.At(id);
    if (schema.contains("prefixItems")) size = std::max(size, schema["prefixItems"].size());
    if (schema.contains("items") && schema["items"].is_array()) size = std::max(size, schema["items"].size());
  }
  return size;
}

std::vector<Id> SchemaMeaning::ItemSchemas(const SchemaFacts& facts, size_t index) const {
  std::vector<Id> schemas;
  for (const Id id : facts.array_schemas) {
    const Json& schema = document_.At(id);
    const auto items = schema.find("items");
    const bool list = items != schema.end() && items->is_array();
    const auto prefix = list ? items : schema.find("prefixItems");
    if (prefix != schema.end() && index < prefix->size()) {
      schemas.push_back(document_.IdOf((*prefix)[index]));
    } else if (items != schema.end() && !list) {
      schemas.push_back(document_.IdOf(*items));
    } else if (const auto rest = schema.find("additionalItems"); list && rest != schema.end()) {
      schemas.push_back(document_.IdOf(*rest));
    }
  }
  return schemas;
}

absl::StatusOr<std::optional<std::vector<Id>>> SchemaMeaning::MemberSchemas(const SchemaFacts& facts,
                                                                            const std::string& name) {
  std::vector<Id> schemas;
  for (const Id id : facts.object_schemas) {
    const Json& schema = document_.At(id);
    bool named = false;
    if (const auto properties = schema.find("properties"); properties != schema.end()) {
      if (const auto property = properties->find(name); property != properties->end()) {
        schemas.push_back(document_.IdOf(*property));
        named = true;
      }
    }
    if (const auto patterns = schema.find("patternProperties"); patterns != schema.end()) {
      for (const auto& [pattern, property] : patterns->items()) {
        HEADROOM_ASSIGN_OR_RETURN(const Dfa* dfa, PatternDfa(pattern));
        if (!dfa->Accepts(name)) continue;
        schemas.push_back(document_.IdOf(property));
        named = true;
      }
    }
    if (const auto rest = schema.find("additionalProperties"); !named && rest != schema.end()) {
      schemas.push_back(document_.IdOf(*rest));
    }
    if (const auto names = schema.find("propertyNames"); names != schema.end()) {
      HEADROOM_ASSIGN_OR_RETURN(const auto all, Expand({document_.IdOf(*names)}, {}));
      if (!all) return std::optional<std::vector<Id>>();
      HEADROOM_ASSIGN_OR_RETURN(const bool valid, IsValid(Json(name), *all));
      if (!valid) return std::optional<std::vector<Id>>();
    }
  }
  return std::optional<std::vector<Id>>(std::move(schemas));
}

absl::StatusOr<const Dfa*> SchemaMeaning::PatternDfa(const std::string& pattern) {
  if (const auto found = patterns_.find(pattern); found != patterns_.end()) return &found->second;
  HEADROOM_ASSIGN_OR_RETURN(const Regex regex, ParsePattern(pattern));
  HEADROOM_ASSIGN_OR_RETURN(Dfa dfa, Dfa::FromRegex(regex));
  return &patterns_.emplace(pattern, std::move(dfa)).first->second;
}

absl::StatusOr<Dfa> SchemaMeaning::StringsOf(const SchemaFacts& facts) {
  // What building the automata costs, beside the work of Expand.
  const auto lengths = std::max(facts.min_length, facts.max_length) / 16;
  work_ += 1 + lengths + 100 * static_cast<int64_t>(facts.patterns.size() + facts.excluded_patterns.size());
  if (work_ > kWorkMax) return document_.Error(SchemaDocument::kRoot, "", "the schema is too complex");
  Dfa strings = Dfa::OfLength(facts.min_length, facts.max_length);
  for (const std::string& pattern : facts.patterns) {
    HEADROOM_ASSIGN_OR_RETURN(const Dfa* dfa, PatternDfa(pattern));
    HEADROOM_ASSIGN_OR_RETURN(strings, Dfa::Combine(*dfa, strings, Dfa::Operation::kBoth));
  }
  for (const std::string& pattern : facts.excluded_patterns) {
    HEADROOM_ASSIGN_OR_RETURN(const Dfa* dfa, PatternDfa(pattern));
    HEADROOM_ASSIGN_OR_RETURN(strings, Dfa::Combine(strings, *dfa, Dfa::Operation::kFirstOnly));
  }
  if (!facts.excluded_strings.empty()) {
    const Dfa excluded = Dfa::Of(facts.excluded_strings);
    HEADROOM_ASSIGN_OR_RETURN(strings, Dfa::Combine(strings, excluded, Dfa::Operation::kFirstOnly));
  }
  return strings;
}

absl::StatusOr<std::optional<Dfa>> SchemaMeaning::NamesOf(const SchemaFacts& facts) {
  std::optional<Dfa> names;
  for (const Id id : facts.object_schemas) {
    const Json& schema = document_.At(id);
    if (!schema.contains("propertyNames")) continue;
    HEADROOM_ASSIGN_OR_RETURN(const auto all, Expand({document_.IdOf(schema["propertyNames"])}, {}));
    Dfa these = Dfa::Of({});
    if (all) {
      if (!all->choices.empty()) return document_.Error(id, "propertyNames", "anyOf and oneOf are not supported here");
      HEADROOM_ASSIGN_OR_RETURN(const SchemaFacts of_names, FactsOf(*all));
      if (of_names.values) {
        std::vector<std::string> allowed;
        for (const Json& value : *of_names.values) {
          HEADROOM_ASSIGN_OR_RETURN(const bool valid, IsValid(value, *all));
          if (valid && value.is_string()) allowed.push_back(value.get<std::string>());
        }
        these = Dfa::Of(allowed);
      } else if (of_names.Has(Types::kString)) {
        HEADROOM_ASSIGN_OR_RETURN(these, StringsOf(of_names));
      }
    }
    if (names) {
      HEADROOM_ASSIGN_OR_RETURN(these, Dfa::Combine(*names, these, Dfa::Operation::kBoth));
    }
    names = std::move(these);
  }
  return names;
}

}  // namespace headroom::model
