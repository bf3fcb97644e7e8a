package mount

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in    string
		flags uintptr
		data  string
		prop  []uintptr
		bad   bool
	}{
		{"", 0, "", nil, false},
		{"defaults,nofail,_netdev,x-systemd.after=a.service,comment=x", 0, "", nil, false},
		{"ro,nosuid,mode=0755,noexec,exec", unix.MS_RDONLY | unix.MS_NOSUID, "mode=0755", nil, false},
		{"rbind,rw,rslave,private", unix.MS_BIND | unix.MS_REC, "", []uintptr{unix.MS_SLAVE | unix.MS_REC, unix.MS_PRIVATE}, false},
		{`context="a,b",size=1M`, 0, `context="a,b",size=1M`, nil, false},
		{"ro=recursive", 0, "ro=recursive", nil, false},
		{"loop", 0, "", nil, true},
		{"loop=/dev/loop0,ro", 0, "", nil, true},
	} {
		o, err := Parse(c.in)
		if (err != nil) != c.bad {
			t.Errorf("%s: %v", c.in, err)
		}
		if err == nil && (o.Flags != c.flags || o.Data != c.data || !slices.Equal(o.Propagation, c.prop)) {
			t.Errorf("%s: %+v", c.in, o)
		}
	}
}

// What is refused names the reason and what to do.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"mount UUID=1234 /mnt", "tag"},
		{"mount LABEL=x /mnt", "tag"},
		{"mount -o loop /x /mnt", "mount(8)"},
		{"swapon -o pri=40000 /dev/null", "priority"},
		{"swapon -o nonsense /dev/null", "nonsense"},
		{"mount a", "operands"},
		{"mount -o", "needs a value"},
	} {
		if err := run(strings.Fields(c.args)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.args, err)
		}
	}
}

// Nothing is lost between the flags and the data: every option is one, the other, or
// known to be for others.
func FuzzOptions(f *testing.F) {
	f.Add(`ro,a=b,"x,y",nofail`)
	f.Fuzz(func(t *testing.T, text string) {
		o, err := Parse(text)
		if err != nil {
			return
		}
		for _, d := range Split(o.Data) {
			if !slices.Contains(Split(text), d) {
				t.Errorf("%q: data %q were made up", text, d)
			}
		}
		again, err := Parse(o.Data)
		if err != nil || again.Data != o.Data || again.Flags != 0 {
			t.Errorf("%q: the data %q are not only data: %+v, %v", text, o.Data, again, err)
		}
	})
}
