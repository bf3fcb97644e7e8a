package bus

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// AuthTimeout is how long a peer may take to authenticate.
const AuthTimeout = 10 * time.Second

// maxAuthLine bounds one line of the authentication, maxAuthLines their number.
const (
	maxAuthLine  = 512
	maxAuthLines = 16
)

// lines reads lines of the authentication without taking a byte of the messages
// that a client may send right behind BEGIN.
type lines struct {
	nc   *net.UnixConn
	left int
	buf  []byte // what was taken and not given out
	// answers wait until there is nothing to answer any more: a client that has said all at
	// once is woken up once.
	answers []byte
}

// say answers with a line.
func (l *lines) say(s string) { l.answers = append(l.answers, s+"\r\n"...) }

// flush writes the answers.
func (l *lines) flush() error {
	if len(l.answers) == 0 {
		return nil
	}
	_, err := l.nc.Write(l.answers)
	l.answers = nil
	return err
}

// next returns the next line without its "\r\n".
func (l *lines) next() (string, error) {
	if l.left--; l.left < 0 {
		return "", errors.New("authentication: too many lines")
	}
	for {
		if end := bytes.Index(l.buf, []byte("\r\n")); end >= 0 {
			line := string(l.buf[:end])
			l.buf = l.buf[end+2:]
			return line, nil
		}
		if len(l.buf) > maxAuthLine {
			return "", fmt.Errorf("authentication: a line of more than %d bytes", maxAuthLine)
		}
		if err := l.flush(); err != nil {
			return "", err
		}
		if err := l.more(); err != nil {
			return "", err
		}
	}
}

// more takes what has come, but nothing behind a BEGIN.
func (l *lines) more() error {
	raw, err := l.nc.SyscallConn()
	if err != nil {
		return err
	}
	var peek [maxAuthLine]byte
	n := 0
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		n, _, failed = unix.Recvfrom(int(fd), peek[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return failed != unix.EAGAIN && failed != unix.EINTR
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	if n == 0 {
		return io.EOF
	}
	have := len(l.buf)
	all := append(l.buf, peek[:n]...)
	if i := bytes.Index(all, []byte("BEGIN\r\n")); i == 0 || i > 0 && all[i-1] == '\n' {
		n = i + len("BEGIN\r\n") - have
	}
	if _, err := io.ReadFull(l.nc, peek[:n]); err != nil {
		return err
	}
	l.buf = all[:have+n]
	return nil
}

// ErrRejected is a peer that may not come in.
var ErrRejected = errors.New("authentication: rejected")

// accept is the server's side of the authentication (D-Bus specification,
// "Authentication Protocol"): EXTERNAL only, for a peer of a known uid. guid names
// the server. It leaves the connection where the messages begin.
func accept(nc *net.UnixConn, uid uint32, guid string, allowed func(uid uint32) bool) error {
	if err := nc.SetDeadline(time.Now().Add(AuthTimeout)); err != nil {
		return err
	}
	defer nc.SetDeadline(time.Time{})
	var nul [1]byte
	if _, err := io.ReadFull(nc, nul[:]); err != nil {
		return err
	}
	if nul[0] != 0 {
		return fmt.Errorf("%w: it begins with %#x", errProtocol, nul[0])
	}
	in := lines{nc: nc, left: maxAuthLines}
	defer in.flush() // who is left hears why, if it listens
	const (
		waitAuth = iota
		waitData
		waitBegin
	)
	state := waitAuth
	identify := func(data string) {
		// An empty identity means the one that the kernel knows.
		id, err := hex.DecodeString(data)
		if err != nil || len(id) > 0 && string(id) != strconv.FormatUint(uint64(uid), 10) || !allowed(uid) {
			state = waitAuth
			in.say("REJECTED EXTERNAL")
			return
		}
		state = waitBegin
		in.say("OK " + guid)
	}
	for {
		line, err := in.next()
		if err != nil {
			return err
		}
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case word == "AUTH" && state != waitBegin:
			mech, data, given := strings.Cut(rest, " ")
			switch {
			case mech != "EXTERNAL":
				in.say("REJECTED EXTERNAL")
			case !given:
				state = waitData
				in.say("DATA")
			default:
				identify(data)
			}
		case word == "DATA" && state == waitData:
			identify(rest)
		case word == "NEGOTIATE_UNIX_FD" && state == waitBegin:
			in.say("AGREE_UNIX_FD")
		case word == "BEGIN" && state == waitBegin:
			return in.flush()
		case word == "BEGIN":
			return errors.Join(ErrRejected, in.flush())
		case word == "CANCEL" || word == "ERROR":
			state = waitAuth
			in.say("REJECTED EXTERNAL")
		default:
			in.say("ERROR \"unexpected command\"")
		}
	}
}

// authenticate is the client's side, as we talk to a message bus.
func authenticate(nc *net.UnixConn) error {
	if err := nc.SetDeadline(time.Now().Add(AuthTimeout)); err != nil {
		return err
	}
	defer nc.SetDeadline(time.Time{})
	id := hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid())))
	if _, err := io.WriteString(nc, "\x00AUTH EXTERNAL "+id+"\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"); err != nil {
		return err
	}
	in := lines{nc: nc, left: 2}
	for _, want := range []string{"OK ", "AGREE_UNIX_FD"} {
		line, err := in.next()
		if err != nil {
			return fmt.Errorf("authentication: %w", err)
		}
		if len(line) < len(want) || line[:len(want)] != want {
			return fmt.Errorf("%w: the bus says %.100q", ErrRejected, line)
		}
	}
	return nil
}
