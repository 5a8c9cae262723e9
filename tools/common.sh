# Shared by tools/demo and tools/check: sourced, not run. Leaves the shell in the top folder of the checkout.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The distribution's cmake, ninja and python3 (the one with matplotlib) before others that may be first on PATH.
export PATH=/usr/bin:/bin:$PATH

tool=$(basename "$0")
say() { printf '%s: %s\n' "$tool" "$*"; }
die() { printf '%s: error: %s\n' "$tool" "$*" >&2; exit 1; }

# quietly LOG COMMAND...: the output goes to the log, and is shown only if the command fails.
quietly() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  if "$@" >"$log" 2>&1 </dev/null; then return 0; fi
  tail -n 60 "$log" >&2
  printf '%s: error: this failed: %s\n%s: the whole output is in %s\n' "$tool" "$*" "$tool" "$log" >&2
  return 1
}

cores=$(nproc 2>/dev/null || echo 2)

# The instruction sets that must have been tested here, so that a missing one is red and not skipped.
expected_isas() {
  case $(uname -m) in
    x86_64)
      if grep -qw avx512f /proc/cpuinfo && grep -qw avx512dq /proc/cpuinfo && grep -qw avx512bw /proc/cpuinfo &&
        grep -qw avx512vl /proc/cpuinfo; then echo "scalar;sse2;avx2;avx512"; else echo "scalar;sse2;avx2"; fi ;;
    aarch64) echo "scalar;neon64" ;;
    *) echo scalar ;;
  esac
}

# build PRESET [configure options...] [-- build options...]: configures where that is new, then builds what changed.
build() {
  local preset=$1 options=() log=build/logs/$1
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
  [ $# -eq 0 ] || shift
  if command -v ccache >/dev/null; then options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  # A build folder stays what it was configured for; ninja itself configures again when a CMake file changes.
  local wanted="${options[*]:-}"
  if [ ! -f "build/$preset/build.ninja" ] || [ "$(cat "build/$preset/.configured" 2>/dev/null)" != "$wanted" ]; then
    quietly "$log.configure.log" cmake --preset "$preset" "${options[@]}" || return 1
    printf '%s' "$wanted" >"build/$preset/.configured"
  fi
  quietly "$log.build.log" cmake --build "build/$preset" -j "$cores" "$@"
}

# packaging_venv FOLDER: a virtual environment with packaging/requirements.txt as it is pinned; made anew when that file changes.
packaging_venv() {
  if cmp -s packaging/requirements.txt "$1/requirements.txt"; then return 0; fi
  say "installing packaging/requirements.txt into ${1#"$PWD"/}"
  quietly build/logs/packaging.venv.log python3 -m venv --clear "$1" || return 1
  quietly build/logs/packaging.pip.log "$1/bin/pip" install --disable-pip-version-check -r packaging/requirements.txt || return 1
  cp packaging/requirements.txt "$1/requirements.txt"
}
