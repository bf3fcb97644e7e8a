package virt

import (
	"encoding/binary"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
)

func hypervisor(sig string) func(leaf, sub uint32) ([4]uint32, bool) {
	return func(leaf, sub uint32) ([4]uint32, bool) {
		switch leaf {
		case 1:
			return [4]uint32{2: 1 << 31}, true
		case 0x40000000:
			b := make([]byte, 12)
			copy(b, sig)
			return [4]uint32{1: binary.LittleEndian.Uint32(b), 2: binary.LittleEndian.Uint32(b[4:]), 3: binary.LittleEndian.Uint32(b[8:])}, true
		}
		return [4]uint32{}, false
	}
}

func TestDetect(t *testing.T) {
	bare := func(leaf, sub uint32) ([4]uint32, bool) { return [4]uint32{}, true }
	for _, c := range []struct {
		name  string
		files map[string]string
		cpu   func(leaf, sub uint32) ([4]uint32, bool)
		env   string
		want  Found
	}{
		{name: "bare metal", cpu: bare, files: map[string]string{"sys/class/dmi/id/sys_vendor": "LENOVO", "proc/self/uid_map": "0 0 4294967295"}},
		{name: "kvm", cpu: hypervisor("KVMKVMKVM"), files: map[string]string{"sys/class/dmi/id/sys_vendor": "QEMU"}, want: Found{VM: "kvm"}},
		{name: "tcg", cpu: hypervisor("TCGTCGTCGTCG"), want: Found{VM: "qemu"}},
		{name: "virtualbox on kvm", cpu: hypervisor("KVMKVMKVM"), files: map[string]string{"sys/class/dmi/id/product_name": "VirtualBox"}, want: Found{VM: "oracle"}},
		{name: "ec2", cpu: hypervisor("KVMKVMKVM"), files: map[string]string{"sys/class/dmi/id/sys_vendor": "Amazon EC2", "sys/class/dmi/id/product_name": "t3.micro"}, want: Found{VM: "amazon"}},
		{name: "ec2 metal", cpu: bare, files: map[string]string{"sys/class/dmi/id/sys_vendor": "Amazon EC2", "sys/class/dmi/id/product_name": "m5.metal"}},
		{name: "unknown hypervisor", cpu: hypervisor("whatever"), want: Found{VM: "vm-other"}},
		{name: "xen guest", files: map[string]string{"sys/hypervisor/type": "xen\n"}, want: Found{VM: "xen"}},
		{name: "xen dom0", files: map[string]string{"sys/hypervisor/type": "xen\n", "proc/xen/capabilities": "control_d\n"}},
		{name: "uml", files: map[string]string{"proc/cpuinfo": "vendor_id\t: User Mode Linux\n"}, want: Found{VM: "uml"}},
		{name: "arm kvm", files: map[string]string{"proc/device-tree/hypervisor/compatible": "linux,kvm\x00"}, want: Found{VM: "kvm"}},
		{name: "qemu device tree", files: map[string]string{"proc/device-tree/fw-cfg@9020000/reg": ""}, want: Found{VM: "qemu"}},
		{name: "z/VM", files: map[string]string{"proc/sysinfo": "VM00 Control Program: z/VM 6.4"}, want: Found{VM: "zvm"}},
		{name: "docker in kvm", cpu: hypervisor("KVMKVMKVM"), files: map[string]string{".dockerenv": ""}, want: Found{Container: "docker", VM: "kvm"}},
		{name: "podman", files: map[string]string{"run/.containerenv": ""}, env: "oci", want: Found{Container: "podman"}},
		{name: "nspawn", files: map[string]string{"run/host/container-manager": "systemd-nspawn\n"}, want: Found{Container: "systemd-nspawn"}},
		{name: "lxc by pid 1", files: map[string]string{"proc/1/environ": "A=b\x00container=lxc\x00"}, want: Found{Container: "lxc"}},
		{name: "by our environment", env: "mine", want: Found{Container: "container-other"}},
		{name: "wsl", files: map[string]string{"proc/sys/kernel/osrelease": "5.15.0-microsoft-standard-WSL2"}, want: Found{Container: "wsl"}},
		{name: "openvz", files: map[string]string{"proc/vz/x": ""}, want: Found{Container: "openvz"}},
		{name: "openvz host", files: map[string]string{"proc/vz/x": "", "proc/bc/x": ""}},
		{name: "proot", files: map[string]string{"proc/self/status": "TracerPid:\t77\n", "proc/77/comm": "proot\n"}, want: Found{Container: "proot"}},
		{name: "a debugger", files: map[string]string{"proc/self/status": "TracerPid:\t77\n", "proc/77/comm": "gdb\n"}},
		{name: "user namespace", files: map[string]string{"proc/self/uid_map": "0 1000 1\n"}, want: Found{PrivateUsers: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range c.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			got := Detect(Machine{Root: root, CPUID: c.cpu, Environ: func(k string) string {
				if k == "container" {
					return c.env
				}
				return ""
			}})
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// The same answer as systemd-detect-virt gives on this machine.
func TestAgainstSystemdDetectVirt(t *testing.T) {
	tool, err := exec.LookPath("systemd-detect-virt")
	if err != nil {
		t.Skip(err)
	}
	out, _ := exec.Command(tool).Output() // it fails when the answer is "none"
	want := strings.TrimSpace(string(out))
	if got := Detect(Machine{os.DirFS("/"), CPUID, os.Getenv}).Innermost(); got != want {
		t.Errorf("got %s, systemd-detect-virt says %s", got, want)
	}
}
