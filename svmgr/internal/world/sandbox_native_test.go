package world

import (
	"os"
	"strings"
	"testing"
)

// W58: the [namespace] table of native files does what it says.
func TestW58NativeSandbox(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/here", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for p := dir; p != "/tmp" && p != "/"; p = p[:strings.LastIndexByte(p, '/')] {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := newRig(t)
	code := func(namespace, script string) int32 {
		t.Helper()
		text := "[service]\nname = \"n\"\nexec = [\"/bin/sh\", \"-c\", '''" + script + "''']\n"
		if namespace != "" {
			text += "[namespace]\n" + namespace + "\n"
		}
		failed, exit := r.lifeOf(r.spawn(nativeService(t, "n.service", text)))
		if failed != nil {
			t.Fatalf("%s: %+v", namespace, failed)
		}
		return exit.Code
	}
	for _, c := range []struct{ setting, denied, works string }{
		{"private-tmp = true", "test -e " + dir + "/here", "touch /tmp/x /var/tmp/x && test $(ls /tmp) = x"},
		{`protect-system = "yes"`, "touch /usr/dynamod-test && rm /usr/dynamod-test", "touch /var/tmp/dynamod-test && rm /var/tmp/dynamod-test"},
		{`bind-mounts = [{source = "` + dir + `", target = "/mnt"}]`, "test ! -e /mnt/here", "test -e /mnt/here && ! touch /mnt/x 2>/dev/null"},
		{`bind-mounts = [{source = "` + dir + `", target = "/mnt", writable = true}]`, "test ! -e /mnt/here", "touch /mnt/x && rm /mnt/x"},
	} {
		if got := code(c.setting, c.works); got != 0 {
			t.Errorf("%s: what must work gives %d: %s", c.setting, got, c.works)
		}
		if got := code(c.setting, c.denied); got == 0 {
			t.Errorf("%s: what must fail works: %s", c.setting, c.denied)
		}
		if got := code("", c.denied); got != 0 {
			t.Errorf("without %s it fails too (%d): %s", c.setting, got, c.denied)
		}
	}
}
