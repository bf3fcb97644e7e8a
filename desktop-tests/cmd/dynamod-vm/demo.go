package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/internal/picture"
	"dynamod/desktop-tests/vm"
)

// broken is a service that cannot work, and one that needs it.
const (
	broken = `[service]
name = "shop-database"
description = "Broken on purpose"
exec = ["/bin/sh", "-c", "echo 'cannot open /srv/shop.db: no such file' >&2; exit 3"]

[readiness]
type = "path"
path = "/run/shop.socket"

[restart]
max-restarts = 2
delay = "100ms"
`
	needsBroken = `[service]
name = "shop"
description = "Needs the broken one"
exec = ["/bin/sleep", "infinity"]

[dependencies]
requires = ["shop-database"]
after = ["shop-database"]
`
)

// terminal is what the terminal on sway's screen shows.
const terminal = `clear
for line in 'cat /proc/1/comm' 'loginctl --no-pager' 'systemctl --no-pager is-system-running' 'dynamodctl list user@1000 systemd-logind dbus'; do
	printf '$ %s\n' "$line"; $line; echo
done
touch /tmp/inside
PS1='$ ' exec sh
`

// measures is what both managers are asked, to compare them. The bridge is a part of
// what takes systemd's place, and logind is systemd's own or ours.
const measures = `#!/bin/bash
case $1 in
systemd) systemctl is-system-running --wait ;;
dynamod) dynamodctl start default.target ;;
esac >/dev/null 2>&1
awk '$1 == "cpu" { printf "value cpu=%.2f\n", ($2+$3+$4+$7+$8)/100 }' /proc/stat >/dev/vport0p1
awk '/^MemTotal/ { t = $2 } /^MemAvailable/ { a = $2 } END { print "value used=" t-a }' /proc/meminfo >/dev/vport0p1
rss() { n=0; for p in "$@"; do n=$((n + $(awk '/^VmRSS/ { print $2 }' /proc/$p/status))); done; echo $n; }
echo "value pid1=$(rss 1)" >/dev/vport0p1
echo "value managers=$(rss 1 $(pgrep -x 'dynamod-svmgr|dynamod-sd1brid|dynamod-sd1bridge'))" >/dev/vport0p1
`

// tour is what the demo asks in the machine. Its answers go to the output port; what is
// between @file and @end is a file.
const tour = `#!/bin/bash
exec >/dev/vport0p2 2>&1
export SYSTEMD_COLORS=0 SYSTEMD_PAGER= COLUMNS=110
ask() { printf '\n$ %s\n' "$1"; eval "$1" 2>&1; }
tell() { printf '\n%s\n' "$1"; }
tell "systemd's own programs ask, dynamod answers (shop and shop-database are broken on purpose):"
ask 'systemctl status | head -n 24'
ask 'systemctl list-units --failed'
ask 'loginctl'
ask 'loginctl seat-status seat0 | head -n 16'
ask 'hostnamectl'
ask 'timedatectl'
tell 'What only dynamodctl shows: the supervisors of native services, and why something does not run:'
ask 'dynamodctl tree | head -n 30'
ask 'dynamodctl why shop'
tell 'The manager is killed. PID 1 starts it again, and what ran runs on, as the processes and their times show:'
ask 'kill -KILL $(pgrep -xo dynamod-svmgr); until dynamodctl ping >/dev/null 2>&1; do :; done; dynamodctl list systemd-logind dbus user@1000'
echo "@file boot.svg"
systemd-analyze plot
echo
echo "@end"
`

// show shows dynamod at work: Debian with sway in a virtual machine, and the same image
// with systemd to compare. With keep, the first machine goes on, on this terminal.
func show(ctx context.Context, keep bool) error {
	top, err := vm.ModuleRoot()
	if err != nil {
		return err
	}
	results := filepath.Join(top, "build", "demo")
	if err := os.MkdirAll(results, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "dynamod-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	say("The image of Debian 13 with sway and dynamod:")
	spec, err := swayMachine(ctx, dir)
	if err != nil {
		return err
	}
	say("It boots with systemd first, to compare:")
	theirs, err := comparison(ctx, spec)
	if err != nil {
		return err
	}
	say("The same image boots with dynamod as PID 1:")
	console := &gate{to: os.Stdout}
	port := newAnswers(os.Stdout, results)
	spec.ConsoleOutput, spec.Output = console, port
	if keep {
		spec.Limit = 24 * time.Hour
	}
	m, ours, err := bootTo(ctx, spec, "dynamod")
	if err != nil {
		return err
	}
	defer m.Close()
	if err := showcase(ctx, m, port, results); err != nil {
		return err
	}
	if keep {
		m.Hush() // the terminal is the machine's in a moment
	}
	say("dynamod and systemd, measured just now in the same kind of machine (" + string(m.Spec.Accel) + "):")
	table(ours, theirs)
	fmt.Printf("\nsway's screen:   %s\nthe boot chart:  %s\n", filepath.Join(results, "sway.png"), filepath.Join(results, "boot.svg"))
	if keep {
		say("The machine goes on. This terminal is its serial console: root, without a password; Ctrl-] pulls the plug.")
		console.open.Store(true)
		if err := m.Console.Send("\n"); err != nil {
			return err
		}
		return interact(m)
	}
	if err := m.Console.Send("systemctl poweroff\n"); err != nil {
		return err
	}
	return m.Wait()
}

// gate is a way to a terminal that is shut until it is opened.
type gate struct {
	to   io.Writer
	open atomic.Bool
}

func (g *gate) Write(p []byte) (int, error) {
	if g.open.Load() {
		return g.to.Write(p)
	}
	return len(p), nil
}

func say(what string) { fmt.Printf("\n%s\n", what) }

func swayMachine(ctx context.Context, dir string) (spec vm.Spec, err error) {
	if spec.Kernel, err = vm.DebianKernel(ctx, os.Stderr); err != nil {
		return spec, err
	}
	img, err := bootable.Sway(ctx, os.Stderr, map[string]vm.Source{
		"/root/measure":                            {Text: measures, Perm: 0o755},
		"/root/tour":                               {Text: tour, Perm: 0o755},
		"/etc/skel/terminal":                       {Text: terminal},
		"/etc/dynamod/services/shop.toml":          {Text: needsBroken},
		"/etc/dynamod/services/shop-database.toml": {Text: broken},
	})
	if err != nil {
		return spec, err
	}
	disk := filepath.Join(dir, "disk")
	if err := img.MakeExt4(ctx, disk); err != nil {
		return spec, err
	}
	spec.Initramfs = filepath.Join(dir, "initramfs")
	initramfs := bootable.Initramfs{Kernel: spec.Kernel, Modules: bootable.SwayModules, Shell: true}
	if err := initramfs.Write(ctx, spec.Initramfs, os.Stderr); err != nil {
		return spec, err
	}
	spec.Board, spec.Screen, spec.Memory, spec.Limit = vm.Q35, true, 1536, 8*time.Minute
	spec.Disks, spec.Progress = []vm.Drive{{File: disk}}, os.Stderr
	return spec, nil
}

// figures are what is compared.
type figures struct {
	boot  time.Duration // from power on to the login prompt
	value func(name string) string
}

// bootTo starts a machine, logs root in on the serial console, and measures.
func bootTo(ctx context.Context, spec vm.Spec, init string) (*vm.Machine, figures, error) {
	spec.Name = "demo/" + init
	spec.Append = []string{"quiet", "root=LABEL=" + bootable.DebianLabel, "rootfstype=ext4", "init=" + bootable.InitPrograms[init]}
	m, err := vm.Start(ctx, spec)
	if err != nil {
		return nil, figures{}, err
	}
	f, err := func() (f figures, err error) {
		if _, err := m.Console.Expect(ctx, "debian login: "); err != nil {
			return f, err
		}
		f = figures{boot: time.Since(m.Started), value: m.Results.Value}
		if err := typed(ctx, m, "root", prompt); err != nil {
			return f, err
		}
		return f, typed(ctx, m, "./measure "+init+"; echo measured=$?", "measured=[0-9]+")
	}()
	if err != nil {
		m.Close()
		return nil, f, err
	}
	return m, f, nil
}

// typed sends a line to the serial console and waits for what must come back.
func typed(ctx context.Context, m *vm.Machine, line, answer string) error {
	if err := m.Console.Send(line + "\n"); err != nil {
		return err
	}
	if _, err := m.Console.Expect(ctx, answer); err != nil {
		return fmt.Errorf("after %q: %w", line, err)
	}
	return nil
}

// showcase logs in on sway's screen, takes its picture and the tour.
func showcase(ctx context.Context, m *vm.Machine, port *answers, results string) error {
	for _, key := range []string{"u", "s", "e", "r", "ret"} {
		if err := m.SendKeys(key); err != nil {
			return err
		}
	}
	if err := typed(ctx, m, "for i in $(seq 300); do test -e /tmp/inside && pgrep -x swaybar >/dev/null && break; sleep 0.2; done; test -e /tmp/inside; echo sway=$?", "sway=0"); err != nil {
		return err
	}
	if err := photograph(ctx, m, filepath.Join(results, "sway.png")); err != nil {
		return err
	}
	if err := typed(ctx, m, "./tour; echo tour=$?", "tour=[0-9]+"); err != nil {
		return err
	}
	return port.wait(ctx, "boot.svg")
}

// photograph waits until the screen shows all of sway, at most a minute, and keeps it.
func photograph(ctx context.Context, m *vm.Machine, file string) error {
	for range 60 {
		shot, err := m.Screenshot("sway")
		if err != nil {
			return err
		}
		img, err := picture.Read(shot)
		if err != nil {
			return err
		}
		if picture.Share(img, bootable.Wallpaper) > 10 && picture.Share(img, bootable.Bar) > 1 && picture.Share(img, bootable.Paper) > 40 {
			png, err := os.ReadFile(shot)
			if err != nil {
				return err
			}
			return os.WriteFile(file, png, 0o644)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
	return errors.New("sway's bar, wallpaper and terminal did not come on the screen within a minute; what it shows is in build/vm/demo/dynamod/sway.png")
}

func comparison(ctx context.Context, spec vm.Spec) (figures, error) {
	m, f, err := bootTo(ctx, spec, "systemd")
	if err != nil {
		return f, err
	}
	defer m.Close()
	if err := m.Console.Send("systemctl poweroff\n"); err != nil {
		return f, err
	}
	return f, m.Wait()
}

func table(ours, theirs figures) {
	row := func(what, a, b string) { fmt.Printf("  %-44s %12s %12s\n", what, a, b) }
	kib := func(f figures, name string) string {
		n, err := strconv.Atoi(f.value(name))
		if err != nil {
			return "not told"
		}
		return fmt.Sprintf("%.1f MiB", float64(n)/1024)
	}
	row("", "dynamod", "systemd")
	row("memory of PID 1 (RSS)", kib(ours, "pid1"), kib(theirs, "pid1"))
	row("the same with the manager and the bridge", kib(ours, "managers"), kib(theirs, "managers"))
	row("memory used on the machine", kib(ours, "used"), kib(theirs, "used"))
	row("from power on to the login prompt", fmt.Sprintf("%.1f s", ours.boot.Seconds()), fmt.Sprintf("%.1f s", theirs.boot.Seconds()))
	row("processor time until everything was up", ours.value("cpu")+" s", theirs.value("cpu")+" s")
}
