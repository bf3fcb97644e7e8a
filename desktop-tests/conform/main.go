// conform compares the systemd1 interface that a running bridge (or systemd) shows with
// the recording of systemd 257, member by member.
//
//	go run ./desktop-tests/conform [-private /run/systemd/private | -bus ADDRESS] [-excused docs/systemd1.md]
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/testkit/conform"
)

func main() {
	private := flag.String("private", "/run/systemd/private", "the private socket")
	bus := flag.String("bus", "", "the address of a message bus, instead of the private socket")
	excused := flag.String("excused", "docs/systemd1.md", "the page that explains what is missing")
	flag.Parse()
	n, err := run(*private, *bus, *excused)
	if err != nil {
		fmt.Fprintln(os.Stderr, "conform:", err)
		os.Exit(2)
	}
	if n > 0 {
		os.Exit(1)
	}
}

// objects have, together, every interface. Units need not exist: all paths do.
var objects = []string{"", "/unit/a_2eservice", "/unit/a_2esocket", "/unit/a_2etimer", "/unit/a_2epath", "/unit/a_2emount", "/unit/a_2eautomount",
	"/unit/a_2eslice", "/unit/a_2escope", "/unit/a_2edevice"}

func run(private, bus, excused string) (wrong int, err error) {
	address := bus
	dest := "org.freedesktop.systemd1"
	if bus == "" {
		address = "unix:path=" + private
		dest = ""
	}
	c, err := dbus.Dial(address)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.Auth(nil); err != nil {
		return 0, err
	}
	if bus != "" {
		if err := c.Hello(); err != nil {
			return 0, err
		}
	}
	var shown []conform.Member
	seen := map[string]bool{}
	for _, o := range objects {
		var text string
		if err := c.Object(dest, dbus.ObjectPath("/org/freedesktop/systemd1"+o)).Call("org.freedesktop.DBus.Introspectable.Introspect", 0).Store(&text); err != nil {
			return 0, fmt.Errorf("introspect %q: %w", o, err)
		}
		list, err := conform.Shown(text)
		if err != nil {
			return 0, err
		}
		for _, m := range list {
			if !seen[m.Name] {
				seen[m.Name] = true
				shown = append(shown, m)
			}
		}
	}
	page, err := os.ReadFile(excused)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	known := conform.Excused(string(page))
	explained := 0
	for _, d := range conform.Compare(shown) {
		name, _, _ := strings.Cut(strings.Fields(d)[1], ":")
		if known[name] || strings.HasPrefix(name, "Job.") { // a job exists only while one runs
			explained++
			continue
		}
		wrong++
		fmt.Println(d)
	}
	fmt.Printf("%d members shown, %d recorded; %d differences explained, %d not\n", len(shown), len(conform.Recorded()), explained, wrong)
	return wrong, nil
}
