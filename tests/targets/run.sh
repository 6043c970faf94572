#!/usr/bin/env bash
# The specification suite, and the loader's own tests, on emulated CPUs: all, or those that are named
# (aarch64, riscv64). Prints the counts of each.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The tests that end by themselves under an emulator: not those that start themselves again as a
# program of the machine, or step through instructions.
tests=(traps calls host_calls reentry linking semantics interrupt deadline suspend asynchronous limits pool pool_use wasi)

cpus=("$@")
[ ${#cpus[@]} -gt 0 ] || cpus=(aarch64 riscv64)
eval "$(tests/targets/toolchain.sh)"

# The compiler runs as ever: built by this machine's own.
env -u RUSTC cargo build --quiet --bin compile_server
export PRECAST_COMPILE_SERVER=$PWD/target/debug/compile_server

for cpu in "${cpus[@]}"; do
    case $cpu in
    aarch64) target=aarch64-unknown-linux-gnu features=baseline ;;
    # Vectors are in the suite, so the CPU must have them.
    riscv64) target=riscv64gc-unknown-linux-gnu features=rva23u64 ;;
    *) echo "no such CPU: $cpu" >&2 && exit 2 ;;
    esac
    export PRECAST_TEST_CPU=$features
    cross=(cargo test --quiet --manifest-path tests/targets/Cargo.toml --target-dir target/targets --target "$target")
    "${cross[@]}" --no-run
    printf '%s-linux: ' "$cpu"
    "${cross[@]}" --test spec
    "${cross[@]}" $(printf -- '--test %s ' "${tests[@]}")
done
