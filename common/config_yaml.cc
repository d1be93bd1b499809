#include "common/config_yaml.h"

#include <yaml-cpp/eventhandler.h>

#include <fstream>
#include <set>
#include <sstream>

namespace headroom {
namespace {

constexpr int64_t kFileBytesMax = int64_t{1} << 20;

// Where a document begins, and nothing else of it.
struct DocumentStart : YAML::EventHandler {
  void OnDocumentStart(const YAML::Mark& start) override { mark = start; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

  YAML::Mark mark;
};

absl::Status ApplyWords(const YAML::Node& list, const std::string& where, const std::string& name,
                        const ConfigFields::Field& field) {
  std::string words;
  for (const auto& entry : list) {
    if (!entry.IsScalar() || entry.Scalar().find_first_of(", ") != std::string::npos) {
      return absl::InvalidArgumentError(where + ": '" + name + "' wants a list of words without commas and spaces");
    }
    absl::StrAppend(&words, words.empty() ? "" : ",", entry.Scalar());
  }
  return field.parse({words, where, false});
}

}  // namespace

std::string YamlPosition(const std::string& file, const YAML::Mark& mark) {
  return absl::StrCat(file, ":", mark.line + 1);
}

// yaml-cpp reads the first document and says nothing of what follows it. Its LoadAll would, but goes on for ever where
// a stray bracket follows.
absl::StatusOr<YAML::Node> OneYamlDocument(const std::string& yaml, const std::string& file) {
  std::istringstream text(yaml);
  YAML::Parser parser(text);
  DocumentStart start;
  if (parser.HandleNextDocument(start) && parser.HandleNextDocument(start)) {
    return absl::InvalidArgumentError(YamlPosition(file, start.mark) + ": a second document; one is read");
  }
  return YAML::Load(yaml);
}

absl::Status ApplyMapping(const YAML::Node& node, const std::string& file, const std::string& mapping,
                          const ConfigFields& fields) {
  if (!node.IsMap()) {
    return absl::InvalidArgumentError(
        absl::StrCat(YamlPosition(file, node.Mark()), ": section '", mapping, "' must be a mapping of key: value"));
  }
  std::set<std::string> seen;
  for (const auto& entry : node) {
    const std::string where = YamlPosition(file, entry.first.Mark());
    if (!entry.first.IsScalar()) return absl::InvalidArgumentError(where + ": a key must be a plain name");
    const std::string key = entry.first.Scalar();
    const std::string full_name = mapping + "." + key;
    const ConfigFields::Field* field = fields.Find(key);
    if (field == nullptr) return absl::InvalidArgumentError(where + ": unknown key '" + full_name + "'");
    if (!seen.insert(key).second) return absl::InvalidArgumentError(where + ": key '" + full_name + "' stands twice");
    if (field->nested != nullptr) {
      HEADROOM_RETURN_IF_ERROR(ApplyMapping(entry.second, file, full_name, *field->nested));
      continue;
    }
    if (field->type == "list" && entry.second.IsSequence()) {
      HEADROOM_RETURN_IF_ERROR(ApplyWords(entry.second, where, full_name, *field));
      continue;
    }
    if (!entry.second.IsScalar()) {
      return absl::InvalidArgumentError(where + ": '" + full_name + "' wants a " + field->type +
                                        ", not a list or mapping");
    }
    // yaml-cpp tags quoted scalars "!".
    HEADROOM_RETURN_IF_ERROR(field->parse({entry.second.Scalar(), where, entry.second.Tag() == "!"}));
  }
  return absl::OkStatus();
}

absl::Status ApplyList(const YAML::Node& node, const std::string& file, const std::string& list, size_t entries_max,
                       const std::function<ConfigFields()>& next) {
  const std::string where = YamlPosition(file, node.Mark());
  if (!node.IsSequence() || node.size() == 0 || node.size() > entries_max) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": '", list, "' must be a list of 1 to ", entries_max, " mappings"));
  }
  size_t index = 0;
  for (const auto& entry : node) {
    HEADROOM_RETURN_IF_ERROR(ApplyMapping(entry, file, absl::StrCat(list, "[", index++, "]"), next()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadYamlFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(path + ": cannot be opened");
  std::string yaml(kFileBytesMax + 1, '\0');
  file.read(yaml.data(), static_cast<std::streamsize>(yaml.size()));
  if (file.bad() || (file.gcount() == 0 && !file.eof())) return absl::InvalidArgumentError(path + ": cannot be read");
  if (file.gcount() > kFileBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": larger than ", kFileBytesMax, " bytes"));
  }
  yaml.resize(static_cast<size_t>(file.gcount()));
  return yaml;
}

}  // namespace headroom
