#!/usr/bin/env bash
# Fuzzes each target for so many seconds of its own CPU: tests/fuzz/run.sh [seconds-per-target] [target…]
#
# Needs a C++ compiler, `cargo install cargo-fuzz` and nightly Rust (another one is told to take what nightly does). Corpora lie in the target folder and grow from run to
# run; what breaks a target is written to its `artifacts/` there: mend it, and keep the input below found/<target>/, where
# plain `cargo test` runs it for ever.
# FUZZ_SANITIZER (address): `none` is faster, and enough where no unsafe code is reached. FUZZ_SKIP_BUILD=1 takes what is built.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
[ $# -eq 0 ] || shift
sanitizer=${FUZZ_SANITIZER:-address}
target_dir=${CARGO_TARGET_DIR:-$PWD/target}
corpora=$target_dir/fuzz-corpus
known=$(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' tests/fuzz/Cargo.toml | grep -v '^bodies$')
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets <<<"$known"
for target in "${targets[@]}"; do
    grep -qx "$target" <<<"$known" || { echo "no target is called \`$target\`; there are:" $known >&2; exit 2; }
done

if [ -z "${FUZZ_SKIP_BUILD:-}" ]; then
    EXPERT_BUILD_FUZZ_CORPUS=$corpora cargo test --quiet --test fuzz -- seeds_for_libfuzzer >/dev/null
    # A folder for each sanitizer: they would build each other's away.
    nightly=(env RUSTC_BOOTSTRAP=1 cargo)
    ! cargo +nightly --version >/dev/null 2>&1 || nightly=(cargo +nightly)
    "${nightly[@]}" fuzz build --fuzz-dir tests/fuzz --sanitizer "$sanitizer" --target-dir "$target_dir/fuzz-$sanitizer"
fi
programs=$target_dir/fuzz-$sanitizer/$(rustc -vV | sed -n 's/^host: //p')/release

failed=()
for target in "${targets[@]}"; do
    artifacts=$target_dir/fuzz-artifacts/$target
    mkdir -p "$artifacts" "$corpora/$target"
    log=$target_dir/fuzz-logs/$target.log
    mkdir -p "${log%/*}"
    case $target in
        expertfile) options=(-max_len=8192) ;;
        torch | package | tar | seek_table | safetensors) options=(-max_len=65536) ;;
        segment) options=(-max_len=4096) ;;
        *) options=(-max_len=16384) ;;
    esac
    # What a file may take: a second for each 10 MB, of which none has more than 64 KiB here, and 64 MiB at once.
    if ! nice -n 19 "$programs/$target" "$corpora/$target" "${options[@]}" -max_total_time="$seconds" -timeout=30 \
        -rss_limit_mb=1024 -malloc_limit_mb=256 -print_final_stats=1 -artifact_prefix="$artifacts/" >"$log" 2>&1; then
        failed+=("$target")
    fi
    # The last line of coverage, and what libFuzzer counted.
    printf '%-12s %s | %s executions\n' "$target" "$(grep -ao 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "$log" | tail -n 1)" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "broken: ${failed[*]}; inputs in $target_dir/fuzz-artifacts, reports in $target_dir/fuzz-logs" >&2
    exit 1
fi
