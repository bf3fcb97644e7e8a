package cgroupbpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Packets says which packets the sockets of a directory's processes send and
// receive.
type Packets struct {
	// Allow goes before Deny; what is in neither is allowed. The address is that
	// of the other side.
	Allow, Deny []netip.Prefix
	// Interfaces are the only ones that are used, or, with Except, those that
	// are not. nil is no restriction.
	Interfaces []uint32
	Except     bool
	Restrict   bool
	// Count counts packets and bytes, for Traffic.
	Count bool
}

const counterMap = "dynamod_count"

// Filter attaches programs for both directions.
func Filter(dir string, p Packets) error {
	var maps []*ebpf.Map
	defer func() {
		for _, m := range maps {
			m.Close() // the programs hold them
		}
	}()
	trie := func(list []netip.Prefix, v6 bool) (*ebpf.Map, error) {
		m, err := newTrie(list, v6)
		if m != nil {
			maps = append(maps, m)
		}
		return m, err
	}
	var tries [2][2]*ebpf.Map // by family, then allow and deny
	for f, v6 := range []bool{false, true} {
		for i, list := range [][]netip.Prefix{p.Allow, p.Deny} {
			var err error
			if tries[f][i], err = trie(list, v6); err != nil {
				return err
			}
		}
	}
	var counter *ebpf.Map
	if p.Count {
		m, err := ebpf.NewMap(&ebpf.MapSpec{Name: counterMap, Type: ebpf.Array, KeySize: 4, ValueSize: 16, MaxEntries: 2})
		if err != nil {
			return fmt.Errorf("a map for counters: %w", unsupported(err))
		}
		maps, counter = append(maps, m), m
	}
	for i, at := range []ebpf.AttachType{ebpf.AttachCGroupInetIngress, ebpf.AttachCGroupInetEgress} {
		code := p.program(i == 1, tries, counter)
		if err := attach(dir, "dynamod_ip", ebpf.ProgramSpec{Type: ebpf.CGroupSKB, AttachType: at}, code); err != nil {
			return err
		}
	}
	return nil
}

func unsupported(err error) error {
	if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return err
}

// newTrie is a map of the prefixes of a family, nil when there are none.
func newTrie(list []netip.Prefix, v6 bool) (*ebpf.Map, error) {
	var keys [][]byte
	for _, p := range list {
		if p.Addr().Is6() != v6 {
			continue
		}
		// struct bpf_lpm_trie_key: the length in the machine's order.
		key := make([]byte, 4, 20)
		binary.NativeEndian.PutUint32(key, uint32(p.Bits()))
		keys = append(keys, append(key, p.Masked().Addr().AsSlice()...))
	}
	if len(keys) == 0 {
		return nil, nil
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "dynamod_prefix", Type: ebpf.LPMTrie, KeySize: uint32(len(keys[0])), ValueSize: 1,
		MaxEntries: uint32(len(keys)), Flags: unix.BPF_F_NO_PREALLOC})
	if err != nil {
		return nil, fmt.Errorf("a map for addresses: %w", unsupported(err))
	}
	for _, k := range keys {
		if err := m.Put(k, []byte{1}); err != nil {
			m.Close()
			return nil, fmt.Errorf("a map for addresses: %w", err)
		}
	}
	return m, nil
}

// Offsets in struct __sk_buff, and of addresses in the headers.
const (
	skbLen, skbProtocol, skbIfindex = 0, 16, 40
)

// program decides on one packet: 1 lets it pass.
func (p *Packets) program(egress bool, tries [2][2]*ebpf.Map, counter *ebpf.Map) asm.Instructions {
	if p.Restrict && !p.Except && len(p.Interfaces) == 0 {
		return answer(0)
	}
	code := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	drops := p.Restrict && (!p.Except || len(p.Interfaces) > 0) // the verifier takes no code that is never reached
	if p.Restrict {
		code = append(code, asm.LoadMem(asm.R2, asm.R6, skbIfindex, asm.Word))
		found := "drop"
		if !p.Except {
			found = "address"
		}
		for _, i := range p.Interfaces {
			code = append(code, asm.JEq.Imm(asm.R2, int32(i), found))
		}
		if !p.Except {
			code = append(code, asm.Ja.Label("drop"))
		}
	}
	code = append(code, asm.LoadMem(asm.R7, asm.R6, skbProtocol, asm.Word).WithSymbol("address"), asm.HostTo(asm.BE, asm.R7, asm.Half))
	for f, family := range []struct {
		protocol, from, to, size int32
		name                     string
	}{{0x0800, 12, 16, 4, "v4"}, {0x86dd, 8, 24, 16, "v6"}} {
		if tries[f][0] == nil && tries[f][1] == nil {
			continue
		}
		drops = true
		off := family.from
		if egress {
			off = family.to
		}
		next := "not_" + family.name
		code = append(code, asm.JNE.Imm(asm.R7, family.protocol, next),
			// The key lies at -24: the length, then the address.
			asm.StoreImm(asm.RFP, -24, int64(family.size*8), asm.Word),
			asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, off), asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, -20),
			asm.Mov.Imm(asm.R4, family.size), asm.FnSkbLoadBytes.Call(), asm.JSLT.Imm(asm.R0, 0, "drop"))
		for i, to := range []string{"pass", "drop"} {
			if m := tries[f][i]; m != nil {
				code = append(code, asm.LoadMapPtr(asm.R1, m.FD()), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -24),
					asm.FnMapLookupElem.Call(), asm.JNE.Imm(asm.R0, 0, to))
			}
		}
		code = append(code, asm.Ja.Label("pass"), asm.Mov.Imm(asm.R0, 0).WithSymbol(next))
	}
	code = append(code, asm.Mov.Imm(asm.R0, 1).WithSymbol("pass"))
	if counter != nil {
		key := int64(0)
		if egress {
			key = 1
		}
		code = append(code, asm.StoreImm(asm.RFP, -4, key, asm.Word), asm.LoadMapPtr(asm.R1, counter.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -4), asm.FnMapLookupElem.Call(), asm.JEq.Imm(asm.R0, 0, "counted"),
			asm.LoadMem(asm.R1, asm.R6, skbLen, asm.Word), asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
			asm.Add.Imm(asm.R0, 8), asm.Mov.Imm(asm.R1, 1), asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
			asm.Mov.Imm(asm.R0, 1).WithSymbol("counted"))
	}
	code = append(code, asm.Return())
	if drops {
		code = append(code, asm.Mov.Imm(asm.R0, 0).WithSymbol("drop"), asm.Return())
	}
	return code
}

// Traffic is what was counted, in bytes and packets.
type Traffic struct{ InBytes, InPackets, OutBytes, OutPackets uint64 }

// Count reads the counters of dir. It finds them by the programs that are attached,
// so that they outlive the manager. ok says that there are any.
func Count(dir string) (t Traffic, ok bool, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return t, false, err
	}
	defer f.Close()
	attached, err := link.QueryPrograms(link.QueryOptions{Target: int(f.Fd()), Attach: ebpf.AttachCGroupInetIngress})
	if err != nil {
		return t, false, fmt.Errorf("programs of %s: %w", dir, err)
	}
	for _, a := range attached.Programs {
		if found, err := t.read(a.ID); err != nil || found {
			return t, found, err
		}
	}
	return t, false, nil
}

func (t *Traffic) read(id ebpf.ProgramID) (bool, error) {
	prog, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return false, fmt.Errorf("program %d: %w", id, err)
	}
	defer prog.Close()
	info, err := prog.Info()
	if err != nil {
		return false, fmt.Errorf("program %d: %w", id, err)
	}
	ids, _ := info.MapIDs()
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			return false, fmt.Errorf("map %d: %w", id, err)
		}
		defer m.Close()
		mi, err := m.Info()
		if err != nil || mi.Name != counterMap {
			continue
		}
		var in, out [2]uint64
		if err := errors.Join(m.Lookup(uint32(0), &in), m.Lookup(uint32(1), &out)); err != nil {
			return false, err
		}
		*t = Traffic{in[0], in[1], out[0], out[1]}
		return true, nil
	}
	return false, nil
}
