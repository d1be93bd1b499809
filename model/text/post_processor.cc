#include "model/text/post_processor.h"

#include <string>

#include "common/status.h"
#include "model/text/json_member.h"

namespace headroom::model {
namespace {

constexpr int kSequenceDepthMax = 8;
constexpr size_t kIdsMax = 64;

absl::Status Invalid(const std::string& what) { return absl::InvalidArgumentError("tokenizer: " + what); }

class PostProcessorReader {
 public:
  explicit PostProcessorReader(int32_t id_max) : id_max_(id_max) {}

  absl::Status Read(const nlohmann::json& json, int depth) {
    if (depth > kSequenceDepthMax) return Invalid("post_processor has too many steps");
    HEADROOM_ASSIGN_OR_RETURN(const std::string type, StringMember(json, "type"));
    if (type == "ByteLevel") return absl::OkStatus();
    if (type == "TemplateProcessing") return ReadTemplate(json);
    if (type == "BertProcessing" || type == "RobertaProcessing") {
      HEADROOM_RETURN_IF_ERROR(ReadPair(json, "cls", &before_));
      HEADROOM_RETURN_IF_ERROR(ReadPair(json, "sep", &behind_));
      return Surround();
    }
    const nlohmann::json& parts = Member(json, "processors");
    if (type != "Sequence" || !parts.is_array()) {
      return Invalid(absl::StrCat("post_processor ", type, " is not supported"));
    }
    for (const nlohmann::json& part : parts) HEADROOM_RETURN_IF_ERROR(Read(part, depth + 1));
    return absl::OkStatus();
  }

  const Surroundings& result() const { return result_; }

 private:
  absl::Status Append(const nlohmann::json& id, std::vector<int32_t>* ids) const {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > static_cast<uint64_t>(id_max_)) {
      return Invalid(absl::StrCat("an id of the post_processor is not a whole number from 0 to ", id_max_));
    }
    if (ids->size() >= kIdsMax) return Invalid("post_processor has too many ids");
    ids->push_back(id.get<int32_t>());
    return absl::OkStatus();
  }

  // ["</s>", 2]
  absl::Status ReadPair(const nlohmann::json& json, const char* name, std::vector<int32_t>* ids) const {
    const nlohmann::json& pair = Member(json, name);
    if (!pair.is_array() || pair.size() != 2) {
      return Invalid(absl::StrCat("\"", name, "\" of the post_processor is not a token and an id"));
    }
    return Append(pair[1], ids);
  }

  absl::Status ReadTemplate(const nlohmann::json& json) {
    const nlohmann::json& items = Member(json, "single");
    if (!items.is_array()) return Invalid("\"single\" of TemplateProcessing is not a list");
    bool sequence = false;
    for (const nlohmann::json& item : items) {
      if (!Member(item, "Sequence").is_null()) {
        if (sequence) return Invalid("TemplateProcessing with a text twice is not supported");
        sequence = true;
        continue;
      }
      HEADROOM_ASSIGN_OR_RETURN(const std::string token, StringMember(Member(item, "SpecialToken"), "id"));
      const nlohmann::json& ids = Member(Member(Member(json, "special_tokens"), token.c_str()), "ids");
      if (!ids.is_array()) return Invalid("TemplateProcessing has a token without ids");
      for (const nlohmann::json& id : ids) HEADROOM_RETURN_IF_ERROR(Append(id, sequence ? &behind_ : &before_));
    }
    if (!sequence) return Invalid("TemplateProcessing without the text is not supported");
    return Surround();
  }

  // Puts what one step gave around what those before it gave.
  absl::Status Surround() {
    before_.insert(before_.end(), result_.before.begin(), result_.before.end());
    result_.before = std::move(before_);
    result_.behind.insert(result_.behind.end(), behind_.begin(), behind_.end());
    before_.clear();
    behind_.clear();
    return result_.before.size() > kIdsMax || result_.behind.size() > kIdsMax
               ? Invalid("post_processor has too many ids")
               : absl::OkStatus();
  }

  int32_t id_max_;
  std::vector<int32_t> before_, behind_;  // of the step that is read
  Surroundings result_;
};

}  // namespace

absl::StatusOr<Surroundings> ReadPostProcessor(const nlohmann::json& json, int32_t id_max) {
  PostProcessorReader reader(id_max);
  if (!json.is_null()) HEADROOM_RETURN_IF_ERROR(reader.Read(json, 0));
  return reader.result();
}

}  // namespace headroom::model
