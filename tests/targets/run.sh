#!/usr/bin/env bash
# The specification suite, and the loader's own tests, on emulated CPUs: all, or those that are named
# (aarch64, riscv64). Prints the counts of each.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Not those that start themselves again as a program of the machine, step through instructions, or
# ask for what an emulator lacks or is too slow for.
tests=(traps gc exceptions exceptions_legacy calls host_calls reentry linking interrupt deadline suspend asynchronous limits wasi)
# It looks for the name of a generic function, which this build writes differently.
skip=(--skip a_backtrace_of_the_host_through_a_resumed_guest_is_whole
    # Pools count on faults that an emulator does not take as the system does.
    --skip nothing_of_a_heap_is_left_for_the_next_tenant)

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
    # Emulated frames of signals lack the vector registers, which the guest of that test uses.
    riscv64) target=riscv64gc-unknown-linux-gnu features=rva23u64
        skip+=(--skip a_preempted_guest_goes_on_with_every_register_intact) ;;
    *) echo "no such CPU: $cpu" >&2 && exit 2 ;;
    esac
    export PRECAST_TEST_CPU=$features
    cross=(cargo test --quiet --manifest-path tests/targets/Cargo.toml --target-dir target/targets --target "$target")
    "${cross[@]}" --no-run
    printf '%s-linux: ' "$cpu"
    "${cross[@]}" --test spec
    "${cross[@]}" $(printf -- '--test %s ' "${tests[@]}") -- "${skip[@]}"
done
