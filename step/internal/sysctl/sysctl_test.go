package sysctl

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

func tree(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

func show(p *Plan) string {
	var b strings.Builder
	for _, s := range p.Settings {
		opt := ""
		if s.Optional {
			opt = "?"
		}
		fmt.Fprintf(&b, "%s%s=%s ", s.Path, opt, s.Value)
	}
	return strings.TrimSpace(b.String())
}

func TestPrecedence(t *testing.T) {
	p, errs := Read(tree(
		"usr/lib/sysctl.d/10-a.conf", "kernel.a=vendor\nkernel.b = vendor b\n",
		"etc/sysctl.d/10-a.conf", "kernel.a=admin\n",
		"usr/lib/sysctl.d/20-b.conf", "kernel.c=1\nkernel/c=2\n",
		"run/sysctl.d/20-b.conf", "kernel.c=3\n",
		"etc/sysctl.d/90-z.conf", "kernel.a=later\n",
		"etc/sysctl.d/ignored", "kernel.x=1\n",
		"etc/sysctl.conf", "kernel.c=last\n",
	))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if got, want := show(p), "kernel/a=later kernel/c=last"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
	if p.Settings[0].From != "/etc/sysctl.d/90-z.conf:1" {
		t.Errorf("From = %s", p.Settings[0].From)
	}
}

func TestMask(t *testing.T) {
	m := tree("usr/lib/sysctl.d/10-a.conf", "kernel.a=1\n")
	m["etc/sysctl.d/10-a.conf"] = &fstest.MapFile{Data: []byte("/dev/null"), Mode: 0o777 | 1<<27} // fs.ModeSymlink
	p, errs := Read(m)
	if len(p.Settings) > 0 || len(errs) > 0 {
		t.Errorf("masked: %s, %v; want nothing", show(p), errs)
	}
}

func TestSyntax(t *testing.T) {
	for _, c := range []struct{ text, want, err string }{
		{"# x\n; y\n\nnet.ipv4.ip_forward = 1", "net/ipv4/ip_forward=1", ""},
		{"net.ipv4.conf.enp3s0/200.forwarding=0", "net/ipv4/conf/enp3s0.200/forwarding=0", ""},
		{"net/ipv4/conf/enp3s0.200/forwarding=0", "net/ipv4/conf/enp3s0.200/forwarding=0", ""},
		{"-net.x=1", "net/x?=1", ""},
		{"kernel.core_pattern=|/bin/a %p=%s", "kernel/core_pattern=|/bin/a %p=%s", ""},
		{"kernel.empty=", "kernel/empty=", ""},
		{"net.ipv4.conf.*.rp_filter=2\n-net.ipv4.conf.all.rp_filter", "net/ipv4/conf/*/rp_filter=2", ""},
		{"nonsense", "", ":1: \"nonsense\" is not NAME=VALUE"},
		{"../../etc/passwd=x", "", "names no kernel setting"},
		{"a/../b=x", "", "names no kernel setting"},
		{"=x", "", "names no kernel setting"},
		{"a.[=x", "", "bad pattern"},
	} {
		p, errs := Read(tree("etc/sysctl.d/a.conf", c.text))
		if got := show(p); got != c.want {
			t.Errorf("%q: %s; want %s", c.text, got, c.want)
		}
		if c.err == "" != (len(errs) == 0) || c.err != "" && !strings.Contains(fmt.Sprint(errs), c.err) {
			t.Errorf("%q: errors %v; want %q", c.text, errs, c.err)
		}
	}
	p, _ := Read(tree("etc/sysctl.d/a.conf", "n.*.f=2\n-n.all.f\nn.eth0.f=1\n"))
	if !p.Spares("n/all/f") || !p.Spares("n/eth0/f") || p.Spares("n/eth1/f") {
		t.Error("patterns must leave alone exactly the variables that lines name")
	}
}

// Whatever is in the files, every path stays below /proc/sys.
func FuzzRead(f *testing.F) {
	f.Add("a.b=c\n-x/../y=1\n*.?=[")
	f.Fuzz(func(t *testing.T, text string) {
		p, _ := Read(tree("etc/sysctl.d/a.conf", text))
		for _, s := range p.Settings {
			for part := range strings.SplitSeq(s.Path, "/") {
				if part == "" || part == "." || part == ".." {
					t.Fatalf("path %q of %s", s.Path, s.From)
				}
			}
		}
	})
}
