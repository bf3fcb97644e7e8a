package unit

import (
	"encoding/json"
	"reflect"
	"testing"
)

// checkRecorded writes the unit down and reads it back: what it says, where it was
// said and what its loader knew are the same.
func checkRecorded(t *testing.T, src Source) {
	t.Helper()
	src.Keep = true
	u, _ := Build(src)
	u.Path = "/etc/" + u.Path
	data, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	var v Unit
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	if x, y := Canonical(u), Canonical(&v); x != y {
		t.Fatalf("written down and read back:\n%s---\n%s---\n%s", x, y, data)
	}
	if !reflect.DeepEqual(u.Assigned(), v.Assigned()) {
		t.Fatalf("assigned were %+v, are %+v", u.Assigned(), v.Assigned())
	}
	if u.Path != v.Path || !reflect.DeepEqual(u.DropIns, v.DropIns) || u.Perpetual != v.Perpetual || u.Shadows != v.Shadows || u.Format != v.Format {
		t.Fatalf("was %+v, is %+v", u, v)
	}
	again, err := json.Marshal(&v)
	if err != nil || string(again) != string(data) {
		t.Fatalf("written down again (%v):\n%s\n%s", err, data, again)
	}
}

func TestRecorded(t *testing.T) {
	host := func(b byte) (string, bool) {
		return map[byte]string{'t': "/run", 'H': "h\xe4user"}[b], b == 't' || b == 'H'
	}
	for name, src := range map[string]Source{
		"of files": {Name: "a@i.service", HasMain: true, Aliases: []string{"b@i.service"}, Specifiers: host,
			Files: []File{unitFile("/lib/a@.service", "[Unit]\nDescription=%H \xff %i\n[Service]\nExecStart=/bin/x %t/%p \\\n  more\nEnvironment=A=1 B=2"),
				unitFile("/etc/a@.service.d/x.conf", "[Service]\nExecStart=\nExecStart=/bin/y")},
			Links: []Link{{Dir: "wants", Name: "c.service"}}},
		"no file":   {Name: "gone.service"},
		"bad":       {Name: "bad.service", HasMain: true, Files: []File{unitFile("/lib/bad.service", "[Service]\nType=nonsense\nExecStart=x")}},
		"perpetual": {Name: "-.slice"},
		"shadowing": {Name: "n.service", Format: Native, HasMain: true, Shadows: "/lib/n.service",
			Files: []File{unitFile("/etc/n.toml", "[service]\nexec = x\nenvironment.A = 1\n[restart]\npolicy=permanent")}},
	} {
		t.Run(name, func(t *testing.T) { checkRecorded(t, src) })
	}
	// What the host says later does not count.
	u, _ := Build(Source{Name: "a.service", HasMain: true, Specifiers: host, Keep: true,
		Files: []File{unitFile("/lib/a.service", "[Service]\nExecStart=/bin/x %H")}})
	data, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	var v Unit
	if err := json.Unmarshal(data, &v); err != nil || Text(ExecStart.Setting(), v.Assigned()[0].Value) != Text(ExecStart.Setting(), u.Assigned()[0].Value) {
		t.Errorf("the host's word: %v, %s, %s", err, data, Canonical(&v))
	}
	if _, err := json.Marshal(&Unit{Name: "x.service"}); err == nil {
		t.Error("a unit without its sources was written down")
	}
}

func FuzzRecorded(f *testing.F) {
	f.Add([]byte(`{"Name":"a.service","HasMain":true,"Files":[{"Path":"/x","Fragments":[{"Section":"Service","Key":"ExecStart","Text":["/w=="]}]}]}`))
	f.Add([]byte(`{"Name":"","Load":200}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var u Unit
		if json.Unmarshal(data, &u) != nil {
			return
		}
		if _, err := json.Marshal(&u); err != nil {
			t.Fatal(err)
		}
	})
}
