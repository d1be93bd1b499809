#include <nlohmann/json.hpp>
#include <utility>

#include "common/utf8.h"
#include "model/text/jinja/json.h"

namespace headroom::model::jinja {
namespace {

// Builds values from the events of the parser.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(Workspace& workspace, Origin origin) : workspace_(workspace), origin_(origin) {}

  absl::StatusOr<Value> Take() {
    if (!status_.ok()) return status_;
    return result_;
  }

  bool null() override { return Put(Value(None{})); }
  bool boolean(bool value) override { return Put(Value(value)); }
  bool number_integer(int64_t value) override { return Put(Value(value)); }
  bool number_unsigned(uint64_t value) override {
    if (value > INT64_MAX) return Fail("JSON has an integer beyond 64 bits");
    return Put(Value(static_cast<int64_t>(value)));
  }
  bool number_float(double value, const std::string& spelling) override {
    if (spelling.find_first_of(".eE") == std::string::npos) return Fail("JSON has an integer beyond 64 bits");
    return Put(Value(value));
  }
  bool string(std::string& value) override { return Text(value, &Builder::Put); }
  bool binary(nlohmann::json::binary_t&) override { return Fail("JSON has binary data"); }

  bool start_object(size_t) override {
    absl::StatusOr<DictRef> dict = workspace_.MakeDict();
    if (!dict.ok()) return Fail(dict.status());
    return Open({*std::move(dict), {}, {}});
  }
  bool key(std::string& value) override {
    return Text(value, [](Builder* builder, const Value& key) {
      builder->open_.back().key = key;
      return true;
    });
  }
  bool end_object() override {
    const Value dict(std::move(open_.back().dict));
    open_.pop_back();
    return Put(dict);
  }
  bool start_array(size_t) override { return Open({}); }
  bool end_array() override {
    absl::StatusOr<Value> list = workspace_.MakeList(std::move(open_.back().items));
    open_.pop_back();
    return list.ok() ? Put(*list) : Fail(list.status());
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return Fail(absl::StrCat("not valid JSON, at byte ", position));
  }

 private:
  struct Container {
    DictRef dict;  // null for a list
    Value key;
    std::vector<Value> items;
  };

  bool Fail(const std::string& message) { return Fail(absl::InvalidArgumentError(message)); }
  bool Fail(absl::Status status) {
    if (status_.ok()) status_ = std::move(status);
    return false;
  }

  template <typename Next>
  bool Text(const std::string& text, Next next) {
    absl::StatusOr<Value> value = workspace_.MakeText(text, origin_);
    return value.ok() ? std::invoke(next, this, *value) : Fail(value.status());
  }

  bool Open(Container container) {
    if (open_.size() >= Workspace::kDepthMax) {
      return Fail(absl::StrCat("JSON is nested more than ", Workspace::kDepthMax, " deep"));
    }
    open_.push_back(std::move(container));
    return true;
  }

  bool Put(const Value& value) {
    if (open_.empty()) {
      result_ = value;
      return true;
    }
    Container& container = open_.back();
    if (container.dict == nullptr) {
      container.items.push_back(value);
      return true;
    }
    absl::Status status = workspace_.Set(*container.dict, container.key, value);
    return status.ok() || Fail(std::move(status));
  }

  Workspace& workspace_;
  const Origin origin_;
  absl::Status status_;
  Value result_;
  std::vector<Container> open_;
};

}  // namespace

absl::StatusOr<Value> ReadJson(Workspace& workspace, const std::string& json, Origin origin) {
  HEADROOM_RETURN_IF_ERROR(workspace.allowance().WorkOnText(json.size()));
  Builder builder(workspace, origin);
  nlohmann::json::sax_parse(json, &builder);
  return builder.Take();
}

}  // namespace headroom::model::jinja
