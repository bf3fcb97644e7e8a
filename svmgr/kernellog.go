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

// kernelLog hands warnings and worse to init for the kernel log, besides the manager's
// standard error: until there is a log daemon, and whenever that is what is broken,
// people look there.
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
	err := l.Handler.Handle(ctx, r)
	to := l.k.to.Load()
	if to == nil || r.Level < slog.LevelWarn {
		return err
	}
	level := uint8(4) // syslog(3)
	if r.Level >= slog.LevelError {
		level = 3
	}
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	l.k.buf.Reset()
	if l.text.Handle(ctx, r) != nil {
		return err
	}
	line := "svmgr: " + strings.TrimPrefix(strings.TrimSpace(l.k.buf.String()), "msg=")
	if to.Log(level, line) != nil {
		l.k.lost.Add(1)
	} else if n := l.k.lost.Swap(0); n > 0 {
		_ = to.Log(4, "svmgr: lines for the kernel log were lost: "+strconv.FormatUint(n, 10))
	}
	return err
}
