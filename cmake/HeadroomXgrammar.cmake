# xgrammar, which finds the tokens that keep a text within a grammar. Sets HEADROOM_XGRAMMAR_BUILT, and then the target xgrammar.
set(HEADROOM_XGRAMMAR AUTO CACHE STRING "Constrained decoding: ON, OFF, or AUTO (when tools/fetch-xgrammar has fetched it)")
set(xgrammar_version 0.2.9)
set(xgrammar_root ${PROJECT_SOURCE_DIR}/build/xgrammar)
set(xgrammar_source ${xgrammar_root}/xgrammar-${xgrammar_version})

set(HEADROOM_XGRAMMAR_BUILT FALSE)
if(NOT HEADROOM_XGRAMMAR)
  set(why_not "HEADROOM_XGRAMMAR is ${HEADROOM_XGRAMMAR}")
elseif(HEADROOM_SANITIZE STREQUAL "thread")
  # Its locks and counters would be invisible: every hand-over inside it would look like a race.
  set(why_not "ThreadSanitizer cannot follow a library without instrumentation")
elseif(NOT EXISTS ${xgrammar_source}/include/xgrammar/xgrammar.h)
  set(why_not "tools/fetch-xgrammar has not run")
else()
  set(HEADROOM_XGRAMMAR_BUILT TRUE)
endif()
if(NOT HEADROOM_XGRAMMAR_BUILT)
  if(HEADROOM_XGRAMMAR AND NOT HEADROOM_XGRAMMAR STREQUAL "AUTO" AND NOT HEADROOM_SANITIZE STREQUAL "thread")
    message(FATAL_ERROR "constrained decoding: ${why_not}")
  endif()
  message(STATUS "Constrained decoding: left out, ${why_not}")
  return()
endif()
message(STATUS "Constrained decoding: xgrammar ${xgrammar_version}")

# One library for all presets, outside of them. Code with and without -fsanitize=address may call each other: libstdc++ annotates no container
# unless asked to.
set(xgrammar_library ${xgrammar_root}/lib/libxgrammar.a)
add_custom_command(OUTPUT ${xgrammar_library}
  COMMAND ${CMAKE_COMMAND} -S ${PROJECT_SOURCE_DIR}/cmake/xgrammar -B ${xgrammar_root}/lib -G Ninja -DSOURCE=${xgrammar_source} -DCMAKE_CXX_COMPILER=g++
    -DCMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER} --log-level=WARNING
  COMMAND ${CMAKE_COMMAND} --build ${xgrammar_root}/lib -- --quiet
  DEPENDS ${PROJECT_SOURCE_DIR}/cmake/xgrammar/CMakeLists.txt ${PROJECT_SOURCE_DIR}/cmake/xgrammar/left_out.cc
  COMMENT "xgrammar ${xgrammar_version}" VERBATIM)
add_custom_target(xgrammar_build DEPENDS ${xgrammar_library})
add_library(xgrammar STATIC IMPORTED GLOBAL)
set_target_properties(xgrammar PROPERTIES IMPORTED_LOCATION ${xgrammar_library})
target_include_directories(xgrammar SYSTEM INTERFACE ${xgrammar_source}/include ${xgrammar_source}/3rdparty/dlpack/include)
add_dependencies(xgrammar xgrammar_build)
