//go:build vm

package scenarios

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/vm"
)

// TestLogins: logins and logouts under systemd and under dynamod: what an answer takes, and
// that logind is after the last of them what it was after a quarter. LOGINS says how many of
// each kind, 1000 for the numbers in docs/login1.md.
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
				before, after := m.Results.Value(class+".before"), m.Results.Value(class+".after")
				t.Logf("LOGINS %s %s: median %s ms, 95 %% within %s ms; after %d %s, after %d %s", init, class,
					m.Results.Value(class+".median"), m.Results.Value(class+".p95"), n/4, before, n, after)
				if init != "dynamod" {
					continue
				}
				b, a := grown(t, before), grown(t, after)
				// A machine does other things meanwhile; a login that leaves something leaves n.
				for k, most := range []int{1024, 1024, 2, n / 8, n / 8} {
					if a[k] > b[k]+most {
						t.Errorf("%s: something has grown: %s; then %s", class, before, after)
						break
					}
				}
				if a[0] > 10<<10 {
					t.Errorf("%s: logind uses %d kB, which is more than 10 MB", class, a[0])
				}
			}
		})
	}
}

// grown reads what the program says of the size of logind and the machine.
func grown(t *testing.T, text string) (n [5]int) {
	t.Helper()
	if _, err := fmt.Sscanf(text, "rss:%d anonymous:%d fds:%d cgroups:%d files:%d", &n[0], &n[1], &n[2], &n[3], &n[4]); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return n
}
