// Fields of one object of a config.json, read for a ModelSpec. The first error stays and getters go on with a value
// inside the limits, so a family reads all its fields, computes with them, and looks at status() before it answers.
// A value that the class of the model fills in is noted as assumed.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "model/json_fields.h"

namespace headroom::model::reading {

class FieldReader {
 public:
  // `prefix` ("text_config.", or empty) names the object in what is noted; `assumed` must outlive the reader.
  FieldReader(JsonFields fields, std::string prefix, std::vector<std::string>& assumed);
  // The object `name` of `parent`; when it is absent all its fields are.
  static FieldReader Object(FieldReader& parent, const std::string& name);

  bool Has(const std::string& name) const { return fields_.Has(name); }
  const JsonFields& fields() const { return fields_; }

  int64_t Int(const std::string& name, int64_t min, int64_t max);
  // Absent: `value`, noted as the class default.
  int64_t IntOr(const std::string& name, int64_t min, int64_t max, int64_t value);
  // Absent: `value`, noted as `why`.
  int64_t IntElse(const std::string& name, int64_t min, int64_t max, int64_t value, const std::string& why);
  bool BoolOr(const std::string& name, bool value);
  // Absent: `value`, without a note: for fields that have no effect on memory.
  bool Bool(const std::string& name, bool value);
  double Number(const std::string& name, double min, double max, double value);
  // Empty when absent.
  std::vector<std::string> Strings(const std::string& name);
  std::vector<double> Numbers(const std::string& name, double min, double max);
  // One number a colour channel, in [min, 1000]; `triple` stays when absent.
  void Triple(const std::string& name, double min, std::array<double, 3>& triple);
  // A number, or a list of at most count_max.
  std::vector<int64_t> Ints(const std::string& name, int64_t min, int64_t max, size_t count_max);
  std::string String(const std::string& name, const std::string& absent);
  // A number, or a list of equal ones; absent: `value`, noted as the class default.
  int64_t SideOr(const std::string& name, int64_t min, int64_t max, int64_t value);

  // Notes "PREFIX NAME: TEXT".
  void Note(const std::string& name, const std::string& text);
  void Fail(const std::string& name, const std::string& message);
  // Takes over the error of another reader, when it has one.
  void Adopt(const absl::Status& status);
  const absl::Status& status() const { return status_; }

 private:
  // The value, or `fallback` after an error.
  template <typename T>
  T Take(absl::StatusOr<T> value, T fallback);

  JsonFields fields_;
  std::string prefix_;
  std::vector<std::string>* assumed_;
  absl::Status status_;
};

}  // namespace headroom::model::reading
