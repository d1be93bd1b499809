// The names that a part of a template sees.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/text/jinja/value.h"

namespace headroom::model::jinja {

class Scope {
 public:
  explicit Scope(Scope* parent) : parent_(parent) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  // Here or around; null when nowhere.
  const Value* Find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent_) {
      for (const auto& [key, value] : scope->values_) {
        if (key == name) return &value;
      }
    }
    return nullptr;
  }

  void Set(const std::string& name, Value value) {
    for (auto& [key, old] : values_) {
      if (key == name) {
        old = std::move(value);
        return;
      }
    }
    values_.emplace_back(name, std::move(value));
  }

  // Marks this scope and those around it as seen by a macro, which may outlive them.
  void Capture() {
    for (Scope* scope = this; scope != nullptr && !scope->captured_; scope = scope->parent_) scope->captured_ = true;
  }
  bool captured() const { return captured_; }

 private:
  Scope* const parent_;
  std::vector<std::pair<std::string, Value>> values_;
  bool captured_ = false;
};

}  // namespace headroom::model::jinja
