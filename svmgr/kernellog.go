package main

import (
	"bytes"
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"dynamod/svmgr/internal/keeper"
)

// kernelLog hands lines to init for the kernel log, where people look until there is a
// log daemon, and whenever that is what is broken. The manager's standard error is the
// console, where a login may be going on and which shows the kernel log anyway: it gets
// only what init does not take.
type kernelLog struct {
	slog.Handler
	k *kernelText
	// text is a handler of the same attributes that writes into k.
	text slog.Handler
}

// kernelText is where the lines are formatted.
type kernelText struct {
	to   atomic.Pointer[keeper.Init]
	lost atomic.Uint64
	mu   sync.Mutex
	buf  bytes.Buffer
}

// newKernelLog wraps a handler. Nothing is handed on before there is an init.
func newKernelLog(h slog.Handler) (*kernelLog, *kernelText) {
	k := &kernelText{}
	plain := &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{} // the kernel has both
		}
		return a
	}}
	return &kernelLog{h, k, slog.NewTextHandler(&k.buf, plain)}, k
}

// WithAttrs implements slog.Handler.
func (l *kernelLog) WithAttrs(as []slog.Attr) slog.Handler {
	return &kernelLog{l.Handler.WithAttrs(as), l.k, l.text.WithAttrs(as)}
}

// WithGroup implements slog.Handler.
func (l *kernelLog) WithGroup(name string) slog.Handler {
	return &kernelLog{l.Handler.WithGroup(name), l.k, l.text.WithGroup(name)}
}

// Handle implements slog.Handler.
func (l *kernelLog) Handle(ctx context.Context, r slog.Record) error {
	to := l.k.to.Load()
	if to == nil || r.Level < slog.LevelInfo {
		return l.Handler.Handle(ctx, r)
	}
	level := uint8(6) // syslog(3)
	switch {
	case r.Level >= slog.LevelError:
		level = 3
	case r.Level >= slog.LevelWarn:
		level = 4
	}
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	l.k.buf.Reset()
	if err := l.text.Handle(ctx, r); err != nil {
		return err
	}
	line := strings.TrimPrefix(strings.TrimSpace(l.k.buf.String()), "msg=")
	if to.Log(level, line) != nil {
		l.k.lost.Add(1)
		return l.Handler.Handle(ctx, r)
	} else if n := l.k.lost.Swap(0); n > 0 {
		_ = to.Log(4, "lines for the kernel log were lost: "+strconv.FormatUint(n, 10))
	}
	return nil
}
