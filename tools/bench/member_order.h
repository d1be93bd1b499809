// The order in which structured output takes the members of an object (docs/structured-output.md): schema by schema,
// each with what it names itself before what it refers to, and the options of a choice at last.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace headroom {

class MemberOrder {
 public:
  using Json = nlohmann::ordered_json;

  // `root` must outlive it.
  explicit MemberOrder(const Json& root) : root_(root) {}

  Json Ordered(const Json& value) const { return Ordered(value, {&root_}); }

 private:
  using Schemas = std::vector<const Json*>;

  Json Ordered(const Json& value, const Schemas& schemas) const {
    if (!value.is_structured()) return value;
    const Schemas facts = FactsOf(schemas);
    Json ordered = value.is_object() ? Json::object() : Json::array();
    if (value.is_array()) {
      for (size_t i = 0; i < value.size(); ++i) ordered.push_back(Ordered(value[i], ItemSchemas(facts, i)));
      return ordered;
    }
    const auto take = [&](const std::string& name) {
      if (value.contains(name) && !ordered.contains(name)) {
        ordered[name] = Ordered(value[name], MemberSchemas(facts, name));
      }
    };
    for (const Json* schema : facts) {
      for (const auto& [name, property] : Part(*schema, "properties").items()) take(name);
    }
    for (const Json* schema : facts) {
      for (const Json& name : Part(*schema, "required")) {
        if (name.is_string()) take(name.get<std::string>());
      }
    }
    for (const auto& [name, member] : value.items()) take(name);
    return ordered;
  }

  static const Json& Part(const Json& schema, const char* keyword) {
    static const Json nothing = Json::object();
    const auto found = schema.find(keyword);
    return found == schema.end() || !found->is_structured() ? nothing : *found;
  }

  Schemas FactsOf(const Schemas& schemas) const {
    Schemas facts, choices;
    std::set<const Json*> seen;
    for (const Json* schema : schemas) AddFacts(schema, seen, facts, choices);
    for (size_t i = 0; i < choices.size(); ++i) {
      const Json* choice = choices[i];  // AddFacts appends to them
      AddFacts(choice, seen, facts, choices);
    }
    return facts;
  }
  void AddFacts(const Json* schema, std::set<const Json*>& seen, Schemas& facts, Schemas& choices) const {
    if (schema == nullptr || !schema->is_object() || !seen.insert(schema).second) return;
    facts.push_back(schema);
    for (const Json& one : Part(*schema, "allOf")) AddFacts(&one, seen, facts, choices);
    if (const auto reference = schema->find("$ref"); reference != schema->end() && reference->is_string()) {
      AddFacts(Target(reference->get<std::string>()), seen, facts, choices);
    }
    for (const char* keyword : {"anyOf", "oneOf"}) {
      for (const Json& one : Part(*schema, keyword)) choices.push_back(&one);
    }
    for (const char* keyword : {"then", "else"}) {
      if (schema->contains(keyword)) choices.push_back(&(*schema)[keyword]);
    }
  }
  const Json* Target(const std::string& reference) const {
    const size_t hash = reference.find('#');
    if (hash == std::string::npos) return nullptr;
    try {
      return &root_.at(Json::json_pointer(reference.substr(hash + 1)));
    } catch (const Json::exception&) {
      return nullptr;
    }
  }

  static Schemas ItemSchemas(const Schemas& facts, size_t index) {
    Schemas schemas;
    for (const Json* fact : facts) {
      for (const char* keyword : {"prefixItems", "items"}) {
        const Json& items = Part(*fact, keyword);
        if (items.is_object()) schemas.push_back(&items);
        if (items.is_array() && index < items.size()) schemas.push_back(&items[index]);
      }
    }
    return schemas;
  }
  static Schemas MemberSchemas(const Schemas& facts, const std::string& name) {
    Schemas schemas;
    for (const Json* fact : facts) {
      const Json& properties = Part(*fact, "properties");
      if (const auto property = properties.find(name); property != properties.end()) {
        schemas.push_back(&*property);
        continue;
      }
      for (const Json& one : Part(*fact, "patternProperties")) schemas.push_back(&one);
      if (fact->contains("additionalProperties")) schemas.push_back(&(*fact)["additionalProperties"]);
    }
    return schemas;
  }

  const Json& root_;
};

}  // namespace headroom
