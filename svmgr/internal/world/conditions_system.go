package world

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"dynamod/internal/sandbox"
	"dynamod/internal/sys/virt"
)

// architectures are uname(2)'s machines under systemd's names.
var architectures = map[string]string{
	"x86_64": "x86-64", "i386": "x86", "i486": "x86", "i586": "x86", "i686": "x86", "ppc64": "ppc64", "ppc64le": "ppc64-le",
	"ppc": "ppc", "ppcle": "ppc-le", "ia64": "ia64", "parisc": "parisc", "parisc64": "parisc64", "s390": "s390", "s390x": "s390x",
	"sparc": "sparc", "sparc64": "sparc64", "alpha": "alpha", "aarch64": "arm64", "aarch64_be": "arm64-be", "sh64": "sh64",
	"sh3": "sh", "sh4": "sh", "sh4a": "sh", "m68k": "m68k", "tilegx": "tilegx", "crisv32": "cris", "arc": "arc", "arceb": "arc-be",
	"riscv32": "riscv32", "riscv64": "riscv64", "loongarch64": "loongarch64",
}

func (m *machine) archName() string {
	machine := m.arch()
	if a := architectures[machine]; a != "" {
		return a
	}
	switch {
	case strings.HasPrefix(machine, "arm"):
		if strings.HasSuffix(machine, "b") {
			return "arm-be"
		}
		return "arm"
	case strings.HasPrefix(machine, "mips"):
		// uname does not tell the byte order; our own program has the same.
		name := strings.TrimRight(machine, "el")
		if strings.HasSuffix(runtime.GOARCH, "le") {
			name += "-le"
		}
		return name
	}
	return machine
}

// goArchitectures are the machines that this program can be compiled for.
var goArchitectures = map[string]string{"amd64": "x86_64", "386": "i686", "arm64": "aarch64", "arm": "arm", "riscv64": "riscv64",
	"ppc64": "ppc64", "ppc64le": "ppc64le", "s390x": "s390x", "loong64": "loongarch64"}

func (m *machine) architecture(arg string) (bool, error) {
	if arg == "native" {
		arg = cmp.Or(architectures[goArchitectures[runtime.GOARCH]], runtime.GOARCH)
	}
	return m.archName() == arg, nil
}

func (m *machine) firmware(arg string) (bool, error) {
	name, rest, param := strings.Cut(arg, "(")
	value, closed := strings.CutSuffix(rest, ")")
	if param && !closed {
		return false, fmt.Errorf("the bracket is not closed")
	}
	switch {
	case arg == "uefi":
		return m.exists("/sys/firmware/efi"), nil
	case arg == "device-tree":
		return m.exists("/sys/firmware/devicetree"), nil
	case name == "device-tree-compatible" && param:
		for s := range strings.SplitSeq(m.text("/sys/firmware/devicetree/base/compatible"), "\x00") {
			if s == value {
				return true, nil
			}
		}
		return false, nil
	case name == "smbios-field" && param:
		field, op, want := cutAtOperator(value)
		field, want = strings.TrimSpace(field), strings.Trim(strings.TrimSpace(want), `"`)
		if field == "" || strings.Contains(field, "/") {
			return false, fmt.Errorf("%q is no SMBIOS field", field)
		}
		if !m.exists("/sys/class/dmi/id/" + field) {
			return false, nil
		}
		return textHolds(op, m.text("/sys/class/dmi/id/"+field), want)
	}
	return false, nil
}

func (m *machine) virtualization(arg string) (bool, error) {
	v := m.virt()
	if want, ok := truth(arg); ok {
		return (v.Innermost() != "none") == want, nil
	}
	switch arg {
	case "vm":
		return v.Container == "" && v.VM != "", nil
	case "container":
		return v.Container != "", nil
	case "private-users":
		return v.PrivateUsers, nil
	}
	return v.Innermost() == arg && arg != "none", nil
}

func (m *machine) host(arg string) (bool, error) {
	plain := strings.ToLower(strings.ReplaceAll(arg, "-", ""))
	if len(plain) == 32 && strings.Trim(plain, "0123456789abcdef") == "" {
		id := func(file string) string { return strings.ReplaceAll(m.text(file), "-", "") }
		return plain == id("/etc/machine-id") || plain == id("/proc/sys/kernel/random/boot_id"), nil
	}
	return matchGlob(strings.ToLower(arg), strings.ToLower(m.hostname())), nil
}

func (m *machine) kernelCommandLine(arg string) (bool, error) {
	for _, w := range m.kernelWords() {
		if w == arg {
			return true, nil
		}
		if k, _, ok := strings.Cut(w, "="); ok && k == arg {
			return true, nil
		}
	}
	return false, nil
}

// kernelVersion takes a list of expressions; all must hold.
func (m *machine) kernelVersion(arg string) (bool, error) {
	list := words(arg)
	for i := 0; i < len(list); i++ {
		op, want := cutOperator(list[i])
		if op != "" && want == "" { // "> 5.0"
			if i++; i == len(list) {
				return false, fmt.Errorf("nothing follows the operator %q", op)
			}
			want = list[i]
		}
		if ok, err := textHolds(cmp.Or(op, "$="), m.release(), want); !ok {
			return false, err
		}
	}
	return len(list) > 0, nil
}

func (m *machine) credential(name string) (bool, error) {
	if name == "" || strings.ContainsAny(name, "/:") || name[0] == '.' {
		return false, fmt.Errorf("%q cannot be a credential's name", printable(name))
	}
	dirs := []string{"/run/credentials/@system", "/run/credentials/@encrypted"}
	for _, v := range []string{"CREDENTIALS_DIRECTORY", "ENCRYPTED_CREDENTIALS_DIRECTORY"} {
		if d, ok := m.environ(v); ok && d != "" {
			dirs = append(dirs, d)
		}
	}
	for _, d := range dirs {
		if m.exists(d + "/" + name) {
			return true, nil
		}
	}
	return false, nil
}

func (m *machine) environment(arg string) (bool, error) {
	name, want, assigned := strings.Cut(arg, "=")
	have, ok := m.environ(name)
	return ok && (!assigned || have == want), nil
}

const secureBoot = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

func (m *machine) security(arg string) (bool, error) {
	switch arg {
	case "selinux":
		return m.exists("/sys/fs/selinux/policyvers"), nil
	case "apparmor":
		return m.text("/sys/module/apparmor/parameters/enabled") == "Y", nil
	case "smack":
		return m.exists("/sys/fs/smackfs/load2"), nil
	case "tomoyo":
		return m.exists("/sys/kernel/security/tomoyo/version"), nil
	case "ima":
		return m.exists("/sys/kernel/security/ima"), nil
	case "audit":
		return m.audit(), nil
	case "uefi-secureboot":
		b, err := fs.ReadFile(m.root, rel(secureBoot)) // four bytes of attributes, one of value
		return err == nil && len(b) == 5 && b[4] == 1, nil
	case "tpm2":
		list, _ := fs.ReadDir(m.root, "sys/class/tpmrm")
		return len(list) > 0, nil
	case "measured-uki":
		// What systemd-stub(7) leaves behind: the register that it measured the kernel into.
		return m.exists("/sys/firmware/efi/efivars/StubPcrKernelImage-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"), nil
	case "cvm":
		return virt.Confidential(virt.Machine{Root: m.root, CPUID: m.cpuid}) != "", nil
	}
	return false, nil
}

func (m *machine) capability(arg string) (bool, error) {
	if _, named := strings.CutPrefix(strings.ToUpper(arg), "CAP_"); named {
		if n := sandbox.CapabilityNumber(arg); n >= 0 {
			return m.bounding(n)
		}
	}
	return false, fmt.Errorf("%q is no capability", printable(arg))
}

// acPower: with no mains connector known the machine is on mains.
func (m *machine) acPower(arg string) (bool, error) {
	want, ok := truth(arg)
	if !ok {
		return false, fmt.Errorf("%q is no boolean", printable(arg))
	}
	const dir = "/sys/class/power_supply"
	list, _ := fs.ReadDir(m.root, rel(dir))
	known, online := false, false
	for _, e := range list {
		at := dir + "/" + e.Name()
		if m.text(at+"/scope") == "Device" {
			continue // of a mouse, not of the machine
		}
		if t := m.text(at + "/type"); t != "Mains" && !strings.HasPrefix(t, "USB") {
			continue
		}
		known = true
		online = online || m.text(at+"/online") == "1"
	}
	return (online || !known) == want, nil
}

func (m *machine) needsUpdate(arg string) (bool, error) {
	dir := "/" + strings.Trim(arg, "/")
	if dir != "/etc" && dir != "/var" {
		return false, fmt.Errorf("only /etc and /var are updated from /usr")
	}
	if v, set := m.kernelSwitch("systemd.condition-needs-update"); set {
		return v, nil
	}
	if m.exists("/etc/initrd-release") {
		return false, nil
	}
	if ro, err := m.readOnly(dir); err == nil && ro {
		return false, nil // it could not be updated anyway
	}
	usr, err := m.stat("/usr")
	if err != nil {
		return there(err)
	}
	stamp, err := m.stat(dir + "/.updated")
	if err != nil {
		missing, err := there(err)
		return !missing, err
	}
	at := stamp.ModTime()
	// Some file systems keep whole seconds only; systemd-update-done(8) writes the
	// rest into the file.
	if at.Nanosecond() == 0 {
		for line := range strings.Lines(m.text(dir + "/.updated")) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "TIMESTAMP_NSEC="); ok {
				if n, err := strconv.ParseInt(v, 10, 64); err == nil {
					at = time.Unix(0, n)
				}
			}
		}
	}
	return usr.ModTime().After(at), nil
}

// firstBoot: machine-id(5), "First Boot Semantics". Who runs first may leave a
// mark, because the machine ID is written early.
func (m *machine) firstBoot(arg string) (bool, error) {
	want, ok := truth(arg)
	if !ok {
		return false, fmt.Errorf("%q is no boolean", printable(arg))
	}
	first, set := m.kernelSwitch("systemd.condition-first-boot")
	if !set {
		id := m.text("/etc/machine-id")
		first = m.exists(m.runtimeDir+"/first-boot") || id == "" || id == "uninitialized"
	}
	return first == want, nil
}

func (m *machine) memory(arg string) (bool, error) {
	op, rest := cutOperator(strings.TrimSpace(arg))
	want, err := parseBytes(rest)
	if err != nil {
		return false, err
	}
	have, ok := uint64(0), false
	for line := range strings.Lines(m.text("/proc/meminfo")) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			kib, err := strconv.ParseUint(f[1], 10, 64)
			have, ok = kib<<10, err == nil
		}
	}
	if !ok {
		return false, fmt.Errorf("/proc/meminfo does not tell")
	}
	// What a container may have is the limit of the group it sees as its root.
	for _, f := range []string{m.cgroupRoot + "/memory.max", "/sys/fs/cgroup/memory.max"} {
		if n, err := strconv.ParseUint(m.text(f), 10, 64); err == nil {
			have = min(have, n)
		}
	}
	return orderHolds(cmp.Or(op, ">="), cmp.Compare(have, want))
}

func (m *machine) cpuCount(arg string) (bool, error) {
	op, rest := cutOperator(strings.TrimSpace(arg))
	want, err := strconv.ParseUint(strings.TrimSpace(rest), 10, 32)
	if err != nil {
		return false, fmt.Errorf("%q is no number", printable(rest))
	}
	have, err := m.cpus()
	if err != nil {
		return false, err
	}
	return orderHolds(cmp.Or(op, ">="), cmp.Compare(uint64(have), want))
}

// The four leaves of ConditionCPUFeature= by register and bit.
const (
	eax = iota
	ebx
	ecx
	edx
)

type cpuBit struct {
	leaf     uint32
	reg, bit uint8
}

// cpuFeatures are from the processors' manuals, named as in systemd.unit(5).
var cpuFeatures = map[string]cpuBit{}

func init() {
	list := func(leaf uint32, reg uint8, names string) {
		for _, f := range strings.Fields(names) {
			bit, name, _ := strings.Cut(f, ":")
			n, err := strconv.Atoi(bit)
			if err != nil {
				panic("cpu feature " + f)
			}
			cpuFeatures[name] = cpuBit{leaf, reg, uint8(n)}
		}
	}
	list(1, edx, `0:fpu 1:vme 2:de 3:pse 4:tsc 5:msr 6:pae 7:mce 8:cx8 9:apic 11:sep 12:mtrr 13:pge 14:mca 15:cmov 16:pat 17:pse36
		19:clflush 23:mmx 24:fxsr 25:sse 26:sse2 28:ht`)
	list(1, ecx, `0:pni 1:pclmul 3:monitor 9:ssse3 12:fma3 13:cx16 19:sse4_1 20:sse4_2 22:movbe 23:popcnt 25:aes 26:xsave 27:osxsave
		28:avx 29:f16c 30:rdrand`)
	list(7, ebx, `3:bmi1 5:avx2 8:bmi2 18:rdseed 19:adx 29:sha_ni`)
	list(0x80000001, edx, `11:syscall 27:rdtscp 29:lm`)
	list(0x80000001, ecx, `0:lahf_lm 5:abm`)
	list(0x80000007, edx, `8:constant_tsc`)
}

func (m *machine) cpuFeature(arg string) (bool, error) {
	f, ok := cpuFeatures[strings.ToLower(arg)]
	if !ok || m.cpuid == nil {
		return false, nil // systemd.unit(5): assumed not to be supported
	}
	regs, ok := m.cpuid(f.leaf, 0)
	return ok && regs[f.reg]>>f.bit&1 == 1, nil
}

// user: "@system" are the users below 1000, and the overflow user.
func (m *machine) user(arg string) (bool, error) {
	for _, u := range m.uids() {
		if arg == "@system" {
			if u < 1000 || u == 65534 {
				return true, nil
			}
			continue
		}
		if n, ok := m.account("/etc/passwd", arg); ok && n == u {
			return true, nil
		}
	}
	return false, nil
}

func (m *machine) group(arg string) (bool, error) {
	n, ok := m.account("/etc/group", arg)
	if !ok {
		return false, nil
	}
	for _, g := range m.gids() {
		if g == n {
			return true, nil
		}
	}
	return false, nil
}

// cgroupController: unknown controllers are ignored (systemd.unit(5)).
func (m *machine) cgroupController(arg string) (bool, error) {
	unified := m.exists("/sys/fs/cgroup/cgroup.controllers")
	switch arg {
	case "v2":
		return unified, nil
	case "v1":
		return !unified, nil
	}
	have := map[string]bool{}
	for _, f := range []string{m.cgroupRoot + "/cgroup.controllers", "/sys/fs/cgroup/cgroup.controllers"} {
		for _, c := range strings.Fields(m.text(f)) {
			have[c] = true
		}
	}
	if !unified {
		for line := range strings.Lines(m.text("/proc/cgroups")) {
			if f := strings.Fields(line); len(f) == 4 && f[3] == "1" {
				have[f[0]] = true
			}
		}
	}
	for _, c := range strings.Fields(arg) {
		switch c {
		case "cpu", "memory", "pids", "cpuset":
			if !have[c] {
				return false, nil
			}
		case "cpuacct": // a part of cpu in cgroup v2
			if !have["cpu"] && !have["cpuacct"] {
				return false, nil
			}
		case "io", "blkio":
			if !have["io"] && !have["blkio"] {
				return false, nil
			}
		}
	}
	return true, nil
}

// osRelease takes a list of "FIELD OP VALUE"; all must hold.
func (m *machine) osRelease(arg string) (bool, error) {
	fields := map[string]string{}
	text := m.text("/etc/os-release")
	if text == "" {
		text = m.text("/usr/lib/os-release")
	}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && k != "" && k[0] != '#' {
			fields[k] = strings.Join(words(v), " ")
		}
	}
	list := words(arg)
	for _, w := range list {
		key, op, want := cutAtOperator(w)
		if key == "" || want == "" {
			return false, fmt.Errorf("%q compares nothing", printable(w))
		}
		if ok, err := textHolds(op, fields[key], want); !ok {
			return false, err
		}
	}
	return len(list) > 0, nil
}

// pressure takes "[SLICE:]PERCENT[/SPAN]"; the kernel averages over 10, 60 and 300 s.
func (m *machine) pressure(what, arg string) (bool, error) {
	file := "/proc/pressure/" + what
	if slice, rest, ok := strings.Cut(arg, ":"); ok {
		name, isSlice := strings.CutSuffix(strings.TrimSpace(slice), ".slice")
		if !isSlice || strings.Contains(name, "/") {
			return false, fmt.Errorf("%q is no slice", printable(slice))
		}
		if m.cgroupRoot == "" {
			return false, fmt.Errorf("there are no control groups here")
		}
		dir := m.cgroupRoot
		if name != "-" {
			for i := range len(name) {
				if name[i] == '-' {
					dir += "/" + name[:i] + ".slice"
				}
			}
			dir += "/" + name + ".slice"
		}
		file, arg = dir+"/"+what+".pressure", rest
	}
	percent, span, spanned := strings.Cut(arg, "/")
	limit, err := parsePercent(percent)
	if err != nil {
		return false, err
	}
	key := "avg300"
	if spanned {
		switch strings.ReplaceAll(strings.TrimSpace(span), " ", "") {
		case "10s", "10sec":
			key = "avg10"
		case "1min", "1m", "60s", "60sec":
			key = "avg60"
		case "5min", "5m", "300s", "300sec":
		default:
			return false, fmt.Errorf("%q is none of 10sec, 1min, 5min", printable(span))
		}
	}
	b, err := fs.ReadFile(m.root, rel(file))
	if err != nil {
		return false, fmt.Errorf("the kernel does not tell the pressure: %w", err)
	}
	for _, kind := range []string{"full", "some"} {
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) == 0 || f[0] != kind {
				continue
			}
			for _, field := range f[1:] {
				if k, v, _ := strings.Cut(field, "="); k == key {
					have, err := strconv.ParseFloat(v, 64)
					return have <= limit, err
				}
			}
		}
	}
	return false, fmt.Errorf("%s has no %s: %w", file, key, os.ErrInvalid)
}

// kernelModuleLoaded: loaded, or built into the kernel.
func (m *machine) kernelModuleLoaded(arg string) (bool, error) {
	name := strings.ReplaceAll(arg, "-", "_")
	if name == "" || strings.Contains(name, "/") {
		return false, fmt.Errorf("%q is no module", printable(arg))
	}
	if state := m.text("/sys/module/" + name + "/initstate"); state != "" {
		return state == "live", nil
	}
	if m.exists("/sys/module/" + name) {
		return true, nil // built in, and it has parameters
	}
	for line := range strings.Lines(m.text("/lib/modules/" + m.release() + "/modules.builtin")) {
		base := strings.TrimSpace(line[strings.LastIndexByte(line, '/')+1:])
		if strings.ReplaceAll(strings.TrimSuffix(base, ".ko"), "-", "_") == name {
			return true, nil
		}
	}
	return false, nil
}
