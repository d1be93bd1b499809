// The model families of this program: which architectures there are, and what reads each.
//
// A family is one file of model/families. It defines one constant, named after the file, and nothing else that others
// see. In glm4v_moe.cc:
//
//   absl::StatusOr<ModelSpec> Read(const FamilyInput& input) {…}                       (in a nameless namespace)
//   extern const Family kGlm4vMoe{{"Glm4vMoeForConditionalGeneration"}, Read};         (outside of it)
//
// cmake/HeadroomFamilies.cmake lists the files of the folder; no other file names a family.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/reading/field_reader.h"
#include "model/spec.h"

namespace headroom::model::reading {

// What a family reads. `preprocessor` has no fields when the model has no preprocessor_config.json.
struct FamilyInput {
  std::string architecture;
  JsonFields config;
  JsonFields preprocessor;
};

// INVALID_ARGUMENT names file, field, value and limit. `architecture` is one of the family's. Called from any thread.
using FamilyFunction = absl::StatusOr<ModelSpec> (*)(const FamilyInput& input);

// Made by the compiler: nothing of a family runs before main().
class Family {
 public:
  static constexpr size_t kArchitecturesMax = 8;

  // `architectures` as config.json names them, 1 to kArchitecturesMax, each of no other family.
  consteval Family(std::initializer_list<std::string_view> architectures, FamilyFunction function)
      : count_(architectures.size()), read_(function) {
    if (count_ == 0 || count_ > kArchitecturesMax) throw "a family has 1 to kArchitecturesMax architectures";
    size_t next = 0;
    for (const std::string_view name : architectures) architectures_[next++] = name;
  }

  std::span<const std::string_view> architectures() const { return std::span(architectures_).first(count_); }
  FamilyFunction read() const { return read_; }

 private:
  std::array<std::string_view, kArchitecturesMax> architectures_{};
  size_t count_;
  FamilyFunction read_;
};

// All families, in the order of their files. What headroom_family_list() writes defines it; a program with a list of
// its own has the families of that list.
std::span<const Family* const> Families();

// Null when there is none of this name.
FamilyFunction FamilyOf(std::string_view architecture);
// Sorted.
std::vector<std::string> KnownArchitectures();

}  // namespace headroom::model::reading
