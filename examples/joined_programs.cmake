# Makes one executable, merit_train, of all programs merit_…, which reads their headers once: each in a namespace of its own, and
# called by the name of its file, a hard link. `programs` becomes what is left, and that one; `links` are the commands for the names.
set(parts ${programs})
list(FILTER parts INCLUDE REGEX "/merit_[a-z]+\\.cpp$")
list(FILTER programs EXCLUDE REGEX "/merit_[a-z]+\\.cpp$")
set(includes "#include <filesystem>")
set(bodies "")
set(choices "")
set(links "")
foreach(source IN LISTS parts)
  cmake_path(GET source STEM name)
  file(STRINGS "${source}" lines REGEX "^#include ")
  list(APPEND includes ${lines})
  string(APPEND bodies "namespace ${name} {\n#include \"${source}\"\n}\n")
  string(APPEND choices "  if (name == \"${name}\") return ${name}::main(argc, argv);\n")
  if(NOT name STREQUAL "merit_train")
    list(APPEND links COMMAND "${CMAKE_COMMAND}" -E create_hardlink merit_train ${name})
  endif()
endforeach()
list(REMOVE_DUPLICATES includes)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${parts})
list(JOIN includes "\n" includes)
# Not by argv[0]: merit_evaluate starts merit_train under its own name.
file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/generated/merit_train.cpp" CONTENT "${includes}
${bodies}
int main(int argc, char** argv) {
  const auto name = std::filesystem::read_symlink(\"/proc/self/exe\").filename();
${choices}  return 127;
}
" @ONLY)
list(APPEND programs "${PROJECT_BINARY_DIR}/generated/merit_train.cpp")
