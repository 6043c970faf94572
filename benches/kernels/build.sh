#!/bin/sh
# Rebuilds every kernel's .wasm beside its source. The results are checked in, so only
# someone who changes a kernel needs this: `pip install ziglang==0.17.0` and, for those in Rust,
# `rustup target add wasm32-unknown-unknown`, then `PYTHON=…/bin/python benches/kernels/build.sh [NAME…]`.
set -eu
cd "$(dirname "$0")"
: "${PYTHON:=python3}" "${RUSTC:=rustc}"
[ $# -gt 0 ] || set -- $(ls ./*.c ./*.rs | sed 's|^\./||; s|\.[a-z]*$||')
for name in "$@"; do
    case $name in simd*) features=-msimd128 ;; *) features= ;; esac
    if [ -e "$name.rs" ]; then
        "$RUSTC" --target wasm32-unknown-unknown --crate-type=cdylib --edition=2024 -Copt-level=3 \
            -Cpanic=abort -Clto=fat -Ccodegen-units=1 -Cstrip=debuginfo -o "$name.wasm" "$name.rs"
        continue
    fi
    "$PYTHON" -m ziglang cc -target wasm32-freestanding -O3 -g0 $features \
        -nostdlib -Wall -Wextra -Werror -Wl,--no-entry -Wl,-z,stack-size=65536 \
        -o "$name.wasm" "$name.c"
done
