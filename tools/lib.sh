# Shared by the scripts of tools/: where the project is, timed steps, packages.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
JOBS=$(nproc)
# Clones of the project share compiled objects whatever folder they lie in.
export CCACHE_BASEDIR=$ROOT CCACHE_NOHASHDIR=1
# What ccache asks for before it takes part in precompiled headers.
export CCACHE_SLOPPINESS=pch_defines,time_macros

# What a machine needs to build and run Headroom, what the tests need beside it, and what the slow ones alone need. Debian bookworm's names.
BUILD_PACKAGES=(g++ cmake ninja-build ccache mold pkg-config ca-certificates
  libgrpc++-dev protobuf-compiler-grpc libprotobuf-dev protobuf-compiler libabsl-dev libyaml-cpp-dev prometheus-cpp-dev libdnnl-dev libboost1.81-dev
  nlohmann-json3-dev libicu-dev libpcre2-dev libpng-dev libjpeg62-turbo-dev libwebp-dev libgif-dev libseccomp-dev libssl-dev
  python3 python3-venv)
TEST_PACKAGES=(libgtest-dev libgmock-dev git curl openssl clang-format clang-tidy prometheus)
# Debian's clang-tidy knows no CUDA 13; where there is a toolkit, tools/lint looks at kernels with this one.
! command -v nvcc >/dev/null && [ ! -x /usr/local/cuda/bin/nvcc ] || TEST_PACKAGES+=(clang-tidy-19)
SLOW_TEST_PACKAGES=(buildah mmdebstrap)

# step NAME COMMAND…: says what begins and how long it took.
step() {
  local name=$1 begin=$SECONDS status=0
  shift
  printf '\n== %s\n' "$name"
  "$@" || status=$?
  printf '== %s: %s after %d s\n' "$name" "$([ $status -eq 0 ] && echo done || echo "FAILED ($status)")" $((SECONDS - begin))
  return $status
}

# install PACKAGE…: with apt, only what is missing; needs no root when nothing is.
install() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed$' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && { echo "all ${#} packages are installed"; return; }
  echo "installing: ${missing[*]}"
  local sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  # The package lists may be old or absent: refresh them, then install.
  "${sudo[@]}" apt-get -qq update
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "${missing[@]}" >/dev/null
}

# configure PRESET [-D…]: CMake, only when it has not run yet with these arguments (a changed CMakeLists.txt is Ninja's to notice).
configure() {
  mkdir -p "$ROOT/build"
  local stamp="$ROOT/build/$1/.configured"
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$*" ] && [ -f "$ROOT/build/$1/build.ninja" ] && { echo "configured"; return; }
  (cd "$ROOT" && cmake --preset "$@" >"$ROOT/build/configure.log" 2>&1) || { cat "$ROOT/build/configure.log"; return 1; }
  echo "$*" >"$stamp"
}
