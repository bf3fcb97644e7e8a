package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"dynamod/init/internal/pid1"
	ipc "dynamod/internal/ipc/pid1"
)

// After the verdict on the boot the program's pages go, later and once.
func TestPagesGoAfterTheBoot(t *testing.T) {
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRunner(options{cfg: pid1.Defaults(), run: t.TempDir()}, &signals{fd: event, stray: -1}, &logger{kmsg: -1, console: -1})
	if err != nil {
		t.Fatal(err)
	}
	r.m.Step(r.now(), &pid1.Event{Kind: pid1.Began})
	r.m.Step(r.now(), &pid1.Event{Kind: pid1.Spawned, Number: 1 << 29})
	if r.coldAt != 0 {
		t.Fatal("pages would go before the boot is over")
	}
	r.step(pid1.Event{Kind: pid1.Received, Message: &ipc.Message{Kind: ipc.BootDone}})
	if r.coldAt <= r.now() {
		t.Fatalf("with boot %v pages are to go at %d; it is %d", r.boot, r.coldAt, r.now())
	}
	before := fileKiB(t)
	r.giveBack()
	if r.coldAt == 0 {
		t.Error("pages go before their time")
	}
	r.coldAt = r.now()
	r.giveBack()
	if after := fileKiB(t); after >= before || r.coldAt != 0 {
		t.Errorf("%d KiB of files were resident before and %d after; again at %d", before, after, r.coldAt)
	}
}

var rssFile = regexp.MustCompile(`RssFile:\s+(\d+) kB`)

func fileKiB(t *testing.T) int {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	m := rssFile.FindSubmatch(data)
	if m == nil {
		t.Fatalf("no RssFile in %s", data)
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

// The heap is of small pages ("nh" in the flags of its mapping, proc_pid_smaps(5)).
func TestHeapHasSmallPages(t *testing.T) {
	smallPages()
	here := uint64(uintptr(unsafe.Pointer(&make([]byte, 64<<10)[0])))
	data, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	in := false
	for line := range strings.Lines(string(data)) {
		var from, to uint64
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 {
			in = from <= here && here < to
		}
		if in && strings.HasPrefix(line, "VmFlags:") {
			if !slices.Contains(strings.Fields(line), "nh") {
				t.Error(line)
			}
			return
		}
	}
	t.Errorf("%x is in no mapping", here)
}
