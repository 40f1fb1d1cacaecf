#!/bin/bash
# Fuzzes what reads bytes from outside, under AddressSanitizer and UndefinedBehaviorSanitizer.
#   test/fuzz/run.sh [target...]	targets: text bytes stored pair
#   SECONDS_EACH=60		for how long; new inputs stay in .work/fuzz
#   CLANG=clang-14 PG_CONFIG=...
# Exits 77 when there is no clang with libFuzzer.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/.work/fuzz
clang=${CLANG:-$(command -v clang clang-19 clang-18 clang-17 clang-16 clang-15 clang-14 | head -n 1 || true)}
[ -n "$clang" ] || { echo "fuzz: no clang found, skipped"; exit 77; }
pg_config=${PG_CONFIG:-pg_config}
mkdir -p "$work"
flags=(-g -O1 -fno-omit-frame-pointer -D_GNU_SOURCE "-DPGDLLEXPORT=" -Wno-unknown-attributes -Wno-ignored-attributes
	"-I$root/src" "-I$here" "-I$("$pg_config" --includedir-server)")
echo 'int LLVMFuzzerTestOneInput(const char *d, long n) { return 0; }' >"$work/probe.c"
"$clang" -fsanitize=fuzzer "$work/probe.c" -o "$work/probe" 2>/dev/null || { echo "fuzz: $clang has no libFuzzer, skipped"; exit 77; }
sources=("$root"/src/bitmap/{format,set,ranges,builder,lookup,type}.c "$here/backend.c" "$here/fuzz.c")
[ $# -gt 0 ] || set -- text bytes stored pair
for target in "$@"; do
	"$clang" "${flags[@]}" -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		"-DTARGET=target_$target" -Wno-unused-function "${sources[@]}" -lroaring -L"$("$pg_config" --libdir)" -L"$("$pg_config" --pkglibdir)" \
		-lpgport -o "$work/$target"
	mkdir -p "$work/corpus-$target"
	echo "== $target"
	(cd "$work" && ./"$target" -max_total_time="${SECONDS_EACH:-60}" -rss_limit_mb=2048 -timeout=20 -max_len=20000 \
		-print_final_stats=1 -verbosity=0 "corpus-$target" "$here/corpus/$target")
done
