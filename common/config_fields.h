// Binds the keys of one YAML mapping to members of a struct. A key is declared once (name, member, bounds, help);
// parsing, checking, error positions and the reference page (`headroom config`) all come from that declaration.
//
//   void SchedulerSection::Declare(ConfigFields& fields) {
//     fields.Text("listen", &listen, "address that gateways and workers dial");
//     fields.Integer("queue_entries_max", &queue_entries_max, 1, 1'000'000, "requests that may wait");
//   }
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/status.h"

namespace headroom {

// One scalar of the file with its position, or of an override ("--set").
struct ConfigScalar {
  std::string text;
  std::string where;  // "FILE:12" or "--set"
  bool quoted = false;
};

class ConfigFields {
 public:
  struct Field {
    std::string name;
    std::string type;           // text, list, address, integer, number, bytes, boolean, choice, mapping
    std::string default_value;  // as it would stand in the file; empty: none
    std::string bounds;         // for people
    std::string help;
    std::function<absl::Status(const ConfigScalar&)> parse;
    std::shared_ptr<const ConfigFields> nested = {};  // of a mapping: its keys; it has no `parse`
  };

  void Text(const std::string& name, std::string* value, const std::string& help);
  // Words without commas: a list of them, or one scalar with commas between them.
  void List(const std::string& name, std::vector<std::string>* value, const std::string& help);
  // A mapping inside of the mapping.
  void Nested(const std::string& name, ConfigFields fields, const std::string& help);
  // As in common/address.h.
  void Address(const std::string& name, std::string* value, const std::string& help);
  // The same, or empty.
  void OptionalAddress(const std::string& name, std::string* value, const std::string& help);
  void Choice(const std::string& name, std::string* value, const std::vector<std::string>& allowed,
              const std::string& help);
  void Integer(const std::string& name, int64_t* value, int64_t min, int64_t max, const std::string& help);
  // Absent means "not given": the solver fills it in.
  void OptionalInteger(const std::string& name, std::optional<int64_t>* value, int64_t min, int64_t max,
                       const std::string& help);
  // Finite, in [min, max], or (min, max] when min_excluded.
  void OptionalNumber(const std::string& name, std::optional<double>* value, double min, double max, bool min_excluded,
                      const std::string& help);
  // A byte count: plain, or with KiB, MiB, GiB, TiB. `given` tells whether somebody wrote it.
  void Bytes(const std::string& name, int64_t* value, int64_t min, int64_t max, const std::string& help,
             bool* given = nullptr);
  void Boolean(const std::string& name, bool* value, const std::string& help);

  const std::vector<Field>& fields() const { return fields_; }
  const Field* Find(const std::string& name) const;

 private:
  void AddAddress(const std::string& name, std::string* value, bool optional, const std::string& help);

  std::vector<Field> fields_;
};

}  // namespace headroom
