#include "model/reading/field_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace headroom::model::reading {
namespace {

JsonFields NoFields(const std::string& where) {
  absl::StatusOr<JsonFields> empty = JsonFields::Parse(where, "{}");
  HEADROOM_CHECK(empty.ok()) << "an empty object";
  return *std::move(empty);
}

}  // namespace

FieldReader::FieldReader(JsonFields fields, std::string prefix, std::vector<std::string>& assumed)
    : fields_(std::move(fields)), prefix_(std::move(prefix)), assumed_(&assumed) {}

FieldReader FieldReader::Object(FieldReader& parent, const std::string& name) {
  const std::string prefix = parent.prefix_ + name + ".";
  absl::StatusOr<std::optional<JsonFields>> object = parent.fields_.Object(name);
  if (object.ok() && *object) return FieldReader(**std::move(object), prefix, *parent.assumed_);
  FieldReader reader(NoFields("config.json: " + parent.prefix_ + name), prefix, *parent.assumed_);
  reader.status_ = object.status();
  return reader;
}

template <typename T>
T FieldReader::Take(absl::StatusOr<T> value, T fallback) {
  if (value.ok()) return *std::move(value);
  if (status_.ok()) status_ = value.status();
  return fallback;
}

int64_t FieldReader::Int(const std::string& name, int64_t min, int64_t max) {
  return Take(fields_.Int(name, min, max), min);
}

int64_t FieldReader::IntOr(const std::string& name, int64_t min, int64_t max, int64_t value) {
  return IntElse(name, min, max, value, "class default");
}

int64_t FieldReader::IntElse(const std::string& name, int64_t min, int64_t max, int64_t value, const std::string& why) {
  if (Has(name)) return Int(name, min, max);
  assumed_->push_back(absl::StrCat(prefix_, name, " = ", value, " (", why, ")"));
  return value;
}

bool FieldReader::BoolOr(const std::string& name, bool value) {
  if (!Has(name)) assumed_->push_back(absl::StrCat(prefix_, name, " = ", value ? "true" : "false", " (class default)"));
  return Take(fields_.BoolOr(name, value), value);
}

bool FieldReader::Bool(const std::string& name, bool value) { return Take(fields_.BoolOr(name, value), value); }

double FieldReader::Number(const std::string& name, double min, double max, double value) {
  return Take(fields_.NumberOr(name, min, max, value), value);
}

std::vector<std::string> FieldReader::Strings(const std::string& name) {
  return Take(fields_.Strings(name), std::vector<std::string>());
}

std::vector<double> FieldReader::Numbers(const std::string& name, double min, double max) {
  return Take(fields_.Numbers(name, min, max), std::vector<double>());
}

void FieldReader::Triple(const std::string& name, double min, std::array<double, 3>& triple) {
  if (!Has(name)) return;
  const std::vector<double> numbers = Numbers(name, min, 1000);
  if (numbers.size() != triple.size()) return Fail(name, absl::StrCat("must have 3 entries, has ", numbers.size()));
  std::copy(numbers.begin(), numbers.end(), triple.begin());
}

std::vector<int64_t> FieldReader::Ints(const std::string& name, int64_t min, int64_t max, size_t count_max) {
  return Take(fields_.IntOrInts(name, min, max, count_max), std::vector<int64_t>());
}

std::string FieldReader::String(const std::string& name, const std::string& absent) {
  return Take(fields_.StringOr(name, absent), absent);
}

int64_t FieldReader::SideOr(const std::string& name, int64_t min, int64_t max, int64_t value) {
  if (!Has(name)) return IntOr(name, min, max, value);
  const std::vector<int64_t> sides = Take(fields_.IntOrInts(name, min, max, 2), std::vector<int64_t>{min});
  if (sides.empty() || sides.front() != sides.back()) {
    Fail(name, absl::StrCat("must be one number or two equal ones, is ", fields_.Print(name)));
    return min;
  }
  return sides.front();
}

void FieldReader::Note(const std::string& name, const std::string& text) {
  assumed_->push_back(absl::StrCat(prefix_, name, ": ", text));
}

void FieldReader::Fail(const std::string& name, const std::string& message) {
  if (status_.ok()) status_ = fields_.Error(name, message);
}

void FieldReader::Adopt(const absl::Status& status) {
  if (status_.ok()) status_ = status;
}

}  // namespace headroom::model::reading
