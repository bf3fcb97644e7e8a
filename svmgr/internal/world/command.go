package world

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/envfile"
	"dynamod/internal/unit"
)

// command works out what is executed: variables in the arguments, the program's
// place below the root directory, and the shell for the prefix "|"
// (systemd.service(5), "Command lines").
func command(x unit.Exec, e *environment, id identity, root string) (path string, argv []string, err error) {
	argv = x.Argv
	if !x.NoEnvExpand && len(argv) > 0 {
		argv = append([]string{argv[0]}, expandArgs(argv[1:], e.get)...)
	}
	path = x.Path
	if x.Shell {
		shell := id.shell
		if shell == "" {
			shell = "/bin/sh"
		}
		line := make([]string, 0, len(argv))
		line = append(line, path)
		if len(argv) > 1 {
			line = append(line, argv[1:]...)
		}
		argv0 := shell
		if len(x.Argv) > 0 && x.Argv[0] != x.Path {
			// With "@" it is a login shell.
			argv0 = "-" + shell[strings.LastIndexByte(shell, '/')+1:]
		}
		return shell, []string{argv0, "-c", strings.Join(line, " ")}, nil
	}
	if strings.IndexByte(path, '/') < 0 {
		dirs, _ := e.get("PATH")
		found, err := findProgram(root, path, dirs)
		if err != nil {
			return "", nil, at("exec", err)
		}
		path = found
	}
	if len(argv) == 0 {
		argv = []string{path}
	}
	return path, argv, nil
}

func findProgram(root, name, dirs string) (string, error) {
	if root == "" {
		root = "/"
	}
	top, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("%s: %w", root, err)
	}
	defer unix.Close(top)
	for dir := range strings.SplitSeq(dirs, ":") {
		if dir == "" || dir[0] != '/' {
			continue
		}
		p := dir + "/" + name
		fd, err := unix.Openat2(top, p, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
		if err != nil {
			continue
		}
		var st unix.Stat_t
		err = unix.Fstat(fd, &st)
		unix.Close(fd)
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Mode&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s is in none of %s: %w", name, dirs, unix.ENOENT)
}

// expandArgs replaces variables: "$FOO" as a word of its own becomes the words of
// the value, "${FOO}" anywhere becomes the value as it is, and "$$" a dollar. What
// is not set is empty.
func expandArgs(args []string, get func(string) (string, bool)) []string {
	out := make([]string, 0, len(args))
	for _, a := range args {
		if len(a) > 1 && a[0] == '$' && envfile.ValidName(a[1:]) {
			v, _ := get(a[1:])
			out = append(out, splitValue(v)...)
			continue
		}
		out = append(out, expandWord(a, get))
	}
	return out
}

func expandWord(s string, get func(string) (string, bool)) string {
	if strings.IndexByte(s, '$') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		switch s[i+1] {
		case '$':
			b.WriteByte('$')
			i++
			continue
		case '{':
			if end := strings.IndexByte(s[i:], '}'); end > 0 && envfile.ValidName(s[i+2:i+end]) {
				v, _ := get(s[i+2 : i+end])
				b.WriteString(v)
				i += end
				continue
			}
		}
		b.WriteByte('$')
	}
	return b.String()
}

// splitValue splits a variable's value at blanks; quotes keep words together and
// are removed.
func splitValue(v string) (out []string) {
	var b strings.Builder
	open := false
	quote := byte(0)
	for i := 0; i < len(v); i++ {
		c := v[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, open = c, true
		case c == '\\' && quote != '\'' && i+1 < len(v):
			i++
			b.WriteByte(v[i])
			open = true
		case quote == 0 && strings.IndexByte(" \t\n\r", c) >= 0:
			if open {
				out = append(out, b.String())
				b.Reset()
				open = false
			}
		default:
			b.WriteByte(c)
			open = true
		}
	}
	if open {
		out = append(out, b.String())
	}
	return out
}
