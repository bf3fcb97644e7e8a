package seccomp

import (
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
)

// Action is what becomes of a system call (seccomp(2)).
type Action uint32

const (
	Kill  Action = 0x80000000 // the process, with SIGSYS
	Log   Action = 0x7ffc0000
	Allow Action = 0x7fff0000
)

// Errno lets the call fail with the error number, 0 to 4095.
func Errno(n int) Action { return Action(0x00050000 | uint32(n)&0xfff) }

// test is a condition on one argument: what is left of it under the mask must be
// one of the values.
type test struct {
	arg    int
	mask   uint64
	values []uint64
	// not inverts the condition.
	not bool
}

// rule gives a call an action when all tests hold. The first rule of a call that
// holds is taken.
type rule struct {
	tests []test
	do    Action
}

// filter is one program before it is compiled: rules by call, and what becomes of
// every other call.
type filter struct {
	name  string
	rules map[string][]rule
	other Action
	// unknown is for calls that have no name here.
	unknown Action
	// only says that a machine must not appear at all: Kill for all calls.
	only map[string]bool
}

// A Program is what one setting became: struct sock_filter after struct sock_filter.
type Program struct {
	Name string
	Code []bpf.RawInstruction
}

// Offsets in struct seccomp_data.
const (
	offNR   = 0
	offArch = 4
	offArgs = 16
)

// maxCode is BPF_MAXINSNS.
const maxCode = 4096

func (f *filter) compile(goarch string) (Program, error) {
	list := abis(goarch)
	if list == nil {
		return Program{}, fmt.Errorf("%s: system calls of %s are not known", f.name, goarch)
	}
	var code []bpf.Instruction
	code = append(code, bpf.LoadAbsolute{Off: offArch, Size: 4})
	for i := 0; i < len(list); i++ {
		a := list[i]
		var body []bpf.Instruction
		body = append(body, bpf.LoadAbsolute{Off: offNR, Size: 4})
		if i+1 < len(list) && list[i+1].x32 {
			// The calls of x32 lie above those of x86-64.
			upper := f.tree(list[i+1], list[i+1].leaves(f))
			lower := f.tree(a, a.leaves(f))
			body = append(body, jump(bpf.JumpGreaterOrEqual, x32Bit, lower)...)
			body = append(append(body, lower...), upper...)
			i++
		} else {
			body = append(body, f.tree(a, a.leaves(f))...)
		}
		code = append(code, unless(a.audit, body)...)
	}
	end := Allow
	if f.only != nil {
		end = Kill // no twin of this machine that anybody has heard of
	}
	code = append(code, bpf.RetConstant{Val: uint32(end)})
	if len(code) > maxCode {
		return Program{}, fmt.Errorf("%s: the filter has %d instructions, more than the kernel takes", f.name, len(code))
	}
	raw, err := bpf.Assemble(code)
	if err != nil {
		return Program{}, fmt.Errorf("%s: %w", f.name, err)
	}
	return Program{f.name, raw}, nil
}

// unless runs body when the accumulator is the value, and skips it otherwise. Every
// body ends in returns.
func unless(value uint32, body []bpf.Instruction) []bpf.Instruction {
	if len(body) < 256 {
		return append([]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipFalse: uint8(len(body))}}, body...)
	}
	return append([]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipTrue: 1}, bpf.Jump{Skip: uint32(len(body))}}, body...)
}

// jump skips body when the condition holds. The caller appends it.
func jump(cond bpf.JumpTest, value uint32, body []bpf.Instruction) []bpf.Instruction {
	if len(body) < 256 {
		return []bpf.Instruction{bpf.JumpIf{Cond: cond, Val: value, SkipTrue: uint8(len(body))}}
	}
	return []bpf.Instruction{bpf.JumpIf{Cond: cond, Val: value, SkipFalse: 1}, bpf.Jump{Skip: uint32(len(body))}}
}

// leaf is what becomes of the numbers from first up to the next leaf.
type leaf struct {
	first uint32
	rules []rule // the last one has no tests
}

// leaves lists, in the order of numbers, where the treatment changes.
func (a abi) leaves(f *filter) []leaf {
	if f.only != nil && !f.only[a.name] {
		return []leaf{{0, []rule{{do: Kill}}}}
	}
	type numbered struct {
		nr    uint32
		rules []rule
	}
	var all []numbered
	for _, r := range numbers {
		nr, ok := a.number(r.name)
		if !ok {
			continue
		}
		rules := f.rules[r.name]
		if n := len(rules); n == 0 || len(rules[n-1].tests) > 0 {
			rules = append(slices.Clip(rules), rule{do: f.other})
		}
		all = append(all, numbered{nr, rules})
	}
	slices.SortFunc(all, func(x, y numbered) int { return int(x.nr&^x32Bit) - int(y.nr&^x32Bit) })
	out := []leaf{{0, []rule{{do: f.unknown}}}}
	add := func(first uint32, rules []rule) {
		if last := &out[len(out)-1]; sameRules(last.rules, rules) {
			return
		} else if last.first == first {
			last.rules = rules
			return
		}
		out = append(out, leaf{first, rules})
	}
	next := uint32(0)
	for _, n := range all {
		if n.nr&^x32Bit > next {
			add(next|n.nr&x32Bit, []rule{{do: f.unknown}})
		}
		add(n.nr, n.rules)
		next = n.nr&^x32Bit + 1
	}
	bit := uint32(0)
	if a.x32 {
		bit = x32Bit
	}
	add(next|bit, []rule{{do: f.unknown}})
	return out
}

func sameRules(a, b []rule) bool {
	return len(a) == 1 && len(b) == 1 && len(a[0].tests) == 0 && len(b[0].tests) == 0 && a[0].do == b[0].do
}

// tree searches the leaves by halves.
func (f *filter) tree(a abi, leaves []leaf) []bpf.Instruction {
	if len(leaves) == 1 {
		return leaves[0].code()
	}
	half := len(leaves) / 2
	lower, upper := f.tree(a, leaves[:half]), f.tree(a, leaves[half:])
	code := jump(bpf.JumpGreaterOrEqual, leaves[half].first, lower)
	return append(append(code, lower...), upper...)
}

func (l leaf) code() []bpf.Instruction {
	var out []bpf.Instruction
	for _, r := range l.rules {
		ret := []bpf.Instruction{bpf.RetConstant{Val: uint32(r.do)}}
		if len(r.tests) == 0 {
			return append(out, ret...)
		}
		for _, t := range slices.Backward(r.tests) {
			ret = t.code(ret)
		}
		out = append(out, ret...)
	}
	return out
}

// code runs then, which ends in a return, when the test holds, and goes on after it
// otherwise. An argument is looked at in two halves; the upper one is not looked
// at when the mask has none of it, because the kernel does not look there either.
func (t test) code(then []bpf.Instruction) []bpf.Instruction {
	// For each value: load, mask and compare both halves; a mismatch goes to the
	// next value.
	var out []bpf.Instruction
	lowOff, highOff := uint32(offArgs+8*t.arg), uint32(offArgs+8*t.arg+4)
	if bigEndian {
		lowOff, highOff = highOff, lowOff
	}
	one := func(v uint64) []bpf.Instruction {
		var c []bpf.Instruction
		if hi := uint32(t.mask >> 32); hi != 0 {
			c = append(c, bpf.LoadAbsolute{Off: highOff, Size: 4}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: hi},
				bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(v >> 32), SkipFalse: 4})
		}
		return append(c, bpf.LoadAbsolute{Off: lowOff, Size: 4}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: uint32(t.mask)},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(v), SkipFalse: 1})
	}
	// Each value's block ends with a jump to "matched"; after the last one comes
	// "not matched".
	var blocks [][]bpf.Instruction
	for _, v := range t.values {
		blocks = append(blocks, append(one(v), bpf.Jump{}))
	}
	total := 0
	for _, b := range blocks {
		total += len(b)
	}
	at := 0
	for _, b := range blocks {
		at += len(b)
		// Matched: over the other blocks, and over the jump that ends them.
		skip := total - at + 1
		if t.not {
			skip = total - at + 1 + len(then)
		}
		b[len(b)-1] = bpf.Jump{Skip: uint32(skip)}
		out = append(out, b...)
	}
	if t.not {
		out = append(out, bpf.Jump{Skip: 0})
	} else {
		out = append(out, bpf.Jump{Skip: uint32(len(then))})
	}
	return append(out, then...)
}
