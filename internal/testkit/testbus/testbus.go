// Package testbus is a message bus of a test's own, with a polkit whose answers the test
// chooses, and callers of another user.
package testbus

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/testkit"
)

// Bus is a dbus-daemon on which everybody may do everything.
type Bus struct {
	*Daemon
	Polkit *Polkit
}

// Start begins a bus that ends with the test. more is put into its configuration.
func Start(t testing.TB, more string) *Bus {
	t.Helper()
	b := &Bus{Daemon: NewDaemon(t, Open+more).Start()}
	b.Polkit = &Polkit{allow: map[string]bool{}}
	c := b.Client()
	if err := c.Export(b.Polkit, "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RequestName("org.freedesktop.PolicyKit1", dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	return b
}

// Polkit answers for polkit: no, until Allow.
type Polkit struct {
	mu    sync.Mutex
	allow map[string]bool
	asked []string
	alone bool
}

// Subject and Result are (sa{sv}) and (bba{ss}) of CheckAuthorization.
type (
	Subject struct {
		Kind    string
		Details map[string]dbus.Variant
	}
	Result struct {
		Authorized, Challenge bool
		Details               map[string]string
	}
)

// CheckAuthorization is polkit's. Who is not allowed could be by a password, which an
// agent asks for if that is wanted; it is not given.
func (p *Polkit) CheckAuthorization(_ Subject, action string, _ map[string]string, flags uint32, _ string) (Result, *dbus.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, fmt.Sprintf("%s %d", action, flags))
	return Result{p.allow[action], !p.allow[action] && (flags == 0 || p.alone), map[string]string{}}, nil
}

// Allow lets everybody do what an action stands for.
func (p *Polkit) Allow(action string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allow[action] = true
}

// Alone takes the agent away: polkit, wherever it is told to ask, says that it would.
func (p *Polkit) Alone() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.alone = true
}

// Forget takes back what was allowed, and what was asked.
func (p *Polkit) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.allow)
	p.asked = nil
}

// Asked is what it was asked since the last time: actions and flags.
func (p *Polkit) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.asked
	p.asked = nil
	return out
}

const caller = "testbus-call"

// Callers lets a package use CallAsUser: its tests say
//
//	var _ = testbus.Callers()
func Callers() struct{} { return testkit.Register(caller, call) }

func call(args []string) {
	c, err := dbus.Connect("unix:path=" + args[0])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for line := range strings.SplitSeq(strings.Join(args[1:], "\x00"), "\x00--\x00") {
		one(c, strings.Split(line, "\x00"))
	}
}

// one makes one call and prints one line.
func one(c *dbus.Conn, words []string) {
	var values []any
	for _, a := range words[3:] {
		kind, text, _ := strings.Cut(a, ":")
		switch kind {
		case "s":
			values = append(values, text)
		case "b":
			values = append(values, text == "true")
		case "x":
			n, _ := strconv.ParseInt(text, 10, 64)
			values = append(values, n)
		case "as":
			values = append(values, strings.Fields(text))
		default:
			panic("no such kind of argument: " + a)
		}
	}
	done := c.Object(words[0], dbus.ObjectPath(words[1])).Call(words[2], 0, values...)
	switch err := done.Err.(type) {
	case nil:
		fmt.Println("ok", done.Body)
	case dbus.Error:
		fmt.Println(err.Name, err.Body)
	default:
		fmt.Println(err)
		os.Exit(1)
	}
}

// nobody is a user who is not root.
const nobody = 65534

// CallAsUser calls a method as a user who is not root, with arguments such as "s:text",
// "b:true", "x:5" and "as:one two", and returns "ok" with the answer, or the error's name
// and text.
func (b *Bus) CallAsUser(dest, path, method string, args ...string) string {
	b.t.Helper()
	return b.CallsAsUser(append([]string{dest, path, method}, args...))[0]
}

// CallsAsUser does so for several calls, one after the other.
func (b *Bus) CallsAsUser(calls ...[]string) []string {
	b.t.Helper()
	words := append([]string{b.Socket}, calls[0]...)
	for _, c := range calls[1:] {
		words = append(append(words, "--"), c...)
	}
	argv := testkit.Command(b.t, caller, words...)
	cmd := exec.Command(argv[0], argv[1:]...)
	if os.Getuid() == 0 {
		// The test's own directory is root's alone; the program is handed on.
		self, err := os.Open(argv[0])
		if err != nil {
			b.t.Fatal(err)
		}
		defer self.Close()
		cmd.ExtraFiles = []*os.File{self}
		cmd.Path = "/proc/self/fd/3"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.t.Fatalf("%q as another user: %v\n%s", calls, err, out)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(answers) != len(calls) {
		b.t.Fatalf("%d calls, and these answers:\n%s", len(calls), out)
	}
	return answers
}
