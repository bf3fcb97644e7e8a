#!/usr/bin/env bash
# `make demo`: first what can be shown without a machine, then Debian 13 with sway that
# boots on dynamod. It fails if that fails. With KEEP=1 the machine goes on.
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
	# A short name for it, which what follows shows again and again.
	mkdir -p build/demo
	ln -sfn "$tree" build/demo/gnome
	echo "build/demo/gnome is $tree"
	tree=build/demo/gnome
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

say "Debian 13, untouched, with sway, in a virtual machine:"
if ! tools/install-deps.sh tree vm; then
	echo "demo: a machine cannot be booted here: see above" >&2
	exit 1
fi
if [ -n "${KEEP:-}" ]; then
	exec go run ./desktop-tests/cmd/dynamod-vm -demo -keep
fi
go run ./desktop-tests/cmd/dynamod-vm -demo </dev/null
