//go:build vm

package scenarios

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/vm"
)

// TestLogins: logins and logouts under systemd and under dynamod: what an answer and an end
// take, and that logind, the managers, the bus and the machine are after the last of them what
// they were after a quarter. LOGINS says how many of each kind, 1000 for the numbers in
// docs/login1.md.
func TestLogins(t *testing.T) {
	n := 100
	if s := os.Getenv("LOGINS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	k := kernel(t)
	program := filepath.Join(t.TempDir(), "logins")
	if err := vm.Build(t.Context(), "./desktop-tests/cmd/logins", program); err != nil {
		t.Fatal(err)
	}
	img, err := bootable.Sway(t.Context(), os.Stderr, map[string]vm.Source{"/usr/bin/logins": {Host: program, Perm: 0o755}, "/root/waits": {Text: waits + `
rss() { awk '/^VmRSS/ { print $2 }' /proc/$1/status; }
logins() { systemd-run --quiet --wait --pipe logins -n $1 -class $2 >/tmp/said 2>&1; same logins-$2 $? 0; sed "s/^/value $2./" /tmp/said >/dev/vport0p1; cat /tmp/said; }
`}})
	if err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if err := img.MakeExt4(t.Context(), disk); err != nil {
		t.Fatal(err)
	}
	initramfs := ourInitramfs(t, k, false, bootable.SwayModules...)
	for _, init := range inits {
		t.Run(init, func(t *testing.T) {
			m := boot(t, vm.Spec{Name: "logins/" + init, Kernel: k, Initramfs: initramfs, Memory: 1024, Limit: 4*time.Minute + time.Duration(n)*2*time.Second,
				Append: []string{"root=LABEL=" + bootable.DebianLabel, "rootfstype=ext4", "init=" + bootable.InitPrograms[init]},
				Disks:  []vm.Drive{{File: disk}}})
			login(t, m)
			typed(t, m, ". ./waits", "# ")
			asks(t, m, "hostnamectl; loginctl; say value fresh=$(rss $(pgrep -xo 'dynamod-logind|systemd-logind'))")
			asks(t, m, fmt.Sprintf("logins %d background-light", n))
			// With the user's manager there already: the scope alone is made.
			asks(t, m, "check linger loginctl enable-linger user; until_ manager systemctl is-active user@1000")
			asks(t, m, fmt.Sprintf("logins %d background", n))
			if init == "dynamod" {
				asks(t, m, "none() { ! pgrep -x dynamod-hostnam; }; until_ hostnamed-ends none")
			}
			typed(t, m, "echo done >/dev/vport0p1; systemctl poweroff", "")
			finish(t, m)
			t.Logf("LOGINS %s: logind after the boot has %s kB", init, m.Results.Value("fresh"))
			for _, class := range []string{"background-light", "background"} {
				value := func(name string) string { return m.Results.Value(class + "." + name) }
				t.Logf("LOGINS %s %s: login %s ms; logout %s ms; the machine works %s ms for both; after %d %s; after %d %s", init, class,
					value("login"), value("logout"), value("busy"), n/4, value("before"), n, value("after"))
				if init != "dynamod" {
					continue
				}
				before, after := grown(t, value("before")), grown(t, value("after"))
				for name, was := range before {
					is, known := after[name]
					// A machine does other things meanwhile; a login that leaves something leaves n.
					most := n / 8
					switch _, kind, _ := strings.Cut(name, "."); {
					case kind == "rss" || kind == "anonymous":
						most = 1024
					case kind == "fds":
						most = 2
					}
					if !known || is > was+most {
						t.Errorf("%s: %s has grown from %d to %d", class, name, was, is)
					}
				}
				for _, name := range []string{"logind.rss", "manager.rss", "pid1.rss", "bridge.rss", "bus.rss", "cgroups", "run", "user", "units"} {
					if before[name] == 0 {
						t.Errorf("%s: %s is not known", class, name)
					}
				}
				if n := after["logind.rss"]; n > 10<<10 {
					t.Errorf("%s: logind uses %d kB, which is more than 10 MB", class, n)
				}
			}
		})
	}
}

// grown reads what the program says of the size of the daemons and the machine.
func grown(t *testing.T, text string) map[string]int {
	t.Helper()
	all := map[string]int{}
	for part := range strings.FieldsSeq(text) {
		name, number, _ := strings.Cut(part, ":")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		all[name] = n
	}
	return all
}
