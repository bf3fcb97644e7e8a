package access

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"

	"dynamod/internal/diag"
)

// Path is the file of the system's manager.
const Path = "/etc/dynamod/access.toml"

// Load reads a file. One that does not exist has no rules. One that somebody else
// than root or the manager's own user could write is not used.
func Load(file string, accounts Accounts) (*Rules, []diag.Diag) {
	refuse := func(code, hint, message string) (*Rules, []diag.Diag) {
		return &Rules{Closed: true}, []diag.Diag{{Pos: diag.Pos{File: file}, Severity: diag.Error, Code: code, Message: message, Hint: hint}}
	}
	// Not blocking: a FIFO of that name must not hang the manager.
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return &Rules{}, nil
	} else if err != nil {
		return refuse("unreadable", "", err.Error())
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return refuse("unreadable", "", err.Error())
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return refuse("unreadable", "", "it is no regular file")
	case !ok || st.Uid != 0 && st.Uid != uint32(os.Geteuid()):
		return refuse("unsafe", "chown root it", "it belongs to another user, who could give itself any right")
	case info.Mode().Perm()&0o022 != 0:
		return refuse("unsafe", "chmod go-w it", "others than its owner can write it, and could give themselves any right")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return refuse("unreadable", "", err.Error())
	}
	return Parse(file, text, accounts)
}

// Live is the rules that are in force. It is used by several goroutines at once.
// Before the first Reload only root may do anything.
type Live struct{ rules atomic.Pointer[Rules] }

var closed = &Rules{Closed: true}

// Rules are those in force; they do not change any more.
func (l *Live) Rules() *Rules {
	if r := l.rules.Load(); r != nil {
		return r
	}
	return closed
}

// Reload reads the file again. If it has errors the former rules stay.
func (l *Live) Reload(file string, accounts Accounts) []diag.Diag {
	rules, diags := Load(file, accounts)
	l.set(rules)
	return diags
}

func (l *Live) set(rules *Rules) {
	if rules.Closed && l.rules.Load() != nil {
		return
	}
	l.rules.Store(rules)
}
