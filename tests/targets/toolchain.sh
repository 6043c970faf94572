#!/usr/bin/env bash
# What it takes to build for other CPUs and to run what comes out: cross linkers, an emulator, and
# Rust's standard library for these CPUs. Says what it does, and last, on standard output, the lines
# that a shell evaluates to use it.
#
#   eval "$(tests/targets/toolchain.sh)"
#
# The standard library comes from rustup where that has it. Elsewhere a compiler and its libraries
# of the very same version come from Debian, unpacked to a directory of their own: nothing of it
# mixes with what the machine has.
set -euo pipefail

say() { echo "toolchain: $*" >&2; }
cache=${PRECAST_TOOLCHAIN:-${XDG_CACHE_HOME:-$HOME/.cache}/precast-toolchain}
root=$cache/root
sudo=$([ "$(id -u)" = 0 ] || command -v sudo || true)
targets=(aarch64-unknown-linux-gnu riscv64gc-unknown-linux-gnu)

# Cross linkers and C libraries: the distribution's.
packages=()
command -v aarch64-linux-gnu-gcc >/dev/null || packages+=(gcc-aarch64-linux-gnu)
command -v riscv64-linux-gnu-gcc >/dev/null || packages+=(gcc-riscv64-linux-gnu)
[ -e /usr/aarch64-linux-gnu/lib/libc.so.6 ] || packages+=(libc6-dev-arm64-cross)
[ -e /usr/riscv64-linux-gnu/lib/libc.so.6 ] || packages+=(libc6-dev-riscv64-cross)
if [ ${#packages[@]} -gt 0 ]; then
    say "installing ${packages[*]}"
    $sudo apt-get update -qq >&2
    $sudo apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
fi

# An emulator that knows what the tests need: guard pages, and how RISC-V tells its features.
emulator_is_new() {
    local version
    version=$("$1" --version 2>/dev/null | sed -n 's/.* version \([0-9]*\)\..*/\1/p') || return 1
    [ "${version:-0}" -ge 9 ]
}
apt_options=(
    -o Dir::Etc::SourceList="$cache/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists="$cache/lists" -o Dir::Cache="$cache/archives" -o Dir::State::status=/dev/null
    -o APT::Architecture=amd64 -o APT::Architectures::=amd64 -o APT::Architectures::=arm64
    -o APT::Architectures::=riscv64 -o APT::Sandbox::User=root -o Debug::NoLocking=1 -qq
)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The version of a package in the chosen suite.
version_of() {
    apt-cache "${apt_options[@]}" show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Version: //p' | head -1
}

# Chooses a suite that has the same version for all CPUs: a mirror may be between two of them.
choose_suite() {
    local suite amd64
    for suite in trixie-backports sid; do
        rm -rf "$cache/lists"
        mkdir -p "$cache/lists/partial" "$cache/archives/partial"
        echo "deb [arch=amd64,arm64,riscv64 signed-by=$keyring] http://deb.debian.org/debian $suite main" >"$cache/sources.list"
        apt-get "${apt_options[@]}" update >&2 || continue
        amd64=$(version_of libstd-rust-dev:amd64)
        if [ -n "$amd64" ] && [ "$(version_of rustc:amd64)" = "$amd64" ] &&
            [ "$(version_of libstd-rust-dev:arm64)" = "$amd64" ] &&
            [ "$(version_of libstd-rust-dev:riscv64)" = "$amd64" ]; then
            say "Debian $suite has Rust $amd64 for all of them"
            return
        fi
    done
    say "no suite of Debian has one version of Rust for all CPUs"
    exit 1
}

unpack() {
    say "downloading $*"
    (cd "$cache/debs" && apt-get "${apt_options[@]}" download "$@" >&2)
}

from_debian() {
    if [ -e "$cache/complete" ]; then
        say "a compiler from before is in $cache"
        return
    fi
    [ "$(uname -m)" = x86_64 ] || { say "only x86-64 is known to cross-compile from"; exit 1; }
    rm -rf "$cache"
    mkdir -p "$cache/debs" "$root"
    choose_suite
    local needs
    # What the compiler itself is linked with; its linkers are the machine's.
    needs=$(apt-cache "${apt_options[@]}" depends --recurse --no-recommends --no-suggests --no-conflicts \
        --no-breaks --no-replaces --no-enhances libstd-rust-dev:amd64 | grep '^[a-z]' | grep -v ':\|<' | sort -u)
    unpack rustc:amd64 qemu-user:amd64 libstd-rust-dev:arm64 libstd-rust-dev:riscv64 $needs
    for package in "$cache"/debs/*.deb; do dpkg-deb -x "$package" "$root"; done
    rm -rf "$cache/debs" "$cache/lists" "$cache/archives"
    # It runs with the C library that it came with, which may be newer than this machine's.
    cat >"$cache/rustc" <<EOF
#!/bin/sh
libraries=$root/usr/lib/x86_64-linux-gnu
exec "\$libraries/ld-linux-x86-64.so.2" --library-path "\$libraries" $root/usr/bin/rustc --sysroot $root/usr "\$@"
EOF
    chmod +x "$cache/rustc"
    "$cache/rustc" --version >&2
    touch "$cache/complete"
}

if rustup target add "${targets[@]}" >&2 2>&1 && emulator_is_new qemu-aarch64 && emulator_is_new qemu-riscv64; then
    say "rustup has the standard library"
    emulators=$(dirname "$(command -v qemu-aarch64)")
else
    say "taking the compiler from Debian"
    from_debian
    echo "export RUSTC='$cache/rustc'"
    emulators=$root/usr/bin
fi

for target in "${targets[@]}"; do
    arch=${target%%-*}
    arch=${arch%gc}
    name=$(echo "$target" | tr 'a-z-' 'A-Z_')
    echo "export CARGO_TARGET_${name}_LINKER=$arch-linux-gnu-gcc"
    echo "export CARGO_TARGET_${name}_RUNNER='$emulators/qemu-$arch -cpu max -L /usr/$arch-linux-gnu'"
done
