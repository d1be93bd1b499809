# Precompiled headers: what most files include is parsed once a build instead of once a file. No source may lean on it: tools/lint compiles without
# it, and `tools/test --all` builds everything so (-DHEADROOM_PRECOMPILED=OFF).
option(HEADROOM_PRECOMPILED "Parse common headers once a build" ON)

set(HEADROOM_COMMON_HEADERS
    <algorithm> <array> <atomic> <chrono> <cmath> <condition_variable> <cstdint> <cstring> <deque> <filesystem> <fstream> <functional>
    <limits> <map> <memory> <mutex> <optional> <set> <span> <sstream> <stop_token> <string> <string_view> <thread> <tuple> <unordered_map>
    <utility> <variant> <vector>
    <absl/status/status.h> <absl/status/statusor.h> <absl/strings/str_cat.h> <absl/strings/str_format.h> <absl/strings/str_join.h>)

# ccache takes part in precompiled headers only with this flag of GCC's.
function(headroom_precompiled_options target)
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
endfunction()

# headroom_precompiled(KIND [TEST] HEADERS <x>… [DEPS dep…]) makes the target whose precompiled headers those of one kind share. GCC takes them only
# where options and macros are the same: hence one for each set.
function(headroom_precompiled kind)
  cmake_parse_arguments(ARG "TEST" "" "HEADERS;DEPS" ${ARGN})
  set(target headroom_precompiled_${kind})
  set(source ${PROJECT_BINARY_DIR}/precompiled/${kind}.cc)
  file(CONFIGURE OUTPUT ${source} CONTENT "")
  add_library(${target} OBJECT ${source})
  if(ARG_TEST)
    headroom_compile_options(${target} TEST)
  else()
    headroom_compile_options(${target})
  endif()
  headroom_precompiled_options(${target})
  target_link_libraries(${target} PRIVATE ${ARG_DEPS})
  target_precompile_headers(${target} PRIVATE ${ARG_HEADERS})
endfunction()

# headroom_use_precompiled(TARGET KIND)
function(headroom_use_precompiled target kind)
  if(HEADROOM_PRECOMPILED)
    target_precompile_headers(${target} REUSE_FROM headroom_precompiled_${kind})
    headroom_precompiled_options(${target})
  endif()
endfunction()
