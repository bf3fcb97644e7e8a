package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"dynamod/svmgr/internal/keeper"
)

// kernelLog is where the manager's own lines go. Under init that is the kernel log, where
// people look until there is a log daemon, and whenever that is what is broken. The
// manager's standard error is the console, where a login may be going on and which shows
// the kernel log anyway: it gets only what init does not take. Another target can be
// chosen (systemctl(1), log-target).
type kernelLog struct {
	slog.Handler
	k *kernelText
	// text is a handler of the same attributes that writes into k.
	text slog.Handler
}

// kernelText is where the lines are formatted, and which of them go where.
type kernelText struct {
	to   atomic.Pointer[keeper.Init]
	lost atomic.Uint64
	// level is the least important one that is logged (syslog(3)), target a word of
	// logTargets, "" for the first one.
	level  atomic.Int32
	target atomic.Pointer[string]
	// units takes lines that name a unit; nil until it is known whose manager this is.
	units  atomic.Pointer[unitJournal]
	mu     sync.Mutex
	buf    bytes.Buffer
	stderr io.Writer
}

// logLevels are the words of syslog(3) by number.
var logLevels = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

// logTargets are the words of systemd(1), systemd.log_target=.
var logTargets = []string{"console", "console-prefixed", "kmsg", "journal", "journal-or-kmsg", "syslog", "syslog-or-kmsg", "auto", "null"}

const (
	infoLevel       = 6
	defaultLogLevel = infoLevel
)

// newKernelLog writes to stderr until there is an init.
func newKernelLog(stderr io.Writer) (*kernelLog, *kernelText) {
	k := &kernelText{stderr: stderr}
	k.level.Store(defaultLogLevel)
	none := ""
	k.target.Store(&none)
	plain := &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{} // who takes it has both
		}
		return a
	}}
	return &kernelLog{slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug}), k, slog.NewTextHandler(&k.buf, plain)}, k
}

// WithAttrs implements slog.Handler.
func (l *kernelLog) WithAttrs(as []slog.Attr) slog.Handler {
	return &kernelLog{l.Handler.WithAttrs(as), l.k, l.text.WithAttrs(as)}
}

// WithGroup implements slog.Handler.
func (l *kernelLog) WithGroup(name string) slog.Handler {
	return &kernelLog{l.Handler.WithGroup(name), l.k, l.text.WithGroup(name)}
}

// levelOf is the level of syslog(3).
func levelOf(l slog.Level) int32 {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return infoLevel
	}
	return 7
}

// Enabled implements slog.Handler.
func (l *kernelLog) Enabled(_ context.Context, level slog.Level) bool {
	return levelOf(level) <= l.k.level.Load()
}

// firstTarget is where lines go when nothing was chosen.
func (k *kernelText) firstTarget() string {
	if k.to.Load() != nil {
		return "kmsg"
	}
	return "console"
}

// targetNow is the target in force.
func (k *kernelText) targetNow() string {
	if t := *k.target.Load(); t != "" {
		return t
	}
	return k.firstTarget()
}

// Handle implements slog.Handler. What a target does not take goes to the standard
// error: a line about a failure is not lost for the failure of the log.
func (l *kernelLog) Handle(ctx context.Context, r slog.Record) error {
	level, target := levelOf(r.Level), l.k.targetNow()
	if target == "null" {
		return nil
	}
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	l.k.buf.Reset()
	if err := l.text.Handle(ctx, r); err != nil {
		return err
	}
	line := strings.TrimPrefix(strings.TrimSpace(l.k.buf.String()), "msg=")
	if j, unit := l.k.units.Load(), unitOf(r); j != nil && unit != "" && j.tell(level, unit, line) {
		return nil
	}
	if target == "console" || !l.k.put(target, uint8(level), line) {
		return l.Handler.Handle(ctx, r)
	}
	return nil
}

// unitOf is the unit that a line is about, "" for none.
func unitOf(r slog.Record) (name string) {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "unit" {
			name = a.Value.String()
		}
		return name == ""
	})
	return name
}

// put hands a line to a target; false if that does not take it.
func (k *kernelText) put(target string, level uint8, line string) bool {
	switch target {
	case "console-prefixed":
		_, err := fmt.Fprintf(k.stderr, "<%d>%s\n", level, line)
		return err == nil
	case "kmsg":
		return k.kmsg(level, line)
	case "journal":
		return toSocket(journalSocket, journalLine(level, line))
	case "journal-or-kmsg", "auto":
		return toSocket(journalSocket, journalLine(level, line)) || k.kmsg(level, line)
	case "syslog":
		return toSocket(syslogSocket, syslogLine(level, line))
	case "syslog-or-kmsg":
		return toSocket(syslogSocket, syslogLine(level, line)) || k.kmsg(level, line)
	}
	return false
}

// kmsg hands a line to init, which writes it into the kernel log.
func (k *kernelText) kmsg(level uint8, line string) bool {
	to := k.to.Load()
	if to == nil {
		return false
	}
	if to.Log(level, line) != nil {
		k.lost.Add(1)
		return false
	}
	if n := k.lost.Swap(0); n > 0 {
		_ = to.Log(4, "lines for the kernel log were lost: "+strconv.FormatUint(n, 10))
	}
	return true
}

// Where log daemons listen.
const (
	journalSocket = "/run/systemd/journal/socket"
	syslogSocket  = "/dev/log"
)

// journalLine is a line in the journal's native protocol; what is formatted has no line
// breaks.
func journalLine(level uint8, line string) string {
	return fmt.Sprintf("PRIORITY=%d\nSYSLOG_IDENTIFIER=dynamod-svmgr\nSYSLOG_PID=%d\nMESSAGE=%s\n", level, os.Getpid(), line)
}

// syslogLine is a line of the facility daemon (syslog(3)).
func syslogLine(level uint8, line string) string {
	return fmt.Sprintf("<%d>dynamod-svmgr[%d]: %s", 3<<3|level, os.Getpid(), line)
}

// toSocket sends one datagram and never waits: whoever listens may be what this manager
// is about to start.
func toSocket(path, text string) bool {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return false
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	sent := false
	werr := raw.Write(func(fd uintptr) bool {
		_, err := syscall.Write(int(fd), []byte(text)) // fails where it would wait
		sent = err == nil
		return true
	})
	return werr == nil && sent
}
