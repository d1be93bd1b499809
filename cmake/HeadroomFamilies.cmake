# headroom_family_list(LIST FILES FOLDER…): every *.cc of the folders, tests apart, is a model family (model/reading/registry.h says what such a
# file defines). FILES names them, sorted within each folder; LIST names a source with their list: Families(). A file that comes or goes configures
# the build again.
function(headroom_family_list list_variable files_variable)
  set(files)
  set(declarations "")
  set(addresses)
  foreach(folder IN LISTS ARGN)
    file(GLOB found CONFIGURE_DEPENDS ${folder}/*.cc)
    list(FILTER found EXCLUDE REGEX "_test\\.cc$")
    foreach(file IN LISTS found)
      headroom_family_name(${file} name)
      file(READ ${file} text)
      if(NOT text MATCHES "extern const Family ${name}[{(]")
        message(FATAL_ERROR "${file} is no model family: it must define `extern const Family ${name}{{\"ARCHITECTURE\"…}, Read};` "
                            "in namespace headroom::model::reading (model/reading/registry.h)")
      endif()
      string(APPEND declarations "extern const Family ${name};\n")
      list(APPEND addresses &${name})
    endforeach()
    list(APPEND files ${found})
  endforeach()
  if(NOT files)
    message(FATAL_ERROR "no model family in ${ARGN}")
  endif()
  list(JOIN addresses ", " addresses)
  set(list ${CMAKE_CURRENT_BINARY_DIR}/family_list.cc)
  file(CONFIGURE OUTPUT ${list} @ONLY CONTENT "// Written by headroom_family_list().
#include \"model/reading/registry.h\"

namespace headroom::model::reading {

@declarations@
std::span<const Family* const> Families() {
  static constexpr const Family* kList[] = {@addresses@};
  return kList;
}

}  // namespace headroom::model::reading
")
  set(${list_variable} ${list} PARENT_SCOPE)
  set(${files_variable} ${files} PARENT_SCOPE)
endfunction()

# glm4v_moe.cc → kGlm4vMoe
function(headroom_family_name file variable)
  cmake_path(GET file STEM stem)
  string(REPLACE "_" ";" words ${stem})
  set(name k)
  foreach(word IN LISTS words)
    string(SUBSTRING ${word} 0 1 first)
    string(SUBSTRING ${word} 1 -1 rest)
    string(TOUPPER ${first} first)
    string(APPEND name ${first}${rest})
  endforeach()
  set(${variable} ${name} PARENT_SCOPE)
endfunction()
