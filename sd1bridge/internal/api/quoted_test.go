package api

import "testing"

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
