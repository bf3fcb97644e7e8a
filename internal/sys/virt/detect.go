package virt

import (
	"encoding/binary"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Machine is where Detect looks.
type Machine struct {
	// Root is the root directory.
	Root fs.FS
	// CPUID asks the processor; nil when it cannot be asked.
	CPUID func(leaf, sub uint32) ([4]uint32, bool)
	// Environ is the value of a variable of this process.
	Environ func(string) string
}

// Found is what the system runs in; both empty on bare metal.
type Found struct {
	// Container and VM are names of systemd-detect-virt(1); "container-other" and
	// "vm-other" are ones that it does not know.
	Container, VM string
	// PrivateUsers says that this is not the first user namespace.
	PrivateUsers bool
}

// Innermost is the name that counts when both are there, "none" for neither.
func (f Found) Innermost() string {
	switch {
	case f.Container != "":
		return f.Container
	case f.VM != "":
		return f.VM
	}
	return "none"
}

// Detect looks.
func Detect(m Machine) Found {
	return Found{Container: m.container(), VM: m.vm(), PrivateUsers: m.privateUsers()}
}

// text is the trimmed start of a file, "" when there is none. Files of /proc have no
// size, so the bound is on what is kept.
func (m Machine) text(name string) string {
	b, err := fs.ReadFile(m.Root, name)
	if err != nil {
		return ""
	}
	const most = 64 << 10
	return strings.TrimSpace(string(b[:min(len(b), most)]))
}

func (m Machine) exists(name string) bool {
	_, err := fs.Stat(m.Root, name)
	return err == nil
}

var containers = map[string]bool{
	"openvz": true, "lxc": true, "lxc-libvirt": true, "systemd-nspawn": true, "docker": true, "podman": true,
	"rkt": true, "wsl": true, "proot": true, "pouch": true,
}

func (m Machine) container() string {
	if m.exists("proc/vz") && !m.exists("proc/bc") {
		return "openvz"
	}
	release := strings.ToLower(m.text("proc/sys/kernel/osrelease"))
	if strings.Contains(release, "microsoft") || strings.HasSuffix(release, "wsl2") {
		return "wsl"
	}
	if pid := field(m.text("proc/self/status"), "TracerPid"); pid != "" && pid != "0" {
		if n, err := strconv.Atoi(pid); err == nil && n > 0 && strings.HasPrefix(m.text("proc/"+pid+"/comm"), "proot") {
			return "proot"
		}
	}
	if name := m.text("run/host/container-manager"); name != "" {
		return m.named(name)
	}
	// The container's interface: PID 1 is given $container.
	if m.Environ != nil {
		if name := m.Environ("container"); name != "" {
			return m.named(name)
		}
	}
	for v := range strings.SplitSeq(m.text("proc/1/environ"), "\x00") {
		if name, ok := strings.CutPrefix(v, "container="); ok && name != "" {
			return m.named(name)
		}
	}
	if name := m.text("run/systemd/container"); name != "" {
		return m.named(name)
	}
	return m.byFiles()
}

// named refines what a container manager calls itself.
func (m Machine) named(name string) string {
	if name == "oci" {
		if by := m.byFiles(); by != "" {
			return by
		}
	}
	if containers[name] {
		return name
	}
	return "container-other"
}

func (m Machine) byFiles() string {
	switch {
	case m.exists("run/.containerenv"):
		return "podman"
	case m.exists(".dockerenv"):
		return "docker"
	}
	return ""
}

func (m Machine) privateUsers() bool {
	f := strings.Fields(m.text("proc/self/uid_map"))
	return len(f) >= 3 && !(f[0] == "0" && f[1] == "0" && f[2] == "4294967295")
}

// vendors are the signatures of CPUID leaf 0x40000000.
var vendors = map[string]string{
	"KVMKVMKVM": "kvm", "Linux KVM Hv": "kvm", "TCGTCGTCGTCG": "qemu", "VMwareVMware": "vmware", "Microsoft Hv": "microsoft",
	"XenVMMXenVMM": "xen", "bhyve bhyve ": "bhyve", "QNXQVMBSQG": "qnx", "ACRNACRNACRN": "acrn", "SRESRESRESRE": "sre", "Apple VZ": "apple",
}

// products are starts of what DMI tables say.
var products = []struct{ start, name string }{
	{"KVM", "kvm"}, {"OpenStack", "kvm"}, {"KubeVirt", "kvm"}, {"Amazon EC2", "amazon"}, {"QEMU", "qemu"},
	{"VMware", "vmware"}, {"VMW", "vmware"}, {"innotek GmbH", "oracle"}, {"VirtualBox", "oracle"}, {"Oracle Corporation", "oracle"},
	{"Xen", "xen"}, {"Bochs", "bochs"}, {"Parallels", "parallels"}, {"BHYVE", "bhyve"}, {"Hyper-V", "microsoft"},
	{"Apple Virtualization", "apple"}, {"Google Compute Engine", "google"},
}

func (m Machine) vm() string {
	if strings.Contains(m.text("proc/cpuinfo"), "User Mode Linux") {
		return "uml"
	}
	dmi := m.dmi()
	// These show the signature of what they are built on.
	switch dmi {
	case "oracle", "xen", "amazon", "parallels":
		return dmi
	}
	if m.text("sys/hypervisor/type") == "xen" {
		if strings.Contains(m.text("proc/xen/capabilities"), "control_d") {
			return "" // the privileged domain is the machine itself
		}
		return "xen"
	}
	byCPU, hypervisor := m.byCPUID()
	switch {
	case byCPU != "":
		return byCPU
	case dmi != "":
		return dmi
	}
	if name := m.deviceTree(); name != "" {
		return name
	}
	if s := m.text("proc/sysinfo"); strings.Contains(s, "VM00 Control Program") {
		if strings.Contains(s, "z/VM") {
			return "zvm"
		}
		return "kvm"
	}
	if hypervisor {
		return "vm-other"
	}
	return ""
}

// byCPUID names the hypervisor, and says whether there is one at all.
func (m Machine) byCPUID() (string, bool) {
	if m.CPUID == nil {
		return "", false
	}
	const present = 1 << 31 // leaf 1, ECX: zero on bare metal
	one, ok := m.CPUID(1, 0)
	if !ok || one[2]&present == 0 {
		return "", false
	}
	sig, ok := m.CPUID(0x40000000, 0)
	if !ok {
		return "", true
	}
	var b [12]byte
	for i := range 3 {
		binary.LittleEndian.PutUint32(b[4*i:], sig[i+1])
	}
	return vendors[strings.TrimRight(string(b[:]), "\x00")], true
}

func (m Machine) dmi() string {
	for _, file := range []string{"product_name", "sys_vendor", "board_vendor", "bios_vendor", "product_version"} {
		s := m.text(path.Join("sys/class/dmi/id", file))
		for _, p := range products {
			if !strings.HasPrefix(s, p.start) {
				continue
			}
			if p.name == "amazon" && strings.HasSuffix(m.text("sys/class/dmi/id/product_name"), ".metal") {
				return "" // sold as bare metal
			}
			return p.name
		}
	}
	return ""
}

func (m Machine) deviceTree() string {
	switch h := strings.TrimRight(m.text("proc/device-tree/hypervisor/compatible"), "\x00"); {
	case h == "linux,kvm":
		return "kvm"
	case strings.Contains(h, "xen"):
		return "xen"
	case strings.Contains(h, "vmware"):
		return "vmware"
	case h != "":
		return "vm-other"
	}
	if m.exists("proc/device-tree/ibm,partition-name") && m.exists("proc/device-tree/hmc-managed?") {
		return "powervm"
	}
	entries, _ := fs.ReadDir(m.Root, "proc/device-tree")
	for _, e := range entries {
		if strings.Contains(e.Name(), "fw-cfg") {
			return "qemu"
		}
	}
	return ""
}

// field is the value of "name: value" in a status file.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
