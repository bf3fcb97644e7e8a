package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// mode is how the manager was started; it decides directories and how it ends.
type mode uint8

const (
	// system runs under dynamod-init and manages the machine.
	system mode = iota
	// container is the first process of a pid namespace: it reaps, stops
	// everything in order on TERM, INT or RTMIN+3, and exits with a code.
	container
	// user is one user's manager.
	user
	// standalone needs no privilege and no machine: a directory of services.
	standalone
)

func (m mode) String() string { return [...]string{"system", "container", "user", "standalone"}[m] }

// settings are the command line and the environment, made sense of.
type settings struct {
	mode       mode
	configDir  string
	runtimeDir string
	target     string
	version    bool
	// canTakeOver only tries to read what the manager that runs has written down.
	canTakeOver bool
}

// errUsage ends the program with 2.
var errUsage = errors.New("usage")

// parse reads the command line. getenv and pid are those of the process.
func parse(args []string, getenv func(string) string, pid int, errs io.Writer) (settings, error) {
	var s settings
	fs := flag.NewFlagSet("dynamod-svmgr", flag.ContinueOnError)
	fs.SetOutput(errs)
	alone := fs.Bool("standalone", false, "run by itself, without privilege; needs -config-dir and -runtime-dir")
	inContainer := fs.Bool("container", false, "run as the first process of a container")
	isUser := fs.Bool("user", false, "run as this user's manager")
	fs.StringVar(&s.configDir, "config-dir", "", "directory with services/, supervisors/ and units/ (standalone)")
	fs.StringVar(&s.runtimeDir, "runtime-dir", "", "directory for sockets and state (standalone; default for the others)")
	fs.StringVar(&s.target, "target", "", "unit to start instead of default.target")
	fs.BoolVar(&s.version, "version", false, "print the version and exit")
	fs.BoolVar(&s.canTakeOver, "can-take-over", false, "check that this program could go on for the manager that runs, and exit")
	if err := fs.Parse(args); err != nil {
		return s, errUsage
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(errs, "dynamod-svmgr: unexpected argument %q; see -help\n", fs.Arg(0))
		return s, errUsage
	}
	chosen := 0
	for _, c := range []struct {
		on bool
		m  mode
	}{{*alone, standalone}, {*inContainer, container}, {*isUser, user}} {
		if c.on {
			chosen++
			s.mode = c.m
		}
	}
	if chosen > 1 {
		fmt.Fprintln(errs, "dynamod-svmgr: -standalone, -container and -user exclude each other")
		return s, errUsage
	}
	if chosen == 0 && wantsContainer(getenv, pid) {
		s.mode = container
	}
	if s.mode == standalone && (s.configDir == "" || s.runtimeDir == "") {
		fmt.Fprintln(errs, "dynamod-svmgr: -standalone needs -config-dir and -runtime-dir")
		return s, errUsage
	}
	if s.runtimeDir == "" {
		s.runtimeDir = "/run/dynamod"
		if s.mode == user {
			xdg := getenv("XDG_RUNTIME_DIR")
			if xdg == "" {
				fmt.Fprintln(errs, "dynamod-svmgr: -user needs $XDG_RUNTIME_DIR, which is not set; log in through PAM or set it")
				return s, errUsage
			}
			s.runtimeDir = filepath.Join(xdg, "dynamod")
		}
	}
	for _, d := range []*string{&s.configDir, &s.runtimeDir} {
		if *d == "" {
			continue
		}
		abs, err := filepath.Abs(*d)
		if err != nil {
			return s, fmt.Errorf("find %s: %w", *d, err)
		}
		*d = abs
	}
	return s, nil
}

// wantsContainer reads the signs of a container (features.md C-25): being told so,
// or being the first process without an init above.
func wantsContainer(getenv func(string) string, pid int) bool {
	for _, name := range []string{"DYNAMOD_CONTAINER", "ZINIT_CONTAINER"} {
		switch strings.ToLower(getenv(name)) {
		case "1", "true", "yes", "on":
			return true
		}
	}
	return pid == 1 && getenv("DYNAMOD_INIT_FD") == "" || getenv("container") != "" && pid == 1
}

// childProgram is the helper that becomes each service: beside the manager, or
// where packages put it. pam is the one for units with PAMName=, "" where it is not
// installed: it takes glibc and libpam.
func childProgram() (helper, pam string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", "", fmt.Errorf("find this program: %w", err)
	}
	for _, p := range []string{filepath.Join(filepath.Dir(self), "dynamod-child"), "/usr/lib/dynamod/dynamod-child"} {
		if !isProgram(p) {
			continue
		}
		if with := filepath.Join(filepath.Dir(p), "dynamod-pam"); isProgram(with) {
			pam = with
		}
		return p, pam, nil
	}
	return "", "", fmt.Errorf("dynamod-child is neither beside %s nor in /usr/lib/dynamod; nothing could be started", self)
}

// argv is a program without arguments, or none.
func argv(path string) []string {
	if path == "" {
		return nil
	}
	return []string{path}
}

func isProgram(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// passedOn are the variables that services get from the manager's own environment.
// A user's services live in the user's session and get what it was given (HOME, LANG,
// XDG_RUNTIME_DIR, …), but for what is about this process alone; a machine's get its
// language, and others none: what a service needs, its unit says (PassEnvironment=).
func passedOn(s settings, own []string) []string {
	switch s.mode {
	case system:
		return machineLocale()
	case user:
	default:
		return nil
	}
	var out []string
	for _, v := range own {
		switch name, _, _ := strings.Cut(v, "="); name {
		case "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID", "WATCHDOG_PID", "WATCHDOG_USEC",
			"MAINPID", "MANAGERPID", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "EXIT_CODE", "EXIT_STATUS",
			"SERVICE_RESULT", "CREDENTIALS_DIRECTORY", "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE", "_":
		default:
			out = append(out, v)
		}
	}
	return out
}
