#include "model/safetensors_header.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "common/status.h"
#include "common/utf8.h"

namespace headroom::model {
namespace {

struct TypeRow {
  StoredType type;
  const char* name;
  int64_t bytes;
};

constexpr std::array<TypeRow, 15> kTypes = {{{StoredType::kF64, "F64", 8},
                                             {StoredType::kF32, "F32", 4},
                                             {StoredType::kF16, "F16", 2},
                                             {StoredType::kBF16, "BF16", 2},
                                             {StoredType::kF8E4M3, "F8_E4M3", 1},
                                             {StoredType::kF8E5M2, "F8_E5M2", 1},
                                             {StoredType::kI64, "I64", 8},
                                             {StoredType::kI32, "I32", 4},
                                             {StoredType::kI16, "I16", 2},
                                             {StoredType::kI8, "I8", 1},
                                             {StoredType::kU64, "U64", 8},
                                             {StoredType::kU32, "U32", 4},
                                             {StoredType::kU16, "U16", 2},
                                             {StoredType::kU8, "U8", 1},
                                             {StoredType::kBool, "BOOL", 1}}};

const TypeRow& RowOf(StoredType type) {
  return *std::find_if(kTypes.begin(), kTypes.end(), [type](const TypeRow& row) { return row.type == type; });
}

// Names go into messages and logs.
bool PrintableName(const std::string& name) {
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : CutText(text, 80)) quoted += PrintableName(std::string(1, c)) ? c : '?';
  return quoted + (text.size() > 80 ? "…\"" : "\"");
}

// What both readers share: the plumbing of nlohmann's event interface, and the first error.
// Called by: nlohmann::json::sax_parse, by the names of its interface.
class EventReader {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  explicit EventReader(std::string file) : file_(std::move(file)) {}
  const absl::Status& status() const { return status_; }

  bool binary(binary_t&) { return Fail("holds binary data"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) {
    return Fail(absl::StrCat("is not valid JSON at byte ", position));
  }

 protected:
  bool Fail(const std::string& message) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(file_, ": ", message));
    return false;
  }

 private:
  std::string file_;
  absl::Status status_;
};

class HeaderReader : public EventReader {
 public:
  HeaderReader(const std::string& file, const CheckpointLimits& limits) : EventReader(file), limits_(limits) {}
  std::vector<HeaderEntry> TakeEntries() { return std::move(entries_); }

  bool null() { return Unexpected("null"); }
  bool boolean(bool) { return Unexpected("a boolean"); }
  bool number_float(number_float_t, const string_t& text) { return Unexpected("the number " + text.substr(0, 40)); }
  bool number_integer(number_integer_t value) { return Unexpected(absl::StrCat("the number ", value)); }

  bool number_unsigned(number_unsigned_t value) {
    if (!in_array_) return Unexpected(absl::StrCat("the number ", value));
    if (value > INT64_MAX)
      return Fail(absl::StrCat("tensor ", Quoted(entry_.name), ": ", field_, ": ", value, " is too large"));
    if (static_cast<int64_t>(numbers_.size()) >= limits_.rank_max) {
      return Fail(
          absl::StrCat("tensor ", Quoted(entry_.name), ": ", field_, ": more than ", limits_.rank_max, " entries"));
    }
    numbers_.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool string(string_t& value) {
    if (depth_ == 2 && in_metadata_) return true;
    if (depth_ != 2 || in_array_ || field_ != "dtype") return Unexpected("a string");
    const auto row = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeRow& r) { return value == r.name; });
    if (row == kTypes.end()) {
      return Fail(absl::StrCat("tensor ", Quoted(entry_.name), ": dtype: unknown type ", Quoted(value)));
    }
    entry_.type = row->type;
    return true;
  }

  bool start_object(std::size_t) {
    if (depth_ == 0) {
      depth_ = 1;
      return true;
    }
    if (depth_ != 1) return Unexpected("an object");
    depth_ = 2;
    fields_.clear();
    return true;
  }

  bool key(string_t& name) {
    if (depth_ == 1) return StartTensor(name);
    if (!fields_.insert(name).second)
      return Fail(absl::StrCat(Quoted(entry_.name), ": ", Quoted(name), " appears twice"));
    if (static_cast<int64_t>(fields_.size()) > limits_.tensors_max) return Fail("__metadata__: too many entries");
    field_ = name;
    if (in_metadata_ || name == "dtype" || name == "shape" || name == "data_offsets") return true;
    return Fail(absl::StrCat("tensor ", Quoted(entry_.name), ": unknown field ", Quoted(name)));
  }

  bool end_object() {
    if (--depth_ == 0 || in_metadata_) {
      in_metadata_ = false;
      return true;
    }
    if (fields_.size() != 3) {
      return Fail(absl::StrCat("tensor ", Quoted(entry_.name), ": needs dtype, shape and data_offsets"));
    }
    entries_.push_back(std::move(entry_));
    return true;
  }

  bool start_array(std::size_t) {
    if (depth_ != 2 || in_metadata_ || in_array_ || field_ == "dtype") return Unexpected("a list");
    in_array_ = true;
    numbers_.clear();
    return true;
  }

  bool end_array() {
    in_array_ = false;
    if (field_ == "shape") {
      entry_.shape = numbers_;
      return true;
    }
    if (numbers_.size() != 2) {
      return Fail(absl::StrCat("tensor ", Quoted(entry_.name), ": data_offsets: has ", numbers_.size(),
                               " entries, must have 2"));
    }
    entry_.begin = numbers_[0];
    entry_.end = numbers_[1];
    return true;
  }

 private:
  bool StartTensor(const std::string& name) {
    entry_ = HeaderEntry();
    entry_.name = name;
    if (static_cast<int64_t>(name.size()) > limits_.name_bytes_max) {
      return Fail(absl::StrCat("a tensor name has ", name.size(), " bytes, the limit is ", limits_.name_bytes_max));
    }
    if (name.empty() || !PrintableName(name))
      return Fail(absl::StrCat("tensor name ", Quoted(name), " is not printable"));
    if (!names_.insert(name).second) return Fail(absl::StrCat("tensor ", Quoted(name), " appears twice"));
    if (static_cast<int64_t>(names_.size()) > limits_.tensors_max) {
      return Fail(absl::StrCat("more than ", limits_.tensors_max, " tensors"));
    }
    in_metadata_ = name == "__metadata__";
    field_.clear();
    return true;
  }

  bool Unexpected(const std::string& what) {
    if (depth_ == 0) return Fail("header is not a JSON object");
    const std::string field = depth_ == 2 ? absl::StrCat(": ", field_) : std::string();
    return Fail(absl::StrCat("tensor ", Quoted(entry_.name), field, ": does not expect ", what));
  }

  const CheckpointLimits& limits_;
  int depth_ = 0;
  bool in_metadata_ = false;
  bool in_array_ = false;
  std::string field_;
  std::set<std::string> fields_;  // seen in the current object
  std::vector<int64_t> numbers_;
  HeaderEntry entry_;
  std::set<std::string> names_;
  std::vector<HeaderEntry> entries_;
};

bool IsPlainShardName(const std::string& name) {
  const std::string suffix = ".safetensors";
  return name.size() > suffix.size() && name.size() <= 255 && name[0] != '.' && name.find('/') == std::string::npos &&
         PrintableName(name) && name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0;
}

class IndexReader : public EventReader {
 public:
  IndexReader(const std::string& file, const CheckpointLimits& limits) : EventReader(file), limits_(limits) {}
  bool has_map() const { return map_seen_; }
  std::map<std::string, std::string> TakeMap() { return std::move(map_); }

  bool null() { return Scalar(); }
  bool boolean(bool) { return Scalar(); }
  bool number_float(number_float_t, const string_t&) { return Scalar(); }
  bool number_integer(number_integer_t) { return Scalar(); }
  bool number_unsigned(number_unsigned_t) { return Scalar(); }

  bool string(string_t& value) {
    if (!InMap()) return Scalar();
    if (!IsPlainShardName(value)) {
      return Fail(
          absl::StrCat("weight_map: ", Quoted(name_), ": ", Quoted(value), " is not a plain .safetensors file name"));
    }
    map_[name_] = value;
    return true;
  }

  bool start_object(std::size_t) { return Open(/*object=*/true); }
  bool start_array(std::size_t) { return Open(/*object=*/false); }
  bool end_object() { return Close(); }
  bool end_array() { return Close(); }

  bool key(string_t& name) {
    if (depth_ == 1) {
      top_ = name;
      if (name == "weight_map" && std::exchange(map_seen_, true)) return Fail("weight_map appears twice");
      return true;
    }
    if (!InMap()) return true;
    if (static_cast<int64_t>(name.size()) > limits_.name_bytes_max) {
      return Fail(absl::StrCat("a tensor name has ", name.size(), " bytes, the limit is ", limits_.name_bytes_max));
    }
    if (map_.contains(name)) return Fail(absl::StrCat("weight_map: ", Quoted(name), " appears twice"));
    if (static_cast<int64_t>(map_.size()) >= limits_.tensors_max) {
      return Fail(absl::StrCat("more than ", limits_.tensors_max, " tensors"));
    }
    name_ = name;
    return true;
  }

 private:
  static constexpr int kDepthMax = 8;

  bool InMap() const { return depth_ == 2 && top_ == "weight_map"; }

  bool Scalar() {
    if (depth_ == 0) return Fail("is not a JSON object");
    if (depth_ <= 2 && top_ == "weight_map") return Fail("weight_map must map tensor names to file names");
    return true;
  }

  bool Open(bool object) {
    if (depth_ == 0 && !object) return Fail("is not a JSON object");
    const bool is_map = depth_ == 1 && object;
    if (depth_ >= 1 && top_ == "weight_map" && !is_map) return Fail("weight_map must map tensor names to file names");
    if (++depth_ > kDepthMax) return Fail(absl::StrCat("nested deeper than ", kDepthMax, " levels"));
    return true;
  }

  bool Close() {
    --depth_;
    return true;
  }

  const CheckpointLimits& limits_;
  int depth_ = 0;
  bool map_seen_ = false;
  std::string top_, name_;
  std::map<std::string, std::string> map_;
};

}  // namespace

int64_t SizeOf(StoredType type) { return RowOf(type).bytes; }
const char* StoredTypeName(StoredType type) { return RowOf(type).name; }

absl::StatusOr<std::vector<HeaderEntry>> ParseSafetensorsHeader(const std::string& file, const std::string& text,
                                                                const CheckpointLimits& limits) {
  if (text.empty() || text[0] != '{')
    return absl::InvalidArgumentError(absl::StrCat(file, ": header does not start with {"));
  HeaderReader reader(file, limits);
  nlohmann::json::sax_parse(text, &reader);
  HEADROOM_RETURN_IF_ERROR(reader.status());
  return reader.TakeEntries();
}

absl::StatusOr<std::map<std::string, std::string>> ParseSafetensorsIndex(const std::string& file,
                                                                         const std::string& text,
                                                                         const CheckpointLimits& limits) {
  IndexReader reader(file, limits);
  nlohmann::json::sax_parse(text, &reader);
  HEADROOM_RETURN_IF_ERROR(reader.status());
  std::map<std::string, std::string> map = reader.TakeMap();
  if (map.empty()) return absl::InvalidArgumentError(absl::StrCat(file, ": weight_map is missing or empty"));
  return map;
}

}  // namespace headroom::model
