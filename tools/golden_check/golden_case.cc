#include "tools/golden_check/golden_case.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "model/files.h"
#include "model/safetensors_header.h"

namespace headroom::tools {
namespace {

using nlohmann::json;

constexpr int64_t kJsonBytesMax = 64 << 20;
constexpr const char* kBf16Suffix = "_rel_error";

absl::Status Wrong(const std::string& file, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(file, ": ", what));
}

absl::StatusOr<json> ReadJson(const std::string& directory, const std::string& file) {
  HEADROOM_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                            model::ReadFileIfPresent(directory, file, kJsonBytesMax));
  if (!text.has_value()) return Wrong(file, "not found");
  json value = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return Wrong(file, "not valid JSON");
  return value;
}

// Reads one field after the other and remembers the first that is not of its type. Absent or null leaves the default.
class Fields {
 public:
  Fields(std::string file, const json& object) : file_(std::move(file)), object_(object) {}

  template <typename T>
  void Read(const char* name, T& value) {
    const auto field = object_.find(name);
    if (field == object_.end() || field->is_null()) return;
    try {
      value = field->template get<T>();
    } catch (const json::exception&) {
      if (status_.ok()) status_ = Wrong(file_, absl::StrCat(name, " is not of the type that the README gives"));
    }
  }
  const json* Find(const char* name) const {
    const auto field = object_.find(name);
    return field == object_.end() || field->is_null() ? nullptr : &*field;
  }
  const absl::Status& status() const { return status_; }

 private:
  std::string file_;
  const json& object_;
  absl::Status status_;
};

absl::StatusOr<GoldenMessage> ReadMessage(const std::string& file, const json& value) {
  const absl::Status wrong = Wrong(file, "a message is not {role, content: [{text} or {image}, …]}");
  if (!value.is_object() || !value.contains("role") || !value["role"].is_string() || !value.contains("content")) {
    return wrong;
  }
  GoldenMessage message{.role = value["role"].get<std::string>(), .parts = {}};
  const json& content = value["content"];
  if (content.is_string()) {
    message.parts.push_back({.value = content.get<std::string>()});
    return message;
  }
  if (!content.is_array()) return wrong;
  for (const json& part : content) {
    const bool is_image = part.is_object() && part.contains("image");
    const char* key = is_image ? "image" : "text";
    if (!part.is_object() || !part.contains(key) || !part[key].is_string()) return wrong;
    message.parts.push_back({.is_image = is_image, .value = part[key].get<std::string>()});
  }
  return message;
}

// Patches of pieces, which of them have rows in "vision", and pixels: families with one piece a picture count
// (1, rows, columns) a picture, patches through all pictures, and pixels picture by picture.
void ReadGrids(Fields& fields, GoldenCase& c) {
  if (fields.Find("grid_thw") == nullptr) {
    fields.Read("tgt_sizes", c.tgt_sizes);
    fields.Read("vision_rows", c.vision_rows);
    fields.Read("pixels_sha256", c.pixels_sha256);
    return;
  }
  std::vector<std::array<int64_t, 3>> grids;
  std::vector<int64_t> rows;
  fields.Read("grid_thw", grids);
  fields.Read("vision_rows", rows);
  fields.Read("pixels_sha256", c.picture_sha256);
  for (const auto& grid : grids) c.tgt_sizes.push_back({grid[1], grid[2]});
  for (int64_t row : rows) {
    int64_t piece = 0;
    for (const auto& grid : c.tgt_sizes) {
      if (row < grid[0] * grid[1]) break;
      row -= grid[0] * grid[1];
      ++piece;
    }
    c.vision_rows.push_back({piece, row});
  }
}

absl::StatusOr<GoldenCase> ReadCase(const std::string& file, const json& value) {
  if (!value.is_object()) return Wrong(file, "not a case: the file holds no object");
  GoldenCase c;
  Fields fields(file, value);
  std::string text;
  int max_slice_nums = 0;
  fields.Read("max_slice_nums", max_slice_nums);
  fields.Read("prompt_ids", c.prompt_ids);
  fields.Read("image_bounds", c.image_bounds);
  ReadGrids(fields, c);
  fields.Read("piece_sha256", c.piece_sha256);
  fields.Read("logits_prompt_positions", c.logits_prompt_positions);
  fields.Read("greedy_ids", c.greedy_ids);
  fields.Read("step_gaps", c.step_gaps);
  fields.Read("text", text);
  if (fields.Find("max_slice_nums") != nullptr) c.max_slice_nums = max_slice_nums;
  if (fields.Find("text") != nullptr) c.text = text;
  HEADROOM_RETURN_IF_ERROR(fields.status());
  if (const json* messages = fields.Find("messages")) {
    if (!messages->is_array()) return Wrong(file, "messages is not a list");
    for (const json& message : *messages) {
      HEADROOM_ASSIGN_OR_RETURN(GoldenMessage read, ReadMessage(file, message));
      c.messages.push_back(std::move(read));
    }
  }
  if (const json* bf16 = fields.Find("bf16"); bf16 != nullptr && bf16->is_object()) {
    for (const auto& [name, error] : bf16->items()) {
      const size_t end = name.rfind(kBf16Suffix);
      if (end != std::string::npos && error.is_number()) c.bf16_errors[name.substr(0, end)] = error.get<double>();
    }
  }
  return c;
}

absl::Status ReadTensors(const std::string& directory, const std::string& file,
                         std::map<std::string, ExpectedTensor>& tensors) {
  HEADROOM_ASSIGN_OR_RETURN(const model::InputFile input, model::InputFile::Open(directory, file));
  const model::CheckpointLimits limits;
  uint64_t header_bytes = 0;
  if (input.bytes() < 8) return Wrong(file, "too short for a safetensors file");
  HEADROOM_RETURN_IF_ERROR(input.ReadAt(0, std::as_writable_bytes(std::span(&header_bytes, 1))));
  if (header_bytes > static_cast<uint64_t>(std::min(limits.header_bytes_max, input.bytes() - 8))) {
    return Wrong(file, absl::StrCat("header of ", header_bytes, " bytes"));
  }
  std::string header(header_bytes, '\0');
  HEADROOM_RETURN_IF_ERROR(input.ReadAt(8, std::as_writable_bytes(std::span(header))));
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<model::HeaderEntry> entries,
                            model::ParseSafetensorsHeader(file, header, limits));
  const int64_t data = 8 + static_cast<int64_t>(header_bytes);
  for (const model::HeaderEntry& entry : entries) {
    if (entry.type != model::StoredType::kF32) return Wrong(file, absl::StrCat("tensor ", entry.name, " is not fp32"));
    int64_t elements = 1;
    for (const int64_t dimension : entry.shape) {
      if (dimension < 0 || __builtin_mul_overflow(elements, dimension, &elements)) {
        return Wrong(file, absl::StrCat("tensor ", entry.name, " has too large a shape"));
      }
    }
    if (entry.begin < 0 || entry.end > input.bytes() - data || (entry.end - entry.begin) / 4 != elements) {
      return Wrong(file, absl::StrCat("tensor ", entry.name, " does not fit its bytes"));
    }
    ExpectedTensor& tensor = tensors[entry.name];
    tensor.shape = entry.shape;
    tensor.values.resize(static_cast<size_t>(elements));
    HEADROOM_RETURN_IF_ERROR(input.ReadAt(data + entry.begin, std::as_writable_bytes(std::span(tensor.values))));
  }
  return absl::OkStatus();
}

// Everything that later code indexes with.
absl::Status CheckCase(const std::string& file, const GoldenCase& c) {
  const int64_t pieces = static_cast<int64_t>(c.image_bounds.size());
  const int64_t tokens = static_cast<int64_t>(c.prompt_ids.size());
  if (tokens == 0 || c.greedy_ids.empty()) return Wrong(file, "prompt_ids or greedy_ids is missing or empty");
  if (c.messages.empty() == !c.text.has_value()) return Wrong(file, "a case has either messages or text");
  if (c.tgt_sizes.size() != c.image_bounds.size()) {
    return Wrong(file, absl::StrCat(c.tgt_sizes.size(), " tgt_sizes for ", pieces, " image_bounds"));
  }
  for (const auto& [begin, end] : c.image_bounds) {
    if (begin < 0 || end < begin || end > tokens) {
      return Wrong(file, absl::StrCat("image_bounds [", begin, ", ", end, ") in ", tokens, " tokens"));
    }
  }
  for (const auto& [rows, cols] : c.tgt_sizes) {
    if (rows < 1 || cols < 1 || rows > (1 << 20) || cols > (1 << 20)) {
      return Wrong(file, absl::StrCat("tgt_sizes ", rows, " × ", cols));
    }
  }
  for (const auto& [piece, patch] : c.vision_rows) {
    if (piece < 0 || piece >= pieces || patch < 0 || patch >= c.tgt_sizes[piece][0] * c.tgt_sizes[piece][1]) {
      return Wrong(file, absl::StrCat("vision_rows [", piece, ", ", patch, "] of ", pieces, " pieces"));
    }
  }
  for (const int64_t position : c.logits_prompt_positions) {
    if (position < 0 || position >= tokens) {
      return Wrong(file, absl::StrCat("logits_prompt_positions ", position, " of ", tokens));
    }
  }
  const std::map<std::string, size_t> rows = {{"vision", c.vision_rows.size()},
                                              {"resampler", c.image_bounds.size()},
                                              {"logits_prompt", c.logits_prompt_positions.size()},
                                              {"logits_steps", c.greedy_ids.size()},
                                              {"prompt_logprobs", c.prompt_ids.size() - 1}};
  for (const auto& [name, tensor] : c.tensors) {
    const auto wanted = rows.find(name);
    if (wanted != rows.end() && tensor.rows() != static_cast<int64_t>(wanted->second)) {
      return Wrong(file,
                   absl::StrCat("tensor ", name, " has ", tensor.rows(), " rows, the JSON says ", wanted->second));
    }
  }
  return absl::OkStatus();
}

}  // namespace

const ExpectedTensor* GoldenCase::Tensor(const std::string& tensor_name) const {
  const auto tensor = tensors.find(tensor_name);
  return tensor == tensors.end() ? nullptr : &tensor->second;
}

int64_t GoldenCase::images() const {
  int64_t count = 0;
  for (const GoldenMessage& message : messages) {
    for (const MessagePart& part : message.parts) count += part.is_image ? 1 : 0;
  }
  return count;
}

absl::StatusOr<std::vector<std::string>> ListCases(const std::string& directory) {
  HEADROOM_RETURN_IF_ERROR(model::CheckDirectory(directory));
  const std::filesystem::path expected = std::filesystem::path(directory) / "expected";
  std::error_code error;
  std::filesystem::directory_iterator files(expected, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory, " has no readable folder expected/: it is not a golden directory (see --help)"));
  }
  std::vector<std::string> names;
  for (const auto& file : files) {
    if (file.path().extension() != ".json") continue;
    HEADROOM_ASSIGN_OR_RETURN(const json value, ReadJson(expected.string(), file.path().filename().string()));
    if (value.is_object() && value.contains("prompt_ids")) names.push_back(file.path().stem().string());
  }
  if (names.empty()) return absl::InvalidArgumentError(absl::StrCat("no case in ", expected.string()));
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<GoldenCase> LoadCase(const std::string& directory, const std::string& name) {
  const std::string expected = (std::filesystem::path(directory) / "expected").string();
  const std::string file = name + ".json";
  HEADROOM_ASSIGN_OR_RETURN(const json value, ReadJson(expected, file));
  HEADROOM_ASSIGN_OR_RETURN(GoldenCase c, ReadCase(file, value));
  c.name = name;
  HEADROOM_RETURN_IF_ERROR(ReadTensors(expected, name + ".safetensors", c.tensors));
  HEADROOM_RETURN_IF_ERROR(CheckCase(file, c));
  return c;
}

absl::StatusOr<std::vector<TokenizerString>> LoadTokenizerStrings(const std::string& directory) {
  const std::string expected = (std::filesystem::path(directory) / "expected").string();
  const std::string file = "tokenizer.json";
  HEADROOM_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                            model::ReadFileIfPresent(expected, file, kJsonBytesMax));
  std::vector<TokenizerString> strings;
  if (!text.has_value()) return strings;
  HEADROOM_ASSIGN_OR_RETURN(const json value, ReadJson(expected, file));
  if (!value.is_array()) return strings;
  for (const json& item : value) {
    if (!item.is_object()) return Wrong(file, "an entry is no object");
    TokenizerString& string = strings.emplace_back();
    Fields fields(file, item);
    fields.Read("text", string.text);
    fields.Read("ids", string.ids);
    fields.Read("decoded", string.decoded);
    HEADROOM_RETURN_IF_ERROR(fields.status());
  }
  return strings;
}

}  // namespace headroom::tools
