package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/sd1bridge/internal/translate"
)

// A unit of which one property alone is longer than a message of the manager.
func TestLongProperties(t *testing.T) {
	var paths []string
	for k := range 4_000 {
		paths = append(paths, fmt.Sprintf("/a/path/that/is/rather/long/%d", k))
	}
	argument := strings.Repeat("x<", 40_000)
	b := start(t, map[string]string{"big.service": "[Unit]\nRequiresMountsFor=" + strings.Join(paths, " ") + "\n[Service]\nExecStart=/bin/echo " + argument + "\n"})
	c, err := b.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all := map[string]dbus.Variant{}
	o := c.Object("org.freedesktop.systemd1", dbus.ObjectPath(translate.UnitPath("big.service")))
	if err := o.Call("org.freedesktop.DBus.Properties.GetAll", 0, "").Store(&all); err != nil {
		t.Fatal(err)
	}
	if got, ok := all["RequiresMountsFor"].Value().([]string); !ok || strings.Join(got, " ") != strings.Join(paths, " ") {
		t.Errorf("%d paths of %d", len(got), len(paths))
	}
	commands, ok := all["ExecStart"].Value().([][]any)
	if !ok || len(commands) != 1 || strings.Join(commands[0][1].([]string), " ") != "/bin/echo "+argument {
		t.Errorf("ExecStart: %d commands, %.100v", len(commands), all["ExecStart"])
	}
}
