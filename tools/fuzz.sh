#!/usr/bin/env bash
# Runs every fuzz target of the module for a while, two at a time.
#
#   tools/fuzz.sh TIME        for example 30s or 10m
#
# The targets are found, not listed: a new Fuzz function is fuzzed by being
# written. Findings land in the package's testdata/fuzz and fail the run.
set -euo pipefail
time=${1:?usage: tools/fuzz.sh TIME}
cd "$(dirname "$0")/.."
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# `go test -list` prints the names of a package and then "ok  <package>  <time>".
targets=$(go test -list '^Fuzz' ./... | awk '
	/^Fuzz/ { names[n++] = $1 }
	/^ok/   { for (i = 0; i < n; i++) print $2, names[i]; n = 0 }')
count=$(printf '%s\n' "$targets" | grep -c . || true)
if [ "$count" -eq 0 ]; then
	echo "fuzz: no Fuzz functions found" >&2
	exit 1
fi
echo "fuzz: $count targets, $time each, two at a time"

one() {
	pkg=$1 name=$2 time=$3 log=$4/${1//\//_}.$2
	for try in 1 2; do
		# Minimizing an interesting input takes up to a minute by default, and
		# nothing is tried meanwhile: half of the targets got no further.
		if go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 200x -parallel 1 "$pkg" >"$log" 2>&1; then
			printf 'fuzz: ok   %s %s: %s\n' "$pkg" "$name" "$(grep -o 'execs: [0-9]*' "$log" | tail -n 1)"
			return 0
		fi
		# Now and then the go command reports the end of its own time as a
		# failure. No input was found then: once more.
		grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input written' "$log" || break
	done
	printf 'fuzz: FAIL %s %s\n' "$pkg" "$name"
	sed 's/^/    /' "$log"
	return 1
}
export -f one
status=0
printf '%s\n' "$targets" | while read -r pkg name; do
	printf '%s\0%s\0%s\0%s\0' "$pkg" "$name" "$time" "$logs"
done | xargs -0 -P 2 -n 4 bash -c 'one "$@"' one || status=1
exit $status
