#!/usr/bin/env bash
# `make demo`: what can be shown today. It ends with exit code 1 as long as
# nothing boots, so that nobody takes it for more than it is.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/build:$PATH"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }
show() {
	say "\$ $*"
	"$@" || true
}

say "Unit files of a real Debian 13 GNOME system (fetched once, then cached):"
tree=
if tools/install-deps.sh tree && tree=$(go run ./desktop-tests/cmd/debtree -recipe gnome-units); then
	echo "$tree"
	show dynamodctl check --root "$tree"
	show dynamodctl check --root "$tree" --user
	show dynamodctl show --root "$tree" ssh
else
	echo "The tree cannot be fetched here; dynamodctl reads this machine instead."
	show dynamodctl check
fi
show dynamodctl explain Restart
show dynamodctl calendar --iterations 3 'Mon..Fri 08:00'

say "Five hundred random histories of the manager's core, with crashes and clock jumps:"
go run ./svmgr/internal/sim/cmd/sim -seeds 500 | tail -n 1 || true

say "Services under a standalone manager, without privilege (make run opens top instead):"
tools/run.sh </dev/null | cat

say "NOT YET: nothing boots."
cat <<'TEXT'
There is no PID 1 so far: dynamod-svmgr runs services by itself (-standalone), as the
first process of a container (-container) or for a user (-user). The demo will boot
a machine when dynamod-init exists. Until then `make demo` ends with exit code 1.
TEXT
exit 1
