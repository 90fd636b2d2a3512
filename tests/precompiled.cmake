# All headers precompiled but those of the Eigen backend's kernels, for units compiled with -O0 by clang++, which keeps in a precompiled header what headers
# instantiate. With lld, what those functions compile to is made once as well and linked to every executable: each unit
# then compiles in a third of the time, or less. g++ gains nothing by either.
#
# What computes is compiled once too, and optimised, as -O0 is ten times slower there: the Eigen backend in merit::compiled,
# the reference backend in reference_backend.cpp.
option(MERIT_PRECOMPILE "Precompile all headers for tests compiled with -O0 (clang++; faster still with lld)" OFF)

# Called after the target's own options are set.
function(merit_precompiled target)
  if(NOT MERIT_PRECOMPILE)
    return()
  endif()
  if(NOT TARGET merit_precompiled)
    merit_add_precompiled()
  endif()
  target_precompile_headers(${target} REUSE_FROM merit_precompiled)
  target_link_libraries(${target} PRIVATE merit_compiled $<TARGET_OBJECTS:merit_test_reference>)
  if(TARGET merit_precompiled_code)
    add_dependencies(${target} merit_precompiled_code)
    target_link_libraries(${target} PRIVATE "${CMAKE_CURRENT_BINARY_DIR}/precompiled_code.o")
    # Other linkers take a minute to drop what several objects hold.
    target_link_options(${target} PRIVATE -fuse-ld=lld -Wl,--gc-sections)
  endif()
endfunction()

function(merit_add_precompiled)
  file(GLOB_RECURSE headers RELATIVE "${PROJECT_SOURCE_DIR}/include" CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/merit/*.hpp")
  list(FILTER headers EXCLUDE REGEX "/(http_server|mpi_comm)\\.hpp$") # which need cpp-httplib and MPI, and whose tests are from outside
  list(FILTER headers EXCLUDE REGEX "/backend/eigen/") # what is in merit::compiled; its declarations come with eigen_backend.hpp
  list(TRANSFORM headers REPLACE "(.+)" "#include \"\\1\"\n")
  string(CONCAT text "#pragma once\n#include \"merit/backend/eigen/eigen_backend.hpp\"\n" ${headers})
  foreach(scalar IN ITEMS float double) # as reference_backend.cpp defines them
    string(APPEND text "extern template struct merit::ReferenceBackend<${scalar}>;\n")
  endforeach()
  set(generated "${PROJECT_BINARY_DIR}/generated")
  file(CONFIGURE OUTPUT "${generated}/all_headers.hpp" CONTENT "${text}")
  file(WRITE "${generated}/precompiled.cpp" "")

  add_library(merit_precompiled OBJECT "${generated}/precompiled.cpp")
  target_link_libraries(merit_precompiled PRIVATE merit_dev merit_compiled)
  target_compile_options(merit_precompiled PRIVATE -O0)
  target_precompile_headers(merit_precompiled PRIVATE "${generated}/all_headers.hpp")

  add_library(merit_test_reference OBJECT reference_backend.cpp)
  target_link_libraries(merit_test_reference PRIVATE merit_dev merit_compiled)
  target_compile_options(merit_test_reference PRIVATE -O1)

  find_program(MERIT_LLD ld.lld)
  if(MERIT_LLD AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    target_compile_options(merit_precompiled PRIVATE -fpch-codegen -fpch-debuginfo)
    set(object "${CMAKE_CURRENT_BINARY_DIR}/precompiled_code.o")
    separate_arguments(flags UNIX_COMMAND "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_DEBUG} ${OpenMP_CXX_FLAGS}")
    # Sections of their own: what no test calls is not linked, and need not be complete.
    add_custom_command(
      OUTPUT "${object}"
      COMMAND "${CMAKE_CXX_COMPILER}" ${flags} -std=gnu++20 "$<TARGET_PROPERTY:merit_precompiled,COMPILE_OPTIONS>"
              -Wno-unused-command-line-argument -ffunction-sections -c -o "${object}"
              "${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/merit_precompiled.dir/cmake_pch.hxx.pch"
      DEPENDS merit_precompiled "$<TARGET_OBJECTS:merit_precompiled>"
      COMMENT "Compiling what the precompiled headers hold" COMMAND_EXPAND_LISTS VERBATIM)
    add_custom_target(merit_precompiled_code DEPENDS "${object}")
  else()
    message(STATUS "merit: lld was not found; the tests' -O0 units are compiled without common code, in twice the time")
  endif()
endfunction()
