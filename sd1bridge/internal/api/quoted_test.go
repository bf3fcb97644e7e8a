package api

import (
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"
)

// As systemd 257 showed the processes of a unit.
func TestQuoted(t *testing.T) {
	for word, want := range map[string]string{"sshd-session: user [priv]": `"sshd-session: user [priv]"`, "(sd-pam)": `"(sd-pam)"`, "$x": `"\$x"`, `q"q`: `"q\"q"`,
		"s's": `"s's"`, `back\slash`: `"back\\slash"`, "t\tt": `"t\tt"`, "ü": "ü", "a=b": "a=b", "~": "~", "#x": "#x", "{a}": "{a}", "a*b": `"a*b"`, "a;b": `"a;b"`,
		"a`b": "\"a\\`b\"", "": `""`, "--address=systemd:": "--address=systemd:", "%": "%", "a,b": "a,b", "a!b": `"a!b"`} {
		if got := quoted(word); got != want {
			t.Errorf("%q is shown as %s; want %s", word, got, want)
		}
	}
}

// What a process calls itself fits into a message, whatever bytes and however many.
func TestCommandOf(t *testing.T) {
	for _, args := range [][]string{{"\xffsh", "-c", "read x"}, {"sh", "-c", "read x", strings.Repeat("x", 100000)}} {
		c := exec.Command("/bin/sh")
		c.Args = args
		if _, err := c.StdinPipe(); err != nil { // what it waits for
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		got := commandOf(uint32(c.Process.Pid))
		_ = c.Process.Kill()
		_ = c.Wait()
		if got == "" || !utf8.ValidString(got) || len(got) > 2*maxCommand {
			t.Errorf("%.20q is shown as %.40q, of %d bytes", args, got, len(got))
		}
	}
}
