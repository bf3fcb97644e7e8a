package cgroupbpf

import (
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// pinnedAt are the attach types by the words of systemd.resource-control(5),
// BPFProgram=.
var pinnedAt = map[string]ebpf.AttachType{
	"egress": ebpf.AttachCGroupInetEgress, "ingress": ebpf.AttachCGroupInetIngress, "sock_create": ebpf.AttachCGroupInetSockCreate,
	"sock_ops": ebpf.AttachCGroupSockOps, "device": ebpf.AttachCGroupDevice, "bind4": ebpf.AttachCGroupInet4Bind, "bind6": ebpf.AttachCGroupInet6Bind,
	"connect4": ebpf.AttachCGroupInet4Connect, "connect6": ebpf.AttachCGroupInet6Connect,
	"post_bind4": ebpf.AttachCGroupInet4PostBind, "post_bind6": ebpf.AttachCGroupInet6PostBind,
	"sendmsg4": ebpf.AttachCGroupUDP4Sendmsg, "sendmsg6": ebpf.AttachCGroupUDP6Sendmsg, "sysctl": ebpf.AttachCGroupSysctl,
	"recvmsg4": ebpf.AttachCGroupUDP4Recvmsg, "recvmsg6": ebpf.AttachCGroupUDP6Recvmsg,
	"getsockopt": ebpf.AttachCGroupGetsockopt, "setsockopt": ebpf.AttachCGroupSetsockopt,
}

// Pinned attaches a program that somebody has pinned in a BPF file system. kind is a word
// of BPFProgram=; one that there is not gives EINVAL.
func Pinned(dir, kind, path string) error {
	at, ok := pinnedAt[kind]
	if !ok {
		var words []string
		for w := range pinnedAt {
			words = append(words, w)
		}
		slices.Sort(words)
		return fmt.Errorf("%q is no kind of program, which are %v: %w", kind, words, unix.EINVAL)
	}
	prog, err := ebpf.LoadPinnedProgram(path, nil)
	if err != nil {
		return fmt.Errorf("program %s: %w", path, err)
	}
	return attachTo(dir, path, prog, at)
}
