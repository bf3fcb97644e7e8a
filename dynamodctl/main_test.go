package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"dynamod/dynamodctl/internal/cli"
	"dynamod/dynamodctl/internal/fake"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/script")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"dynamodctl": func() { os.Exit(cli.Run(os.Args[1:], os.Stdout, os.Stderr)) },
		// A manager to look at by hand: build the test binary, call it
		// fake-svmgr, and give it a socket.
		"fake-svmgr": fakeManager,
	})
}

// TestScripts runs the program itself, from each file of testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"code": code, "asked": asked},
		Setup: func(env *testscript.Env) error {
			// Not below $WORK: a socket's path has room for 107 bytes.
			dir, err := os.MkdirTemp("", "ctl")
			if err != nil {
				return err
			}
			socket := filepath.Join(dir, "s")
			m, err := fake.Listen(socket)
			if err != nil {
				return err
			}
			env.Defer(func() {
				m.Close()
				os.RemoveAll(dir)
			})
			env.Values["manager"] = m
			env.Setenv("DYNAMOD_SOCKET", socket)
			env.Setenv("SOCKET", socket)
			env.Setenv("TZ", "UTC")
			return nil
		},
	})
}

// asked checks that the fake manager was asked for something: asked REGEXP.
func asked(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: asked REGEXP")
	}
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	all := ts.Value("manager").(*fake.Manager).Asked()
	if slices.ContainsFunc(all, re.MatchString) == neg {
		ts.Fatalf("asked %s: %v; the manager was asked:\n%s", args[0], !neg, strings.Join(all, "\n"))
	}
}

func fakeManager() {
	m, err := fake.Listen(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	m.Close()
}

// code runs a command that must end with exactly this exit code: code 2 dynamodctl …
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM ARGUMENTS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d; want %d", got, want)
	}
}
