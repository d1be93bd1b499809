// What filters, tests, methods and functions are given, and how they read their arguments.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/status.h"
#include "model/text/jinja/value.h"

namespace headroom::model::jinja {

struct Runtime {
  Workspace& workspace;
  int64_t now_seconds;  // since 1970

  Allowance& allowance() const { return workspace.allowance(); }
};

struct CallArguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// The arguments by these names in order; undefined where one was not given. INVALID_ARGUMENT for more or others.
absl::StatusOr<std::vector<Value>> Bind(const CallArguments& arguments, std::initializer_list<std::string_view> names);

// Of an argument, or what stands for it when it is absent. INVALID_ARGUMENT for another type, naming the argument.
absl::StatusOr<int64_t> IntegerOr(const Value& value, int64_t absent, std::string_view what);
absl::StatusOr<MarkedText> TextOr(const Value& value, std::string_view absent, std::string_view what);

// Null when there is no such filter or test.
using FilterFunction = absl::StatusOr<Value> (*)(Runtime&, const Value& input, const CallArguments& arguments);
using TestFunction = absl::StatusOr<bool> (*)(Runtime&, const Value& input, const CallArguments& arguments);
FilterFunction FindFilter(std::string_view name);
TestFunction FindTest(std::string_view name);
// The parts of FindFilter: filters of text and numbers, and of sequences and maps.
FilterFunction FindTextFilter(std::string_view name);
FilterFunction FindSequenceFilter(std::string_view name);

// Whether a value of this type has a method of this name (`self.name(…)`).
bool HasMethod(const Value& self, std::string_view name);
absl::StatusOr<Value> CallMethod(Runtime& runtime, const Value& self, std::string_view name,
                                 const CallArguments& arguments);
// The parts of CallMethod.
using TextMethod = absl::StatusOr<Value> (*)(Runtime&, const MarkedText& self, const CallArguments& arguments);
TextMethod FindTextMethod(std::string_view name);

// range(…), namespace(…), dict(…), raise_exception(…), strftime_now(…): the functions that every template can call.
using GlobalFunction = absl::StatusOr<Value> (*)(Runtime&, const CallArguments& arguments);
GlobalFunction FindGlobal(std::string_view name);

// value.name and value[key], as Jinja looks them up: methods, attributes, elements. Undefined when there is none;
// INVALID_ARGUMENT when `value` is undefined.
absl::StatusOr<Value> GetAttribute(Runtime& runtime, const Value& value, const std::string& name);
absl::StatusOr<Value> GetItem(Runtime& runtime, const Value& value, const Value& key);
// "a.b.0", as `map(attribute=…)` and others take it.
absl::StatusOr<Value> GetPath(Runtime& runtime, const Value& value, const Value& path);
// value[begin:end:step]; parts that are none are absent.
absl::StatusOr<Value> GetSlice(Runtime& runtime, const Value& value, const Value& begin, const Value& end,
                               const Value& step);

// The status of an operation that was asked of an undefined value.
absl::Status UndefinedError(const Undefined& value);
Value MakeUndefined(std::string what);

// Python's `text % arguments` (arguments a tuple, a map or one value) and text.format(…).
absl::StatusOr<Value> FormatPercent(Runtime& runtime, const MarkedText& format, const Value& arguments);
absl::StatusOr<Value> FormatBraces(Runtime& runtime, const MarkedText& format, const CallArguments& arguments);

}  // namespace headroom::model::jinja
