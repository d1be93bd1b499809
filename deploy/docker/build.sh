#!/bin/sh
# Every step of the images, in one place, for the Dockerfiles to call.
#
#   build.sh build-packages      installs what compiles Headroom          (build stage, as root)
#   build.sh build OUT           compiles, strips and lays out below OUT  (build stage)
#   build.sh runtime-packages    installs the libraries that it loads     (runtime stage, as root)
#   build.sh user                adds the account that it runs as         (runtime stage, as root)
#
# Debian bookworm. Packages come from wherever the root's apt is told to get them.
set -eu

source=$(cd "$(dirname "$0")/../.." && pwd)
user_id=65532
programs="headroom gateway scheduler vision-worker llm-worker headroom-image-decoder"

build_packages="g++ cmake ninja-build ccache mold pkg-config binutils
  libgrpc++-dev protobuf-compiler-grpc libprotobuf-dev protobuf-compiler libabsl-dev libyaml-cpp-dev prometheus-cpp-dev libdnnl-dev
  nlohmann-json3-dev libicu-dev libpcre2-dev libpng-dev libjpeg62-turbo-dev libwebp-dev libgif-dev libboost1.81-dev libseccomp-dev libssl-dev"

runtime_packages="libstdc++6 libgomp1 libgrpc++1.51 libprotobuf32 libabsl20220623 libyaml-cpp0.7 libprometheus-cpp-core1.0
  libdnnl2 libicu72 libpcre2-8-0 libpng16-16 libjpeg62-turbo libwebp7 libwebpdemux2 libgif7 libseccomp2 libssl3"

install() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install "$@" >/dev/null
  apt-get clean
  rm -rf /var/lib/apt/lists/*
}

build() {
  out=$1
  folder=$source/build/image
  # One cache for every place that the sources may lie in.
  export CCACHE_BASEDIR="$source" CCACHE_NOHASHDIR=1
  targets=""
  for program in $programs; do targets="$targets headroom_bin_$(echo "$program" | tr - _)"; done
  cmake -S "$source" --preset release -B "$folder" -DHEADROOM_TESTS=OFF -DHEADROOM_BENCH=OFF >/dev/null
  # shellcheck disable=SC2086
  cmake --build "$folder" -j "${JOBS:-$(nproc)}" --target $targets -- --quiet
  mkdir -p "$out/usr/local/bin" "$out/usr/local/share/doc/headroom"
  for program in $programs; do
    strip --strip-all -o "$out/usr/local/bin/$program" "$folder/bin/$program"
    chmod 755 "$out/usr/local/bin/$program"
  done
  cp "$source/LICENSE" "$out/usr/local/share/doc/headroom/"
}

case "${1:-}" in
  # shellcheck disable=SC2086
  build-packages) install $build_packages ;;
  build) build "${2:?build.sh build OUT}" ;;
  # shellcheck disable=SC2086
  runtime-packages) install $runtime_packages ;;
  user)
    groupadd --gid $user_id headroom
    useradd -K UID_MAX=65535 --uid $user_id --gid $user_id --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin headroom
    ;;
  *) sed -n '2,9p' "$0" | cut -c3-; exit 2 ;;
esac
