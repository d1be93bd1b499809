// Errors inside Headroom are absl::Status / absl::StatusOr. Two macros save the two lines that every call would need.
//
// Debian's Abseil has its own string_view: pass std::string to absl functions (absl::StrCat is fine).
// Messages that may reach a client name the value and the limit, and never a path, a pointer or a host
// (ARCHITECTURE.md, "Errors"); messages about files that the operator configured may name the file.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

// Returns the status from the current function when it is not OK.
#define HEADROOM_RETURN_IF_ERROR(expression)             \
  do {                                                   \
    absl::Status headroom_status_ = (expression);        \
    if (!headroom_status_.ok()) return headroom_status_; \
  } while (false)

#define HEADROOM_CONCAT_INNER(a, b) a##b
#define HEADROOM_CONCAT(a, b) HEADROOM_CONCAT_INNER(a, b)

// HEADROOM_ASSIGN_OR_RETURN(auto x, F()): x is the value of F(), or the current function returns F()'s status.
#define HEADROOM_ASSIGN_OR_RETURN(declaration, expression) \
  HEADROOM_ASSIGN_OR_RETURN_INNER(HEADROOM_CONCAT(headroom_or_, __LINE__), declaration, expression)
#define HEADROOM_ASSIGN_OR_RETURN_INNER(name, declaration, expression) \
  auto name = (expression);                                            \
  if (!name.ok()) return name.status();                                \
  declaration = std::move(name).value()
