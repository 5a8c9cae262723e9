#!/usr/bin/env bash
# Builds the fuzz targets as OSS-Fuzz asks for them: compiler and flags come from CC, CXX, CFLAGS and CXXFLAGS, the engine from
# LIB_FUZZING_ENGINE, and targets and seeds go to OUT. By hand: tools/fuzz.
set -euo pipefail
: "${OUT:?}" "${LIB_FUZZING_ENGINE:?}"
source_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${WORK:-$source_folder/build}/oss-fuzz
# With assertions, as in tools/fuzz: so that a handle of the C face that has been destroyed is found out.
flags=-O1 kernels=
if [ "${SANITIZER:-address}" = address ]; then kernels=address; fi
cmake -S "$source_folder" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO=$flags -DSOFTSTEP_FUZZ=ON \
  -DSOFTSTEP_BUILD_TOOLS=OFF -DSOFTSTEP_BUILD_TESTS=OFF -DSOFTSTEP_INSTALL=OFF -DSOFTSTEP_SANITIZE_KERNELS=$kernels
ninja -C "$build" softstep_fuzz
for target in "$build"/tests/fuzz/fuzz_*; do
  [ -x "$target" ] && [ -f "$target" ] || continue
  name=$(basename "$target")
  cp "$target" "$OUT/"
  (cd "$source_folder/tests/fuzz/seeds/${name#fuzz_}" && zip -q -r "$OUT/${name}_seed_corpus.zip" .)
done
