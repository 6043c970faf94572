#!/bin/sh
# Rebuilds every guest's .wasm beside its source. The results are checked in, so only someone who
# changes a guest needs this: `pip install ziglang==0.17.1`, then
# `PYTHON=…/bin/python examples/edge-server/guests/build.sh [NAME…]`.
set -eu
cd "$(dirname "$0")"
: "${PYTHON:=python3}"
[ $# -gt 0 ] || set -- $(ls ./*.c | sed 's|^\./||; s|\.c$||')
for name in "$@"; do
    "$PYTHON" -m ziglang cc -target wasm32-wasi -O2 -Wall -Wextra -Werror -Wno-infinite-recursion \
        -Wl,-s -Wl,-z,stack-size=32768 -o "$name.wasm" "$name.c"
done
