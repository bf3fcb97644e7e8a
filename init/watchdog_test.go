package main

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/init/internal/pid1"
	ipc "dynamod/internal/ipc/pid1"
)

// A setting that the hardware does not have is not told as one that holds, be the
// hardware missing, or what was set before it was opened more than it can do.
func TestWatchdogSettingsThatDoNotHold(t *testing.T) {
	device := filepath.Join(t.TempDir(), "watchdog")
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r := &runner{opts: options{watchdogDevice: device}, m: &pid1.Machine{}, log: &logger{kmsg: -1, console: int(null.Fd())}, dog: watchdog{fd: -1}}
	set := func(what ipc.Setting, usec uint64, want unix.Errno) ipc.Message {
		t.Helper()
		if got := r.setWatchdog(what, usec, nil); got != want {
			t.Errorf("%d: %d, want %d", what, got, want)
		}
		var msg ipc.Message
		r.tellWatchdog(&msg)
		return msg
	}
	if msg := set(ipc.RuntimeWatchdog, 20_000_000, unix.ENOENT); msg.Dog.Runtime != 0 || len(msg.Name) != 0 {
		t.Errorf("without a device it is told as %+v", msg.Dog)
	}
	if msg := set(ipc.PreTimeout, 5_000_000, 0); msg.Dog.Pre != 5_000_000 {
		t.Errorf("the warning is not remembered: %+v", msg.Dog)
	}
	// A file has no time and no warning.
	if err := os.WriteFile(device, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if msg := set(ipc.RuntimeWatchdog, 20_000_000, unix.ENOTTY); msg.Dog.Runtime != 20_000_000 || msg.Dog.Pre != 0 || string(msg.Name) != device {
		t.Errorf("with one that has only a time of its own it is told as %+v %q", msg.Dog, msg.Name)
	}
	if msg := set(ipc.RuntimeWatchdog, 0, 0); msg.Dog.Runtime != 0 || len(msg.Name) != 0 {
		t.Errorf("disarmed it is told as %+v %q", msg.Dog, msg.Name)
	}
	if data, err := os.ReadFile(device); string(data) != "V" || err != nil {
		t.Errorf("it was closed with %q, %v", data, err)
	}
}
