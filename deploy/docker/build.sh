#!/bin/sh
# Every step of the images, in one place, for the Dockerfiles to call.
#
#   build.sh build-packages      installs what compiles Headroom                          (build stage, as root)
#   build.sh cuda-toolkit        installs what compiles kernels, unless the base has it   (build stage, as root)
#   build.sh build OUT KIND      compiles for cpu or cuda, strips and lays out below OUT  (build stage)
#   build.sh runtime-packages    installs the libraries that it loads                     (runtime stage, as root)
#   build.sh user                adds the account that it runs as                         (runtime stage, as root)
#
# Debian bookworm. Packages come from wherever the root's apt is told to get them, CUDA's from wherever pip is told.
set -eu

source=$(cd "$(dirname "$0")/../.." && pwd)
user_id=65532
cuda=/usr/local/cuda
programs="headroom gateway scheduler vision-worker llm-worker headroom-image-decoder"

build_packages="g++ cmake ninja-build ccache mold pkg-config binutils
  libgrpc++-dev protobuf-compiler-grpc libprotobuf-dev protobuf-compiler libabsl-dev libyaml-cpp-dev prometheus-cpp-dev libdnnl-dev
  nlohmann-json3-dev libicu-dev libpcre2-dev libpng-dev libjpeg62-turbo-dev libwebp-dev libgif-dev libboost1.81-dev libseccomp-dev libssl-dev
  python3 python3-venv"

# NVIDIA's wheels of one toolkit: nvcc and what it calls, headers, and the two libraries that the backend is linked with.
cuda_wheels="nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
  nvidia-cublas==13.1.0.3"
cuda_libraries="libcudart.so.13 libcublasLt.so.13"

runtime_packages="libstdc++6 libgomp1 libgrpc++1.51 libprotobuf32 libabsl20220623 libyaml-cpp0.7 libprometheus-cpp-core1.0
  libdnnl2 libicu72 libpcre2-8-0 libpng16-16 libjpeg62-turbo libwebp7 libwebpdemux2 libgif7 libseccomp2 libssl3"

install() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install "$@" >/dev/null
  apt-get clean
  rm -rf /var/lib/apt/lists/*
}

# Whether the loader finds CUDA's libraries in the base by itself.
base_has_cuda() {
  for library in $cuda_libraries; do ldconfig -p | grep -q "$library" || return 1; done
}

cuda_toolkit() {
  [ -x "$cuda/bin/nvcc" ] && { echo "nvcc is the base's"; return; }
  install python3-pip
  # shellcheck disable=SC2086
  python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps --target /opt/wheels $cuda_wheels
  mv /opt/wheels/nvidia/cu13 "$cuda"
  rm -rf /opt/wheels
}

build() {
  out=$1 kind=$2
  folder=$source/build/image
  case $kind in
    cpu) options="-DHEADROOM_CUDA=OFF" libraries="" ;;
    cuda) options="-DHEADROOM_CUDA=ON" libraries="libheadroom_cuda.so" ;;
    *) echo "build.sh: cpu or cuda, not '$kind'" >&2; exit 2 ;;
  esac
  # Who mounts a cache there builds faster: one for every place that the sources may lie in (the locale is part of what it looks at); the last is what
  # ccache asks for before it takes part in precompiled headers.
  export CCACHE_DIR=/var/cache/ccache LANG=C.UTF-8 CCACHE_BASEDIR="$source" CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros
  targets=""
  for program in $programs; do targets="$targets headroom_bin_$(echo "$program" | tr - _)"; done
  [ -z "$libraries" ] || targets="$targets headroom_cuda"
  # From wherever pip is told; an image without it serves all but structured output.
  "$source/tools/fetch-xgrammar" || echo "xgrammar was not fetched: structured output is left out" >&2
  # shellcheck disable=SC2086
  cmake -S "$source" --preset ship -B "$folder" $options >/dev/null
  # shellcheck disable=SC2086
  cmake --build "$folder" -j "${JOBS:-$(nproc)}" --target $targets -- --quiet
  mkdir -p "$out/usr/local/bin" "$out/usr/local/share/doc/headroom"
  for program in $programs; do
    strip --strip-all -o "$out/usr/local/bin/$program" "$folder/bin/$program"
    chmod 755 "$out/usr/local/bin/$program"
  done
  for library in $libraries; do
    mkdir -p "$out/usr/local/lib"
    strip --strip-unneeded -o "$out/usr/local/lib/$library" "$folder/lib/$library"
  done
  if [ "$kind" = cuda ] && ! base_has_cuda; then
    for library in $cuda_libraries; do cp -L "$cuda/lib/$library" "$out/usr/local/lib/"; done
  fi
  cp "$source/LICENSE" "$out/usr/local/share/doc/headroom/"
}

case "${1:-}" in
  # shellcheck disable=SC2086
  build-packages) install $build_packages ;;
  cuda-toolkit) cuda_toolkit ;;
  build) build "${2:?build.sh build OUT KIND}" "${3:?build.sh build OUT KIND}" ;;
  # shellcheck disable=SC2086
  runtime-packages) install $runtime_packages ;;
  user)
    groupadd --gid $user_id headroom
    useradd -K UID_MAX=65535 --uid $user_id --gid $user_id --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin headroom
    ;;
  *) sed -n '2,11p' "$0" | cut -c3-; exit 2 ;;
esac
