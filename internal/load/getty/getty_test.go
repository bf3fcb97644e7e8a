package getty

import (
	"strings"
	"testing"
)

func text(cs []Console) string {
	var out []string
	for _, c := range cs {
		s := c.TTY
		if c.Virtual {
			s += "(vt)"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestConsoles(t *testing.T) {
	for _, c := range []struct {
		name string
		m    Machine
		want string
	}{
		{"a PC", Machine{Active: "tty0", VirtualTerminals: true}, "tty1(vt)"},
		{"a PC with a serial console", Machine{Active: "tty0 ttyS0\n", VirtualTerminals: true}, "tty1(vt) ttyS0"},
		{"a serial console only", Machine{Active: "ttyS0"}, "ttyS0"},
		{"a board", Machine{Active: "ttyAMA0"}, "ttyAMA0"},
		{"hypervisors", Machine{Active: "hvc0 xvc0"}, "hvc0 xvc0"},
		{"a screen that is no console", Machine{Active: "ttyS0", VirtualTerminals: true}, "tty1(vt) ttyS0"},
		{"without sysfs the command line counts", Machine{Cmdline: "quiet console=tty0 console=ttyS1,115200n8"}, "tty1(vt) ttyS1"},
		{"with sysfs it does not", Machine{Active: "ttyS0", Cmdline: "console=ttyS1"}, "ttyS0"},
		{"nothing is known", Machine{}, ""},
		{"consoles that only write", Machine{Active: "netcon0 ttynull pstore-1 ttyS0"}, "ttyS0"},
		{"turned off", Machine{Active: "ttyS0", VirtualTerminals: true, Cmdline: "a systemd.getty_auto=no b"}, ""},
		{"the last word counts", Machine{Active: "ttyS0", Cmdline: "systemd.getty_auto=no systemd.getty_auto=yes"}, "ttyS0"},
		{"names that lead elsewhere", Machine{Active: "../sda /dev/ttyS0 tty;S0 ttyS0"}, "ttyS0"},
		{"twice", Machine{Active: "ttyS0 ttyS0 tty0 tty3"}, "ttyS0 tty1(vt)"},
	} {
		if got := text(Consoles(c.m)); got != c.want {
			t.Errorf("%s: %q; want %q", c.name, got, c.want)
		}
	}
}

// Whatever the kernel is made to say: every name stays below /dev, none comes
// twice, and there are not too many.
func FuzzConsoles(f *testing.F) {
	f.Add("tty0 ttyS0", "console=hvc0,9600 systemd.getty_auto=1", true)
	f.Add("a/b ../c", "console= console=/x", false)
	f.Fuzz(func(t *testing.T, active, cmdline string, vt bool) {
		seen := map[string]bool{}
		cs := Consoles(Machine{active, cmdline, vt})
		if len(cs) > maxConsoles {
			t.Fatalf("%d consoles", len(cs))
		}
		for _, c := range cs {
			if c.TTY == "" || c.TTY[0] == '/' || strings.Contains(c.TTY, "..") || strings.ContainsAny(c.TTY, " \n%\x00") || seen[c.TTY] {
				t.Fatalf("bad or double console %q", c.TTY)
			}
			seen[c.TTY] = true
		}
	})
}
