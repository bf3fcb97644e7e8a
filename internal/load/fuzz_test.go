package load

import (
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"

	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// fuzzPaths are the places that a fuzzed tree can fill.
var fuzzPaths = []string{
	etc + "a.service", usr + "a.service", etc + "b.service", usr + "b@.service", etc + "b@x.service", etc + "c@.service", etc + "a.socket",
	etc + "a.service.d/1.conf", usr + "service.d/1.conf", etc + "a.service.d", etc + "a.service.wants/b@y.service", etc + "a.service.wants/c@.service",
	etc + "a.service.requires", etc + "x-y.slice", etc + "m.mount", etc + "default.target", "etc/fstab", "etc/systemd", "lib", "opt/x",
	svcs + "a.toml", svcs + "t@.toml", usvcs + "a.toml", sups + "s.toml", "run/systemd/transient", "etc/dynamod/supervisors",
}

// decode makes a tree: place, kind and length, then the content.
func decode(data []byte) fstest.MapFS {
	m := fstest.MapFS{}
	for len(data) >= 3 {
		p, kind, n := fuzzPaths[int(data[0])%len(fuzzPaths)], data[1]%4, int(data[2])
		data = data[3:]
		n = min(n, len(data))
		f := &fstest.MapFile{Data: data[:n], Mode: 0o644}
		data = data[n:]
		switch kind {
		case 1:
			f.Mode = fs.ModeSymlink | 0o777
		case 2:
			f.Data, f.Mode = nil, fs.ModeDir|0o755
		case 3:
			f.Data, f.Mode = nil, fs.ModeNamedPipe|0o644
		}
		m[p] = f
	}
	return m
}

func encode(pairs ...string) []byte {
	var out []byte
	for i := 0; i+1 < len(pairs); i += 2 {
		kind, text := byte(0), pairs[i+1]
		switch {
		case len(text) > 3 && text[:3] == "-> ":
			kind, text = 1, text[3:]
		case text == "/":
			kind, text = 2, ""
		}
		out = append(out, byte(slices.Index(fuzzPaths, pairs[i])), kind, byte(len(text)))
		out = append(out, text...)
	}
	return out
}

// FuzzLoadTree: a good unit is loaded whatever stands beside it, names are
// valid and unique, the result is bounded and does not depend on the order in
// which workers run.
func FuzzLoadTree(f *testing.F) {
	f.Add(encode(etc+"a.service", "[Service]\nExecStart=/bin/x %i\nSlice=a-%p.slice\n", usr+"b@.service", "[Unit]\nWants=b@%i1.service b@%i2.service\n", etc+"b@x.service", "-> c@x.service"))
	f.Add(encode(svcs+"a.toml", "[service]\nname = \"a\"\nexec = [\"/x\"]\n[timer]\non-calendar = \"daily\"\n", sups+"s.toml", "[supervisor]\nname = \"s\"\nparent = \"s\"\n"))
	f.Add(encode(etc+"a.service", "-> /opt/x", "opt/x", "-> ../etc/systemd/system/a.service", "lib", "-> lib", etc+"a.service.d/1.conf", "[Unit]\nAfter=\n"))
	f.Add(encode("etc/fstab", "/dev/a / ext4\n/dev/b /m x x-systemd.requires=a.service\n", etc+"m.mount", "", etc+"default.target", "-> /dev/null"))
	f.Add(encode(etc+"a.service.wants/b@y.service", "-> ../b@.service", etc+"a.service.requires", "/", etc+"a.socket", "-> a.service", "etc/systemd", "-> /opt/x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<12 {
			return
		}
		m := decode(data)
		const good = "usr/local/lib/systemd/system/zz-good.service"
		m[good] = &fstest.MapFile{Data: []byte(say("good"))}
		cfg := Config{FS: m, Fstab: "/etc/fstab", MaxInstances: 50}
		set, ds := Load(cfg)
		u, ok := set.Find("zz-good.service")
		switch {
		case !ok:
			t.Fatal("the good unit is missing")
		case u.Format == unit.Native:
		case u.Path != "/"+good || len(u.DropIns) == 0 && u.Load != unit.Loaded:
			t.Fatalf("the good unit is %v from %q", u.Load, u.Path)
		}
		if len(set.Units) > len(data)+100 {
			t.Fatalf("%d units from %d bytes", len(set.Units), len(data))
		}
		for i, u := range set.Units {
			if !unitname.Valid(u.Name) || i > 0 && set.Units[i-1].Name >= u.Name {
				t.Fatalf("bad or unsorted name %q", u.Name)
			}
		}
		again, ds2 := Load(cfg)
		if !slices.Equal(ds, ds2) || !slices.EqualFunc(set.Units, again.Units, func(a, b *unit.Unit) bool { return dump(a) == dump(b) }) {
			t.Fatal("two loads of one tree differ")
		}
	})
}
