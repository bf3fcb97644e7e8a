#!/usr/bin/env bash
# `make test`: everything but the desktop, in the order in which mistakes are
# cheapest to find. The closing lines of the tests are repeated at the end.
#
#   tools/test.sh SIM_SEEDS FUZZTIME DYNAMOD_TREE
set -euo pipefail
seeds=$1 fuzztime=$2
export DYNAMOD_TREE=$3
cd "$(dirname "$0")/.."
mkdir -p build

step() { printf '\n== %s (%d s so far)\n' "$1" "$SECONDS"; }

step "what the tests need on this machine"
tools/install-deps.sh base ${DYNAMOD_TREE:+tree vm}

step "lint"
make --no-print-directory lint

if [ -n "$DYNAMOD_TREE" ]; then
	# Before the tests, so that they do not wait for each other's download.
	step "Debian 13 trees"
	go run ./desktop-tests/cmd/debtree -recipe gnome-units
	go run ./desktop-tests/cmd/debtree -recipe gnome
	for recipe in kernel busybox minimal sway; do
		go run ./desktop-tests/cmd/debtree -recipe "$recipe"
	done
fi

step "tests"
go test -json -timeout 15m ./... | go run ./tools/testsum -allow .ci/skips -keep build/tests.txt

if [ -n "$DYNAMOD_TREE" ]; then
	step "virtual machines"
	# One after the other; each has its own limit, this is the sum of those that hang.
	# machines PATTERN FILE
	machines() {
		go test -tags vm -count 1 -json -timeout 35m -run "^($1)\$" ./desktop-tests/scenarios |
			go run ./tools/testsum -allow .ci/skips -keep "$2" -echo 'vm: '
	}
	rm -rf build/vm build/vm-again.txt
	machines 'TestSmoke|TestWorld|TestBootAndPoweroff|TestRoot.*|TestLive|TestDebian|TestSignals|TestCtrlAltDel|TestEmergency|TestRescue|TestSafeMode|TestHardwareWatchdog|TestBootLadder|TestFailureTour|TestDamagedSnapshot|TestPowerCut|TestLogindDevices|TestClock|TestSway|TestTwoCompositors' build/vm.txt || {
		# An emulated processor can run into code that the kernel is changing on
		# another one. That is QEMU's, and no word about what is tested here.
		grep -rlF 'Oops: int3' build/vm --include=console.log || exit 1
		again=$(sed -n 's/^ *--- FAIL: \(Test[A-Za-z0-9]*\) .*/\1/p' build/vm.txt | sort -u | paste -sd'|')
		[ -n "$again" ] || exit 1
		echo "vm: the emulation has crashed the kernel of these machines: once more $again"
		machines "$again" build/vm-again.txt
	}
else
	step "virtual machines: left out, DYNAMOD_TREE is empty"
	echo "virtual machines: none, DYNAMOD_TREE is empty" >build/vm.txt
fi

step "tests with the race detector"
go test -race -short -timeout 10m ./...

step "simulation"
go run ./svmgr/internal/sim/cmd/sim -seeds "$seeds"

step "fuzz"
tools/fuzz.sh "$fuzztime"

step "what the tests said"
cat build/tests.txt build/vm*.txt
printf 'make test: all passed in %d s\n' "$SECONDS"
