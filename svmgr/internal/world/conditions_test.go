package world

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"dynamod/internal/sys/virt"
	"dynamod/internal/unit"
)

// fakeMachine has what files says: a text, or a link with "-> " before it.
func fakeMachine(files map[string]string) *machine {
	root := fstest.MapFS{}
	for name, text := range files {
		f := &fstest.MapFile{Data: []byte(text), Mode: 0o644}
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			f = &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink}
		}
		if strings.HasSuffix(name, "+x") {
			name, f.Mode = strings.TrimSuffix(name, "+x"), 0o755
		}
		if strings.HasSuffix(name, "/") {
			name, f.Mode = strings.TrimSuffix(name, "/"), fs.ModeDir|0o755
		}
		root[name] = f
	}
	return &machine{
		root: root, runtimeDir: "/run/dynamod", cgroupRoot: "/sys/fs/cgroup",
		release:    func() string { return "6.12.3-amd64" },
		arch:       func() string { return "x86_64" },
		hostname:   func() string { return "Web01.example" },
		readOnly:   func(p string) (bool, error) { return p == "/usr", missing(root, p) },
		mountPoint: func(p string) (bool, error) { return p == "/proc", missing(root, p) },
		device: func(p string) (uint32, uint32, error) {
			switch p {
			case "/secret":
				return 254, 3, nil
			case "/mixed":
				return 254, 4, nil
			case "/btrfs":
				return 0, 55, nil
			case "/tmpfs":
				return 0, 56, nil
			case "/part":
				return 254, 5, nil
			}
			return 8, 1, missing(root, p)
		},
		cpus: func() (int, error) { return 4, nil },
		cpuid: func(leaf, sub uint32) (r [4]uint32, ok bool) {
			if leaf == 7 {
				r[ebx] = 1 << 5
			}
			return r, leaf == 7
		},
		uids: func() []int { return []int{1000, 1000} }, gids: func() []int { return []int{1000, 27} },
		bounding: func(n int) (bool, error) { return n == 27, nil },
		environ: func(k string) (string, bool) {
			v, ok := map[string]string{"HOME": "/root", "EMPTY": ""}[k]
			return v, ok
		},
		audit: func() bool { return true },
		virt:  func() virt.Found { return virt.Found{VM: "kvm"} },
	}
}

func missing(root fs.FS, p string) error {
	_, err := fs.Stat(root, rel(p))
	return err
}

const (
	yes  = "yes"
	no   = "no"
	none = "no answer"
)

func TestConditions(t *testing.T) {
	files := map[string]string{
		"etc/passwd": "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n", "etc/group": "root:x:0:\nsudo:x:27:ann\nkvm:x:105:\n",
		"etc/empty": "", "bin/sh+x": "#!", "etc/link": "-> passwd", "etc/dangling": "-> nowhere", "var/lib/x/.hidden": "", "var/lib/y/file": "",
		"var/lib/empty/": "", "usr/bin/": "", "proc/": "", "proc/cmdline": "root=/dev/sda1 quiet opt.x=\"a b\" systemd.condition-first-boot=no\n",
		"proc/meminfo":           "MemTotal:        2097152 kB\nMemFree: 1 kB\n",
		"etc/os-release":         "# x\nID=debian\nVERSION_ID=\"13\"\nPRETTY_NAME='Debian GNU/Linux 13'\n",
		"proc/pressure/memory":   "some avg10=5.00 avg60=10.00 avg300=20.00 total=9\nfull avg10=1.00 avg60=2.00 avg300=3.00 total=5\n",
		"proc/pressure/cpu":      "some avg10=50.00 avg60=10.00 avg300=20.00 total=9\n",
		"etc/machine-id":         "0123456789abcdef0123456789abcdef\n",
		"sys/class/dmi/id/board": "X570 Pro\n", "sys/firmware/efi/x": "", "sys/firmware/devicetree/base/compatible": "acme,board\x00acme,soc\x00",
		"sys/module/loop/parameters/max_loop": "8", "sys/module/nf_tables/initstate": "live\n", "sys/module/dying/initstate": "going\n",
		"lib/modules/6.12.3-amd64/modules.builtin":                    "kernel/fs/ext-four.ko\nkernel/drivers/tty/pty.ko\n",
		"sys/module/apparmor/parameters/enabled":                      "Y\n",
		"sys/fs/cgroup/cgroup.controllers":                            "cpu memory pids\n",
		"sys/fs/cgroup/a.slice/a-b.slice/memory.pressure":             "some avg10=9 avg60=9 avg300=99 total=1\nfull avg10=9 avg60=9 avg300=98 total=1",
		"sys/dev/block/254:3/dm/uuid":                                 "CRYPT-LUKS2-x\n",
		"sys/dev/block/254:4/slaves/dm-0/dm/uuid":                     "CRYPT-LUKS2-x\n",
		"sys/dev/block/254:4/slaves/sdb/size":                         "1",
		"sys/dev/block/254:5":                                         "-> ../../devices/dm-7/dm-7p1",
		"sys/devices/dm-7/dm-7p1/partition":                           "1",
		"sys/devices/dm-7/dm/uuid":                                    "CRYPT-PLAIN-y",
		"sys/class/block/dm-9/slaves/dm-8/dm/uuid":                    "CRYPT-LUKS1-z",
		"dev/mapper/data":                                             "-> ../dm-9",
		"proc/self/mountinfo":                                         "30 1 0:55 /sub /btrfs rw shared:1 - btrfs /dev/mapper/data rw\n31 1 0:56 / /tmpfs rw - tmpfs tmpfs rw\n",
		"sys/firmware/efi/efivars/" + secureBoot[len(secureBoot)-47:]: "\x06\x00\x00\x00\x01",
		"run/credentials/@system/token":                               "t",
	}
	m := fakeMachine(files)
	for _, c := range []struct{ check, arg, want string }{
		{"PathExists", "/etc/passwd", yes},
		{"PathExists", "/", yes},
		{"PathExists", "/etc/nope", no},
		{"PathExists", "/etc/dangling", no},
		{"PathExistsGlob", "/etc/pass*", yes},
		{"PathExistsGlob", "/e?c/[!x]asswd", yes},
		{"PathExistsGlob", "/*/nope*", no},
		{"PathExistsGlob", "/{var,etc}/{nope,passwd}", yes},
		{"PathExistsGlob", "/etc/dangling", yes},
		{"PathExistsGlob", "/var/lib/x/*", no},
		{"PathExistsGlob", "/var/lib/x/.*", yes},
		{"PathExistsGlob", "/{1,2}{1,2}{1,2}{1,2}{1,2}{1,2}{1,2}{1,2}{1,2}", none},
		{"PathIsDirectory", "/etc", yes},
		{"PathIsDirectory", "/etc/passwd", no},
		{"PathIsSymbolicLink", "/etc/link", yes},
		{"PathIsSymbolicLink", "/etc/dangling", yes},
		{"PathIsSymbolicLink", "/etc/passwd", no},
		{"PathIsMountPoint", "/proc", yes},
		{"PathIsMountPoint", "/etc", no},
		{"PathIsMountPoint", "/nope", no},
		{"PathIsReadWrite", "/etc", yes},
		{"PathIsReadWrite", "/usr", no},
		{"PathIsReadWrite", "/nope", no},
		{"PathIsEncrypted", "/secret", yes},
		{"PathIsEncrypted", "/mixed", no},
		{"PathIsEncrypted", "/part", yes},
		{"PathIsEncrypted", "/btrfs", yes},
		{"PathIsEncrypted", "/tmpfs", no},
		{"PathIsEncrypted", "/etc", no},
		{"PathIsEncrypted", "/nope", no},
		{"DirectoryNotEmpty", "/var/lib/y", yes},
		{"DirectoryNotEmpty", "/var/lib/x", no},
		{"DirectoryNotEmpty", "/var/lib/empty", no},
		{"DirectoryNotEmpty", "/nope", no},
		{"DirectoryNotEmpty", "/etc/passwd", no},
		{"FileNotEmpty", "/etc/link", yes},
		{"FileNotEmpty", "/etc/empty", no},
		{"FileNotEmpty", "/etc", no},
		{"FileIsExecutable", "/bin/sh", yes},
		{"FileIsExecutable", "/etc/passwd", no},
		{"FileIsExecutable", "/bin", no},
		{"Architecture", "x86-64", yes},
		{"Architecture", "arm64", no},
		{"Firmware", "uefi", yes},
		{"Firmware", "device-tree", yes},
		{"Firmware", "device-tree-compatible(acme,soc)", yes},
		{"Firmware", "device-tree-compatible(acme)", no},
		{"Firmware", "device-tree-compatible(acme", none},
		{"Firmware", "smbios-field(board $= X570*)", yes},
		{"Firmware", `smbios-field(board = "X570 Pro")`, yes},
		{"Firmware", "smbios-field(board != X570)", yes},
		{"Firmware", "smbios-field(nope = x)", no},
		{"Firmware", "smbios-field(../x = x)", none},
		{"Firmware", "coreboot", no},
		{"Virtualization", "yes", yes},
		{"Virtualization", "no", no},
		{"Virtualization", "vm", yes},
		{"Virtualization", "kvm", yes},
		{"Virtualization", "container", no},
		{"Virtualization", "private-users", no},
		{"Virtualization", "none", no},
		{"Host", "web01.example", yes},
		{"Host", "web??.*", yes},
		{"Host", "db*", no},
		{"Host", "01234567-89ab-cdef-0123-456789abcdef", yes},
		{"Host", "11234567-89ab-cdef-0123-456789abcdef", no},
		{"KernelCommandLine", "quiet", yes},
		{"KernelCommandLine", "root", yes},
		{"KernelCommandLine", "root=/dev/sda1", yes},
		{"KernelCommandLine", "root=/dev/sda", no},
		{"KernelCommandLine", "opt.x=a b", yes},
		{"KernelCommandLine", "opt", no},
		{"KernelVersion", "6.*", yes},
		{"KernelVersion", ">=6.12 <7", yes},
		{"KernelVersion", ">= 6.12", yes},
		{"KernelVersion", "> 6.13", no},
		{"KernelVersion", "!$=*amd64", no},
		{"KernelVersion", "=6.12.3-amd64", yes},
		{"KernelVersion", ">=", none},
		{"Credential", "token", yes},
		{"Credential", "other", no},
		{"Credential", "../token", none},
		{"Security", "apparmor", yes},
		{"Security", "selinux", no},
		{"Security", "audit", yes},
		{"Security", "uefi-secureboot", yes},
		{"Security", "tpm2", no},
		{"Security", "cvm", no},
		{"Security", "unknown", no},
		{"Capability", "CAP_MKNOD", yes},
		{"Capability", "CAP_SYS_ADMIN", no},
		{"Capability", "CAP_NOPE", none},
		{"Capability", "mknod", none},
		{"ACPower", "yes", yes},
		{"ACPower", "no", no},
		{"ACPower", "maybe", none},
		{"Memory", ">=2G", yes},
		{"Memory", "> 2G", no},
		{"Memory", "1.5G", yes},
		{"Memory", "=2048M", yes},
		{"Memory", "2T", no},
		{"Memory", "much", none},
		{"Memory", "$=2G", none},
		{"CPUFeature", "avx2", yes},
		{"CPUFeature", "AVX2", yes},
		{"CPUFeature", "bmi1", no},
		{"CPUFeature", "sse", no},
		{"CPUFeature", "nope", no},
		{"CPUs", "4", yes},
		{"CPUs", ">4", no},
		{"CPUs", "!=3", yes},
		{"CPUs", "x", none},
		{"Environment", "HOME", yes},
		{"Environment", "HOME=/root", yes},
		{"Environment", "HOME=/", no},
		{"Environment", "EMPTY", yes},
		{"Environment", "EMPTY=", yes},
		{"Environment", "NOPE", no},
		{"Environment", "NOPE=", no},
		{"User", "ann", yes},
		{"User", "1000", yes},
		{"User", "root", no},
		{"User", "@system", no},
		{"User", "nobody", no},
		{"Group", "sudo", yes},
		{"Group", "27", yes},
		{"Group", "kvm", no},
		{"ControlGroupController", "v2", yes},
		{"ControlGroupController", "v1", no},
		{"ControlGroupController", "cpu memory", yes},
		{"ControlGroupController", "cpu io", no},
		{"ControlGroupController", "nonsense", yes},
		{"OSRelease", "ID=debian", yes},
		{"OSRelease", "ID=debian VERSION_ID>=12", yes},
		{"OSRelease", "VERSION_ID>13", no},
		{"OSRelease", "PRETTY_NAME$=Debian*", yes},
		{"OSRelease", "NOPE!=x", yes},
		{"OSRelease", "ID", none},
		{"OSRelease", "=x", none},
		{"MemoryPressure", "3%", yes},
		{"MemoryPressure", "2.9%", no},
		{"MemoryPressure", "1%/10sec", yes},
		{"MemoryPressure", "1%/1min", no},
		{"MemoryPressure", "1%/2min", none},
		{"MemoryPressure", "101%", none},
		{"MemoryPressure", "a-b.slice:98%", yes},
		{"MemoryPressure", "a-b.slice:97%", no},
		{"MemoryPressure", "gone.slice:97%", none},
		{"MemoryPressure", "x.service:97%", none},
		{"CPUPressure", "20%", yes},
		{"CPUPressure", "20%/10sec", no},
		{"IOPressure", "100%", none},
		{"KernelModuleLoaded", "nf-tables", yes},
		{"KernelModuleLoaded", "loop", yes},
		{"KernelModuleLoaded", "ext_four", yes},
		{"KernelModuleLoaded", "dying", no},
		{"KernelModuleLoaded", "zfs", no},
		{"FirstBoot", "no", yes},
		{"FirstBoot", "yes", no},
		{"NeedsUpdate", "/etc/", yes},
		{"NeedsUpdate", "/home", none},
		{"Invented", "x", none},
	} {
		t.Run(c.check+"="+c.arg, func(t *testing.T) {
			for _, negate := range []bool{false, true} {
				got, err := m.fact(unit.Condition{Check: c.check, Arg: c.arg, Negate: negate})
				switch {
				case c.want == none && (err == nil || got != negate):
					t.Errorf("negate %v: %v, %v: a condition without an answer must not hold", negate, got, err)
				case c.want != none && (err != nil || got != (c.want == yes)):
					t.Errorf("negate %v: %v, %v; want %s", negate, got, err, c.want)
				}
			}
		})
	}
}

// Every condition of the settings table has a check.
func TestEveryConditionIsKnown(t *testing.T) {
	for _, s := range unit.Table() {
		for _, prefix := range []string{"Condition", "Assert"} {
			if name, ok := strings.CutPrefix(s.Name, prefix); ok && checks[name] == nil {
				t.Errorf("nothing checks %s=", s.Name)
			}
		}
	}
}

func TestNeedsUpdate(t *testing.T) {
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	set := func(usr, stamp time.Time, text, cmdline string) *machine {
		m := fakeMachine(map[string]string{"proc/cmdline": cmdline})
		root := m.root.(fstest.MapFS)
		root["usr"] = &fstest.MapFile{Mode: fs.ModeDir, ModTime: usr}
		if !stamp.IsZero() {
			root["etc/.updated"] = &fstest.MapFile{ModTime: stamp, Data: []byte(text)}
		}
		return m
	}
	for _, c := range []struct {
		name string
		m    *machine
		want bool
	}{
		{"never updated", set(day, time.Time{}, "", ""), true},
		{"older", set(day, day.Add(-time.Second), "", ""), true},
		{"newer", set(day, day.Add(time.Second), "", ""), false},
		{"the same second, by the file", set(day.Add(5), day, "# x\nTIMESTAMP_NSEC=1767312000000000009\n", ""), false},
		{"forced", set(day, day.Add(time.Second), "", "systemd.condition-needs-update=1"), true},
		{"forbidden", set(day, time.Time{}, "", "systemd.condition-needs-update=0"), false},
	} {
		if got, err := c.m.needsUpdate("/etc"); got != c.want || err != nil {
			t.Errorf("%s: %v %v", c.name, got, err)
		}
	}
}

func TestFirstBoot(t *testing.T) {
	for _, c := range []struct {
		files map[string]string
		want  bool
	}{
		{map[string]string{"etc/machine-id": "0123\n"}, false},
		{map[string]string{"etc/machine-id": "uninitialized\n"}, true},
		{map[string]string{}, true},
		{map[string]string{"etc/machine-id": "0123\n", "run/dynamod/first-boot": ""}, true},
		{map[string]string{"etc/machine-id": "0123\n", "proc/cmdline": "systemd.condition-first-boot"}, true},
	} {
		if got, err := fakeMachine(c.files).firstBoot("yes"); got != c.want || err != nil {
			t.Errorf("%v: %v %v", c.files, got, err)
		}
	}
}

func TestContainerHasItsOwnCommandLine(t *testing.T) {
	m := fakeMachine(map[string]string{"proc/cmdline": "quiet", "proc/1/cmdline": "/sbin/init\x00--debug\x00"})
	m.virt = func() virt.Found { return virt.Found{Container: "docker"} }
	for arg, want := range map[string]bool{"quiet": false, "--debug": true} {
		if got, err := m.kernelCommandLine(arg); got != want || err != nil {
			t.Error(arg, got, err)
		}
	}
}

// The real machine, as systemd sees it.
func TestAgainstSystemdAnalyze(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a program for each condition")
	}
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip(err)
	}
	root := ""
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		root = "/sys/fs/cgroup"
	}
	m := thisMachine("/run/dynamod", root)
	for _, line := range []string{
		"PathExists=/etc/passwd", "PathExistsGlob=/etc/pass*", "PathExistsGlob=/{nope,etc}/passwd", "PathExistsGlob=/etc/pass[!w]d",
		"PathIsDirectory=/etc", "PathIsDirectory=/etc/passwd", "PathIsSymbolicLink=/proc/self", "PathIsMountPoint=/proc", "PathIsMountPoint=/etc",
		"PathIsMountPoint=/", "PathIsReadWrite=/tmp", "PathIsReadWrite=/proc/sys", "PathIsReadWrite=/nope", "PathIsEncrypted=/", "PathIsEncrypted=/proc",
		"DirectoryNotEmpty=/etc", "FileNotEmpty=/etc/passwd", "FileNotEmpty=/etc", "FileIsExecutable=/bin/sh", "FileIsExecutable=/etc/passwd",
		"NeedsUpdate=/etc", "NeedsUpdate=/var", "FirstBoot=yes", "FirstBoot=no", "Architecture=native", "Architecture=x86-64", "Architecture=arm64",
		"Firmware=uefi", "Firmware=device-tree", "Firmware=nope", "Virtualization=yes", "Virtualization=vm", "Virtualization=container",
		"Virtualization=docker", "Virtualization=private-users", "Virtualization=nope", "Virtualization=none", "Host=*", "Host=nope",
		"KernelCommandLine=quiet", "KernelCommandLine=/sbin/init", "KernelVersion=>5", "KernelVersion=>= 5 <99", "KernelVersion=<5", "KernelVersion=6.*", "KernelVersion=!$=6.*",
		"Credential=nope", "Security=selinux", "Security=apparmor", "Security=audit", "Security=ima", "Security=tomoyo", "Security=smack",
		"Security=uefi-secureboot", "Security=nope", "Capability=CAP_SYS_ADMIN", "Capability=CAP_BPF", "Capability=sys_admin",
		"ACPower=true", "ACPower=false", "Memory=1M", "Memory=>=1G", "Memory=<1G", "Memory=99T", "Memory=garbage",
		"CPUFeature=sse2", "CPUFeature=avx2", "CPUFeature=AVX2", "CPUFeature=sha_ni", "CPUFeature=constant_tsc", "CPUFeature=syscall", "CPUFeature=osxsave", "CPUFeature=nope",
		"CPUs=1", "CPUs=>=1", "CPUs=9999", "Environment=HOME", "Environment=HOME=/nope", "User=root", "User=0", "User=@system", "User=nope", "Group=0", "Group=root", "Group=nope",
		"ControlGroupController=v1", "ControlGroupController=v2", "ControlGroupController=cpu", "ControlGroupController=memory pids", "ControlGroupController=nope",
		"OSRelease=ID=debian", "OSRelease=ID$=*", "OSRelease=VERSION_ID>=1", "OSRelease=VERSION_ID<1", "OSRelease=NOPE!=x", "OSRelease=ID=",
		"MemoryPressure=100%", "CPUPressure=100%/10sec", "IOPressure=10%/2min",
	} {
		for _, not := range []string{"", "!"} {
			check, arg, _ := strings.Cut(line, "=")
			if m.cgroupRoot == "" && check == "MemoryPressure" && !m.exists("/proc/pressure/memory") {
				continue
			}
			err := exec.Command(tool, "condition", "Condition"+check+"="+not+arg).Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			fact, why := m.fact(unit.Condition{Check: check, Arg: arg, Negate: not == "!"})
			if got, want := fact != (not == "!"), err == nil; got != want {
				t.Errorf("Condition%s=%s%s: %v (%v), systemd says %v", check, not, arg, got, why, want)
			}
		}
	}
}

// Whatever is written in a unit file: no panic, no hang, an answer or a reason.
func FuzzCondition(f *testing.F) {
	f.Add("KernelVersion", ">= 6 $=*-amd64", false)
	f.Add("OSRelease", "ID=debian VERSION_ID<=13", true)
	f.Add("Firmware", "smbios-field(board $= [X-Z]*)", false)
	f.Add("PathExistsGlob", "/{etc,{a,b}}/[!p-]*\\?", false)
	f.Add("MemoryPressure", "a-b.slice:12.5%/1min", true)
	f.Add("Memory", "<=1.5GiB", false)
	f.Add("Host", "[[]*", false)
	m := fakeMachine(map[string]string{"etc/passwd": "root:x:0:0", "etc/os-release": "ID=debian", "sys/class/dmi/id/board": "X", "etc/dir/[a]": ""})
	f.Fuzz(func(t *testing.T, check, arg string, negate bool) {
		if strings.ContainsRune(arg, 0) || arg == "" {
			return
		}
		fact, err := m.fact(unit.Condition{Check: check, Arg: arg, Negate: negate})
		if err != nil && fact != negate {
			t.Errorf("%s=%q has no answer and would hold", check, arg)
		}
	})
}
