#!/usr/bin/env bash
# Installs merit and builds a small project for each way of using it. Usage: run.sh [cmake [compiler [build]]]
# `build`: a folder in which merit is built with merit::compiled, to be installed from; else it is built here.
set -u
here=$(cd "$(dirname "$0")" && pwd)
source_tree=$(cd "$here/../.." && pwd)
cmake=${1:-cmake}
export CXX=${2:-${CXX:-c++}}
built=${3:-}
command -v ninja >/dev/null && export CMAKE_GENERATOR=Ninja
unset CXXFLAGS CPLUS_INCLUDE_PATH CMAKE_PREFIX_PATH
export OMP_WAIT_POLICY=passive # other tests run beside this one
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

# check NAME COMMAND...: runs the command quietly and counts it; its output is shown when it fails.
check() {
  local name=$1
  shift
  if "$@" >"$work/log" 2>&1; then
    passed=$((passed + 1))
    echo "ok: $name"
  else
    failed=$((failed + 1))
    echo "FAILED: $name"
    tail -n 30 "$work/log"
  fi
}

# says TEXT COMMAND...: succeeds when the command prints TEXT.
says() {
  local text=$1
  shift
  local output
  output=$("$@") && printf '%s\n' "$output" && grep -qF "$text" <<<"$output"
}

# install_to FOLDER OPTIONS...: builds what is to be built, by make, which quickstart.sh uses; installs elsewhere and then
# moves the tree to FOLDER.
install_to() {
  local folder=$1
  shift
  "$cmake" -G "Unix Makefiles" -S "$source_tree" -B "$folder-build" -DMERIT_BUILD_TESTS=OFF -DMERIT_BUILD_EXAMPLES=OFF \
    -DMERIT_BUILD_BENCH=OFF -DCMAKE_INSTALL_PREFIX="$folder-before" "$@" &&
    "$cmake" --build "$folder-build" --parallel && "$cmake" --install "$folder-build" && mv "$folder-before" "$folder"
}

# consume NAME PROJECT OPTIONS...: configures and builds a consumer project in $work/NAME.
consume() {
  local name=$1 project=$2
  shift 2
  "$cmake" -S "$here/$project" -B "$work/$name" "$@" && "$cmake" --build "$work/$name"
}

version=$(sed -n 's/^#define MERIT_VERSION "\(.*\)"/\1/p' "$source_tree/include/merit/core/version.hpp")
plain="merit $version on Eigen"
folders="merit $version beside Eigen"

if [ -n "$built" ]; then
  check "install" bash -c '"$1" --install "$2" --prefix "$3" && mv "$3" "$4"' - "$cmake" "$built" "$work/before" "$work/prefix"
else
  check "install" install_to "$work/prefix"
fi
check "the installed tree names no path of the build" bash -c '! grep -rnIF -e "$1" -e "$2" "$3"' - "$source_tree/include" "$work" "$work/prefix"
check "find_package builds" consume find_package find_package -DCMAKE_PREFIX_PATH="$work/prefix" -DWITH_MODEL_AND_IO=ON
check "a model by find_package runs" says "a score: " "$work/find_package/consumer_model"
check "find_package with io runs" says "{\"merit\":\"$version\"}" "$work/find_package/consumer_io"
check "find_package without nlohmann_json gives merit::merit and names what io lacks" bash -c '
  "$1" -S "$2" -B "$3" -DCMAKE_PREFIX_PATH="$4" -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON 2>&1 | tee "$3.log"
  grep -q "nlohmann_json" "$3.log" && ! grep -q "brought more" "$3.log"' - "$cmake" "$here/find_package" "$work/without_json" "$work/prefix"
check "add_subdirectory builds" consume add_subdirectory add_subdirectory -DMERIT_SOURCE="$source_tree"
check "add_subdirectory runs" says "$folders" "$work/add_subdirectory/consumer"
check "FetchContent builds" consume fetch_content fetch_content -DFETCHCONTENT_SOURCE_DIR_MERIT="$source_tree"
check "FetchContent runs" says "$folders" "$work/fetch_content/consumer"

check "the component compiled builds" consume compiled compiled -DCMAKE_PREFIX_PATH="$work/prefix" -DMERIT_SOURCE="$source_tree"
check "a program without flags trains with it" says "held-out accuracy 1.000" "$work/compiled/hello"
check "units with the library and without it share a program" says "the products agree" "$work/compiled/both"
check "an unknown instruction set is refused in one sentence" says 'MERIT_INSTRUCTION_SET "sse", expected one of: baseline, ' \
  env MERIT_INSTRUCTION_SET=sse "$work/compiled/both"

# Where it was built with the example programs: to build it here takes minutes.
if [ -n "$built" ]; then
  check "the component compiled_run builds" consume compiled_run compiled_run -DCMAKE_PREFIX_PATH="$work/prefix"
  check "a program of declarations alone opens a folder" says "ranked 2 answers" "$work/compiled_run/consumer" "$work/model"
fi

kernels=$(python3 "$here/check_kernels.py" nm "$work/prefix/lib/libmerit_compiled.a")
case $? in
  0) check "each unit of kernels has one global symbol" true ;;
  77) echo "$kernels" ;;
  *) check "each unit of kernels has one global symbol" bash -c 'echo "$1"; false' - "$kernels" ;;
esac

if command -v pkg-config >/dev/null; then
  export PKG_CONFIG_PATH=$work/prefix/share/pkgconfig
  check "pkg-config with the library builds" bash -c '
    $CXX -std=c++20 $(pkg-config --cflags merit-compiled) "$1" -o "$2" $(pkg-config --libs merit-compiled)' - "$here/main.cpp" "$work/by_pkg_config_compiled"
  check "pkg-config with the library runs" says "$plain" "$work/by_pkg_config_compiled"
  if [ -n "$built" ]; then
    check "pkg-config with merit::compiled_run gives its macros" says "MERIT_COMPILED_RUN" pkg-config --cflags merit-compiled-run
    # What find_package compiled with those macros, which takes ten seconds.
    check "pkg-config with merit::compiled_run links" bash -c '
      $CXX "$1" -o "$2" $(pkg-config --libs merit-compiled-run)' - "$work/compiled_run/CMakeFiles/consumer.dir/main.cpp.o" "$work/by_pkg_config_run"
    check "pkg-config with merit::compiled_run runs" says "ranked 2 answers" "$work/by_pkg_config_run" "$work/model"
  fi
  check "pkg-config builds" bash -c '
    $CXX -std=c++20 $(pkg-config --cflags merit) "$1" -o "$2" $(pkg-config --libs merit)' - "$here/folders_main.cpp" "$work/by_pkg_config"
  check "pkg-config runs" says "$folders" "$work/by_pkg_config"
  check "pkg-config knows the version" says "$version" pkg-config --modversion merit
else
  echo "SKIPPED: package: pkg-config was not found"
fi

# The option MERIT_USE_BLAS reaches the consumer through find_package and pkg-config alike.
if install_to "$work/blas" -DMERIT_USE_BLAS=ON -DMERIT_BUILD_COMPILED=OFF >"$work/blas.log" 2>&1; then
  check "find_package with BLAS builds" consume find_package_blas find_package -DCMAKE_PREFIX_PATH="$work/blas"
  check "find_package with BLAS runs" says "merit $version on BLAS" "$work/find_package_blas/consumer"
  if command -v pkg-config >/dev/null; then
    export PKG_CONFIG_PATH=$work/blas/share/pkgconfig
    check "pkg-config with BLAS gives its macro" says "EIGEN_USE_BLAS" pkg-config --cflags merit
    # What find_package compiled with that macro, which takes ten seconds.
    check "pkg-config with BLAS links" bash -c '
      $CXX "$1" -o "$2" $(pkg-config --libs merit)' - "$(find "$work/find_package_blas" -name main.cpp.o)" "$work/by_pkg_config_blas"
    check "pkg-config with BLAS runs" says "merit $version on BLAS" "$work/by_pkg_config_blas"
  fi
elif grep -q "Could NOT find BLAS" "$work/blas.log"; then
  echo "SKIPPED: package: no BLAS was found"
else
  check "install with BLAS" cat "$work/blas.log" /dev/null/none
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
