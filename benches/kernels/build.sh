#!/bin/sh
# Rebuilds every kernel's .wasm beside its source. The results are checked in, so only
# someone who changes a kernel needs this: `pip install ziglang==0.17.0`, then
# `PYTHON=…/bin/python benches/kernels/build.sh [NAME…]`.
set -eu
cd "$(dirname "$0")"
: "${PYTHON:=python3}"
[ $# -gt 0 ] || set -- $(ls ./*.c | sed 's|^\./||; s|\.c$||')
for name in "$@"; do
    case $name in simd) features=-msimd128 ;; *) features= ;; esac
    "$PYTHON" -m ziglang cc -target wasm32-freestanding -O3 $features \
        -nostdlib -Wall -Wextra -Werror -Wl,--no-entry -Wl,-s -Wl,-z,stack-size=65536 \
        -o "$name.wasm" "$name.c"
done
