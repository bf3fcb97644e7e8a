// conform compares an interface that a running bridge, logind or hostnamed (or systemd)
// shows with the recording of systemd 257, member by member.
//
//	go run ./desktop-tests/conform [-private /run/systemd/private | -bus ADDRESS] [-excused docs/systemd1.md]
//	go run ./desktop-tests/conform -service login1 -bus unix:path=/run/dbus/system_bus_socket -excused docs/login1.md
//	go run ./desktop-tests/conform -service hostname1 -bus unix:path=/run/dbus/system_bus_socket -excused docs/hostname1.md
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/testkit/conform"
)

func main() {
	private := flag.String("private", "/run/systemd/private", "the private socket")
	bus := flag.String("bus", "", "the address of a message bus, instead of the private socket")
	service := flag.String("service", "systemd1", "systemd1, or with -bus: login1, which needs a session to look at, hostname1, timedate1, locale1")
	excused := flag.String("excused", "docs/systemd1.md", "the page that explains what is missing")
	flag.Parse()
	n, err := run(*service, *private, *bus, *excused)
	if err != nil {
		fmt.Fprintln(os.Stderr, "conform:", err)
		os.Exit(2)
	}
	if n > 0 {
		os.Exit(1)
	}
}

// objects have, together, every interface of a service. Units need not exist: all paths
// do. A session and a user of login1 are looked for.
var objects = map[string][]string{"login1": {"", "/seat/seat0"}, "hostname1": {""}, "timedate1": {""}, "locale1": {""}, "systemd1": {"", "/unit/a_2eservice", "/unit/a_2esocket", "/unit/a_2etimer", "/unit/a_2epath", "/unit/a_2emount", "/unit/a_2eautomount",
	"/unit/a_2eslice", "/unit/a_2escope", "/unit/a_2edevice"}}

func run(service, private, bus, excused string) (wrong int, err error) {
	address := bus
	dest := "org.freedesktop." + service
	objects, known := objects[service]
	if !known || service != "systemd1" && bus == "" {
		return 0, fmt.Errorf("%s: the services are systemd1, and on a bus login1, hostname1, timedate1, locale1", service)
	}
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
	if service == "login1" {
		var sessions []struct {
			ID   string
			UID  uint32
			Name string
			Seat string
			Path dbus.ObjectPath
		}
		if err := c.Object(dest, "/org/freedesktop/login1").Call("org.freedesktop.login1.Manager.ListSessions", 0).Store(&sessions); err != nil {
			return 0, err
		}
		if len(sessions) == 0 {
			return 0, errors.New("login1 has no session to look at: log in first")
		}
		objects = append(slices.Clone(objects), strings.TrimPrefix(string(sessions[0].Path), "/org/freedesktop/login1"), fmt.Sprintf("/user/_%d", sessions[0].UID))
	}
	var shown []conform.Member
	seen := map[conform.Member]bool{}
	for _, o := range objects {
		var text string
		if err := c.Object(dest, dbus.ObjectPath("/org/freedesktop/"+service+o)).Call("org.freedesktop.DBus.Introspectable.Introspect", 0).Store(&text); err != nil {
			return 0, fmt.Errorf("introspect %q: %w", o, err)
		}
		list, err := conform.ShownOf(service, text)
		if err != nil {
			return 0, err
		}
		for _, m := range list {
			if !seen[m] {
				seen[m] = true
				shown = append(shown, m)
			}
		}
	}
	page, err := os.ReadFile(excused)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	explains := conform.Excused(string(page))
	explained := 0
	for _, d := range conform.CompareOf(service, shown) {
		name, _, _ := strings.Cut(strings.Fields(d)[1], ":")
		if explains[name] || strings.HasPrefix(name, "Job.") { // a job exists only while one runs
			explained++
			continue
		}
		wrong++
		fmt.Println(d)
	}
	fmt.Printf("%d members shown, %d recorded; %d differences explained, %d not\n", len(shown), len(conform.RecordedOf(service)), explained, wrong)
	return wrong, nil
}
