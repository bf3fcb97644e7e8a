package live

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/ipc"
)

// Target says which manager is meant.
type Target struct {
	// Socket is a path, "" for the default.
	Socket string
	// User means the manager of the user who runs this program.
	User bool
	// Getenv gives the environment; os.Getenv if nil.
	Getenv func(string) string
}

// SocketVariable names the socket when no option does.
const SocketVariable = "DYNAMOD_SOCKET"

// Path is where the manager listens.
func (t Target) Path() (string, error) {
	env := t.Getenv
	if env == nil {
		env = os.Getenv
	}
	switch {
	case t.Socket != "":
		return t.Socket, nil
	case t.User:
		dir := env("XDG_RUNTIME_DIR")
		if dir == "" {
			return "", &ConnectError{Path: "", Text: "--user needs $XDG_RUNTIME_DIR, which is not set",
				Hint: "log in through a session that sets it, or name the socket with --socket"}
		}
		return filepath.Join(dir, "dynamod/control.sock"), nil
	case env(SocketVariable) != "":
		return env(SocketVariable), nil
	}
	return ipc.SocketPath, nil
}

// ConnectError says why nobody could be asked.
type ConnectError struct {
	Path, Text, Hint string
	// Denied: the socket is there, but this user may not use it.
	Denied bool
	Err    error
}

func (e *ConnectError) Error() string { return e.Text }

func (e *ConnectError) Unwrap() error { return e.Err }

// patience is how long a manager may take to say hello. It answers from memory,
// so this means that it hangs.
const patience = 10 * time.Second

// Dial connects to the manager.
func (t Target) Dial(ctx context.Context) (*ipc.Client, error) {
	path, err := t.Path()
	if err != nil {
		return nil, err
	}
	hello, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := ipc.Dial(hello, path)
	if err == nil {
		return c, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, explain(path, t.User, err)
}

// explain says what is wrong with the socket and what to do about it.
func explain(path string, user bool, err error) error {
	e := &ConnectError{Path: path, Err: err}
	program := "dynamod-svmgr"
	if user {
		program = "dynamod-svmgr --user"
	}
	elsewhere := fmt.Sprintf("if it listens elsewhere: --socket PATH or $%s", SocketVariable)
	var refused *ipc.Error
	info, statErr := os.Stat(path)
	switch {
	case errors.As(err, &refused) && refused.Kind == "ProtocolMismatch":
		e.Text, e.Hint = refused.Text, refused.Hint
	case errors.As(err, &refused):
		return refused // it answered, and refused by itself
	case errors.Is(statErr, fs.ErrNotExist):
		e.Text = fmt.Sprintf("cannot connect: there is no socket %s", path)
		e.Hint = fmt.Sprintf("is %s running? %s", program, elsewhere)
		if !user {
			e.Hint += "; for your own services: --user"
		}
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(statErr, fs.ErrPermission):
		e.Denied = true
		e.Text = fmt.Sprintf("cannot connect: user %d may not use the socket %s", os.Geteuid(), path)
		e.Hint = "run this as root, or have /etc/dynamod/access.toml and the socket's mode changed"
	case statErr == nil && info.Mode().Type() != fs.ModeSocket:
		e.Text = fmt.Sprintf("cannot connect: %s exists but is not a socket", path)
		e.Hint = elsewhere
	case errors.Is(err, unix.ECONNREFUSED):
		e.Text = fmt.Sprintf("cannot connect: the socket %s exists, but nobody listens on it", path)
		e.Hint = fmt.Sprintf("%s has ended or died; its supervisor should start it again within seconds, else start it", program)
	case errors.Is(err, context.DeadlineExceeded):
		e.Text = fmt.Sprintf("the manager at %s took the connection but did not answer within %s", path, patience)
		e.Hint = "it hangs or is stopped; see its log, and `kill -ABRT` of it shows where it hangs"
	case errors.Is(err, unix.EAGAIN):
		e.Text = fmt.Sprintf("cannot connect: the queue of the socket %s is full", path)
		e.Hint = "the manager hangs or is flooded; try again in a moment"
	default:
		e.Text = fmt.Sprintf("cannot connect to %s: %v", path, err)
		e.Hint = "is another program listening there? " + elsewhere
	}
	return e
}
