// Checked access to the fields of a JSON object: every getter says which file and field is wrong, what its value is and
// what the limit is. A field whose value is null counts as absent, as in the files of Hugging Face.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace headroom::model {

class JsonFields {
 public:
  // The text must be one JSON object: valid UTF-8, at most depth_max levels deep, no key twice in an object.
  static absl::StatusOr<JsonFields> Parse(const std::string& file, const std::string& text, int depth_max = 32);

  bool Has(const std::string& name) const { return Find(name) != nullptr; }
  // The field is there and null, for the few whose null says something.
  bool IsNull(const std::string& name) const;

  absl::StatusOr<int64_t> Int(const std::string& name, int64_t min, int64_t max) const;
  absl::StatusOr<int64_t> IntOr(const std::string& name, int64_t min, int64_t max, int64_t absent) const;
  absl::StatusOr<double> NumberOr(const std::string& name, double min, double max, double absent) const;
  absl::StatusOr<bool> BoolOr(const std::string& name, bool absent) const;
  absl::StatusOr<std::string> StringOr(const std::string& name, const std::string& absent) const;
  // Empty when absent.
  absl::StatusOr<std::vector<std::string>> Strings(const std::string& name) const;
  // A number, or a list of at most count_max.
  absl::StatusOr<std::vector<int64_t>> IntOrInts(const std::string& name, int64_t min, int64_t max,
                                                 size_t count_max) const;
  absl::StatusOr<std::vector<double>> Numbers(const std::string& name, double min, double max) const;
  // Absent when the field is.
  absl::StatusOr<std::optional<JsonFields>> Object(const std::string& name) const;

  // The value as text, cut to a length that fits a message.
  std::string Print(const std::string& name) const;
  // INVALID_ARGUMENT "FILE: FIELD: MESSAGE".
  absl::Status Error(const std::string& name, const std::string& message) const;

 private:
  JsonFields(std::string where, std::shared_ptr<const nlohmann::json> root, const nlohmann::json* object);

  // Null when absent or null.
  const nlohmann::json* Find(const std::string& name) const;
  absl::StatusOr<int64_t> CheckInt(const std::string& name, const nlohmann::json& value, int64_t min,
                                   int64_t max) const;
  absl::StatusOr<double> CheckNumber(const std::string& name, const nlohmann::json& value, double min,
                                     double max) const;

  std::string where_;
  std::shared_ptr<const nlohmann::json> root_;
  const nlohmann::json* object_;
};

}  // namespace headroom::model
