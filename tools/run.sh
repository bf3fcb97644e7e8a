#!/usr/bin/env bash
# `make run`: a small tree of services under a standalone manager, without any
# privilege, and `dynamodctl top` to look at it. Leaving top ends everything.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v python3 >/dev/null || { echo "the example's web server needs python3: install it, or look at examples/standalone" >&2; exit 1; }
dir=$(mktemp -d)
export DYNAMOD_SOCKET=$dir/control.sock
build/dynamod-svmgr -standalone -config-dir examples/standalone -runtime-dir "$dir" >"$dir/manager.log" 2>&1 &
manager=$!
trap 'kill -TERM $manager 2>/dev/null || true; wait $manager 2>/dev/null || true; rm -rf "$dir"' EXIT
until build/dynamodctl ping >/dev/null 2>&1; do
	kill -0 $manager 2>/dev/null || { cat "$dir/manager.log" >&2; exit 1; }
done
if [ -t 0 ] && [ -t 1 ]; then
	echo "export DYNAMOD_SOCKET=$DYNAMOD_SOCKET   # for dynamodctl in another terminal"
	build/dynamodctl top
else
	build/dynamodctl start multi-user.target
	build/dynamodctl list
	build/dynamodctl tree
fi
