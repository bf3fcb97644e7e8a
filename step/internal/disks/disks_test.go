package disks

import (
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	out := "/dev/vda1: LABEL=\"my root\" UUID=\"4a3e\" BLOCK_SIZE=\"4096\" TYPE=\"ext4\" PARTUUID=\"00-01\"\n" + // util-linux
		"/dev/sdb: TYPE=\"vfat\"\n" + // BusyBox
		"/dev/sdc: LABEL=\"a \\\"quoted\\\" \\\\ one\" TYPE=\"xfs\"\n" +
		"nonsense\n/dev/../etc/passwd: UUID=\"x\"\n/etc/passwd: UUID=\"x\"\n/dev/sdd: \n/dev/sde: UUID=\"open\n"
	var got []string
	for _, d := range Parse(out) {
		got = append(got, fmt.Sprintf("%s %s|%s|%s|%s", d.Path, d.Tags["TYPE"], d.Tags["UUID"], d.Tags["LABEL"], d.Tags["PARTUUID"]))
	}
	want := "/dev/vda1 ext4|4a3e|my root|00-01\n/dev/sdb vfat|||\n/dev/sdc xfs||a \"quoted\" \\ one|"
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("got\n%s\nwant\n%s", s, want)
	}
}

// A label is the user's text: it makes no second tag and no other device.
func FuzzParseLabel(f *testing.F) {
	f.Add("x\" UUID=\"evil")
	f.Add(`\`)
	f.Fuzz(func(t *testing.T, label string) {
		if strings.ContainsAny(label, "\n") {
			return
		}
		esc := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(label)
		ds := Parse("/dev/sda: LABEL=\"" + esc + "\" UUID=\"1-2\"\n")
		if len(ds) != 1 || ds[0].Tags["LABEL"] != label || ds[0].Tags["UUID"] != "1-2" || len(ds[0].Tags) != 2 {
			t.Fatalf("label %q: %+v", label, ds)
		}
	})
}
