#include "gateway/openai/json.h"

#include <set>
#include <utility>
#include <vector>

#include "common/utf8.h"
#include "gateway/openai/errors.h"

namespace headroom::gateway::openai {
namespace {

// Of a value in its container, with what growing leaves unused, and an allocation of its own.
constexpr int64_t kValueBytes = 192;

absl::Status Invalid(const std::string& message) { return RequestError("invalid_json", "", message); }

// Builds the document as nlohmann's own does, within bounds and without a copy of a string.
// Called by: nlohmann's parser, by name
class Builder {
 public:
  using number_integer_t = Json::number_integer_t;
  using number_unsigned_t = Json::number_unsigned_t;
  using number_float_t = Json::number_float_t;
  using string_t = Json::string_t;
  using binary_t = Json::binary_t;

  explicit Builder(Json* root) : root_(root) {}

  bool null() { return Add(nullptr); }
  bool boolean(bool value) { return Add(value); }
  bool number_integer(number_integer_t value) { return Add(value); }
  bool number_unsigned(number_unsigned_t value) { return Add(value); }
  bool number_float(number_float_t value, const string_t&) { return Add(value); }
  bool string(string_t& value) { return Add(std::move(value)); }
  bool binary(binary_t&) { return Fail("binary values are no JSON"); }

  bool start_object(size_t) { return Open(Json::object()); }
  bool end_object() { return Close(); }
  bool start_array(size_t) { return Open(Json::array()); }
  bool end_array() { return Close(); }

  bool key(string_t& name) {
    Level& level = open_.back();
    if (!Count()) return false;
    if (static_cast<int64_t>(level.names.size()) >= kJsonMembersMax) {
      return Fail(absl::StrCat("an object has more than ", kJsonMembersMax, " members"));
    }
    if (!level.names.insert(name).second) return Fail("an object has the member '" + CutText(name, 64) + "' twice");
    level.name = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error while …"
    std::string words = error.what();
    if (const size_t begin = words.find("] "); begin != std::string::npos) words = words.substr(begin + 2);
    // What it was reading need not be UTF-8.
    words = words.substr(0, words.find("; last read"));
    if (!IsValidUtf8(words)) return Fail(absl::StrCat("the body is no JSON (byte ", position, ")"));
    return Fail(absl::StrCat("the body is no JSON (byte ", position, "): ", CutText(words, 256)));
  }

  const absl::Status& status() const { return status_; }

 private:
  // A container that is being read.
  struct Level {
    Json* json;
    std::set<std::string> names = {};
    std::string name = {};  // of the member whose value comes next
  };

  bool Fail(const std::string& message) {
    if (status_.ok()) status_ = Invalid(message);
    return false;
  }

  bool Count() {
    return ++values_ <= kJsonValuesMax || Fail(absl::StrCat("the body has more than ", kJsonValuesMax, " values"));
  }

  template <typename T>
  Json* Place(T&& value) {
    if (open_.empty()) {
      *root_ = std::forward<T>(value);
      return root_;
    }
    Level& level = open_.back();
    if (level.json->is_array()) {
      level.json->push_back(Json(std::forward<T>(value)));
      return &level.json->back();
    }
    auto& members = level.json->get_ref<Json::object_t&>();
    // Not emplace(), which looks for the name: names have been compared.
    members.push_back({std::move(level.name), Json(std::forward<T>(value))});
    return &members.back().second;
  }

  template <typename T>
  bool Add(T&& value) {
    if (!Count()) return false;
    Place(std::forward<T>(value));
    return true;
  }

  bool Open(Json container) {
    if (!Count()) return false;
    if (open_.size() >= kJsonDepthMax) return Fail(absl::StrCat("the body nests deeper than ", kJsonDepthMax));
    Json* const placed = Place(std::move(container));
    open_.push_back(Level{placed});
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  Json* const root_;
  std::vector<Level> open_;
  int64_t values_ = 0;
  absl::Status status_;
};

}  // namespace

int64_t JsonBytes(std::string_view text) {
  // Every value but the first stands behind one of these; those inside of strings are counted, too.
  int64_t values = 1;
  for (const char c : text) values += c == ',' || c == '[' || c == '{' || c == ':' ? 1 : 0;
  return static_cast<int64_t>(text.size()) + kValueBytes * std::min(values, kJsonValuesMax);
}

absl::StatusOr<Json> ParseJson(std::string_view text) {
  Json root;
  Builder builder(&root);
  Json::sax_parse(text.begin(), text.end(), &builder);
  HEADROOM_RETURN_IF_ERROR(builder.status());
  return root;
}

std::string WriteJson(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

}  // namespace headroom::gateway::openai
