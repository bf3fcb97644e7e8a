package sdnotify

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxMessage is the longest datagram that Parse and Socket take. sd_notify(3)
// names no limit; services write a few lines.
const MaxMessage = 4096

// MaxFDName is the longest FDNAME=.
const MaxFDName = 255

// Forever stands for a time that does not fit: no limit.
const Forever = time.Duration(math.MaxInt64)

// Assignment is a variable that sd_notify(3) does not define, or defines for
// others than service managers.
type Assignment struct{ Key, Value string }

// Message is one datagram. Where a variable is assigned twice the last valid
// assignment holds.
type Message struct {
	// Ready, Reloading and Stopping are READY=1, RELOADING=1, STOPPING=1.
	Ready, Reloading, Stopping bool
	// Status is STATUS=, a line of valid UTF-8; nil when absent.
	Status *string
	// Errno, BusError and ExitStatus tell people about a failure.
	Errno    int
	BusError string
	// VarlinkError is the error of a Varlink call, from systemd 257 on.
	VarlinkError string
	ExitStatus   *uint8
	// MainPID is MAINPID=, 0 when absent.
	MainPID int
	// Watchdog is WATCHDOG=1, WatchdogTrigger is WATCHDOG=trigger.
	Watchdog, WatchdogTrigger bool
	// WatchdogPeriod is WATCHDOG_USEC=, nil when absent.
	WatchdogPeriod *time.Duration
	// ExtendTimeout is EXTEND_TIMEOUT_USEC=, Monotonic is MONOTONIC_USEC=; 0 when
	// absent.
	ExtendTimeout, Monotonic time.Duration
	// NotifyAccess is NOTIFYACCESS=, "" when absent.
	NotifyAccess string
	// FDStore is FDSTORE=1, FDStoreRemove is FDSTOREREMOVE=1, FDName is FDNAME=,
	// NoPoll is FDPOLL=0.
	FDStore, FDStoreRemove, NoPoll bool
	FDName                         string
	// Barrier is BARRIER=1. It comes alone: Parse refuses it beside others.
	Barrier bool
	// Others are the unknown assignments in order.
	Others []Assignment
	// Bad are the keys of well-known variables whose value was not valid; they
	// are ignored.
	Bad []string
}

// Errors of Parse; the whole datagram is to be ignored.
var (
	ErrTooLong = errors.New("notification is longer than 4096 bytes")
	ErrNUL     = errors.New("notification has a NUL byte in it")
	ErrMixed   = errors.New("BARRIER=1 is mixed with other assignments")
	ErrEmpty   = errors.New("notification assigns nothing")
)

// Parse reads a datagram. A NUL at its very end is allowed: C programs send it.
// Lines that are no assignment are skipped.
func Parse(data []byte) (*Message, error) {
	if len(data) > MaxMessage {
		return nil, ErrTooLong
	}
	text := string(data)
	text = strings.TrimSuffix(text, "\x00")
	if strings.IndexByte(text, 0) >= 0 {
		return nil, ErrNUL
	}
	m := &Message{}
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		key, value, ok := strings.Cut(line, "=")
		if !ok || key == "" {
			continue
		}
		n++
		if !m.assign(key, value) {
			m.Bad = append(m.Bad, key)
		}
	}
	switch {
	case n == 0:
		return nil, ErrEmpty
	case m.Barrier && n > 1:
		return nil, ErrMixed
	}
	return m, nil
}

// assign sets one variable and says whether its value is valid. Unknown ones are.
func (m *Message) assign(key, value string) bool {
	yes := func(to *bool) bool {
		*to = *to || value == "1"
		return value == "1"
	}
	switch key {
	case "READY":
		return yes(&m.Ready)
	case "RELOADING":
		return yes(&m.Reloading)
	case "STOPPING":
		return yes(&m.Stopping)
	case "BARRIER":
		return yes(&m.Barrier)
	case "FDSTORE":
		return yes(&m.FDStore)
	case "FDSTOREREMOVE":
		return yes(&m.FDStoreRemove)
	case "FDPOLL":
		if value == "0" || value == "1" {
			m.NoPoll = value == "0"
			return true
		}
		return false
	case "WATCHDOG":
		if value == "trigger" {
			m.WatchdogTrigger = true
			return true
		}
		return yes(&m.Watchdog)
	case "STATUS":
		if !utf8.ValidString(value) {
			return false
		}
		m.Status = &value
	case "ERRNO":
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || n < 0 {
			return false
		}
		m.Errno = int(n)
	case "VARLINKERROR":
		if !utf8.ValidString(value) {
			return false
		}
		m.VarlinkError = value
	case "BUSERROR":
		if !utf8.ValidString(value) {
			return false
		}
		m.BusError = value
	case "EXIT_STATUS":
		n, err := strconv.ParseUint(value, 10, 8)
		if err != nil {
			return false
		}
		status := uint8(n)
		m.ExitStatus = &status
	case "MAINPID":
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || n <= 0 {
			return false
		}
		m.MainPID = int(n)
	case "NOTIFYACCESS":
		switch value {
		case "none", "main", "exec", "all":
			m.NotifyAccess = value
			return true
		}
		return false
	case "WATCHDOG_USEC":
		d, ok := micros(value)
		if ok {
			m.WatchdogPeriod = &d
		}
		return ok
	case "EXTEND_TIMEOUT_USEC":
		return microsInto(&m.ExtendTimeout, value)
	case "MONOTONIC_USEC":
		return microsInto(&m.Monotonic, value)
	case "FDNAME":
		if !ValidFDName(value) {
			return false
		}
		m.FDName = value
	default:
		m.Others = append(m.Others, Assignment{key, value})
	}
	return true
}

func microsInto(to *time.Duration, value string) bool {
	d, ok := micros(value)
	if ok {
		*to = d
	}
	return ok
}

// micros reads a number of microseconds; what does not fit is Forever.
func micros(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, false
	}
	if n > math.MaxInt64/1000 {
		return Forever, true
	}
	return time.Duration(n) * time.Microsecond, true
}

// ValidFDName says whether s may name a stored descriptor: 1 to 255 ASCII
// characters without control characters and ':' (sd_notify(3), FDNAME=).
func ValidFDName(s string) bool {
	if s == "" || len(s) > MaxFDName {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == ':' {
			return false
		}
	}
	return true
}

// String is the message as a datagram carries it, in a fixed order.
func (m *Message) String() string {
	var b strings.Builder
	line := func(key, value string) {
		b.WriteString(key)
		b.WriteByte('=')
		b.WriteString(value)
		b.WriteByte('\n')
	}
	flag := func(set bool, key, value string) {
		if set {
			line(key, value)
		}
	}
	usec := func(key string, d time.Duration) {
		if d == Forever {
			line(key, strconv.FormatUint(math.MaxUint64, 10))
			return
		}
		line(key, strconv.FormatInt(d.Microseconds(), 10))
	}
	flag(m.Barrier, "BARRIER", "1")
	flag(m.Ready, "READY", "1")
	flag(m.Reloading, "RELOADING", "1")
	if m.Monotonic != 0 {
		usec("MONOTONIC_USEC", m.Monotonic)
	}
	flag(m.Stopping, "STOPPING", "1")
	if m.Status != nil {
		line("STATUS", *m.Status)
	}
	flag(m.Errno != 0, "ERRNO", strconv.Itoa(m.Errno))
	flag(m.BusError != "", "BUSERROR", m.BusError)
	flag(m.VarlinkError != "", "VARLINKERROR", m.VarlinkError)
	if m.ExitStatus != nil {
		line("EXIT_STATUS", strconv.Itoa(int(*m.ExitStatus)))
	}
	flag(m.MainPID != 0, "MAINPID", strconv.Itoa(m.MainPID))
	flag(m.NotifyAccess != "", "NOTIFYACCESS", m.NotifyAccess)
	flag(m.Watchdog, "WATCHDOG", "1")
	flag(m.WatchdogTrigger, "WATCHDOG", "trigger")
	if m.WatchdogPeriod != nil {
		usec("WATCHDOG_USEC", *m.WatchdogPeriod)
	}
	if m.ExtendTimeout != 0 {
		usec("EXTEND_TIMEOUT_USEC", m.ExtendTimeout)
	}
	flag(m.FDStore, "FDSTORE", "1")
	flag(m.FDStoreRemove, "FDSTOREREMOVE", "1")
	flag(m.FDName != "", "FDNAME", m.FDName)
	flag(m.NoPoll, "FDPOLL", "0")
	for _, o := range m.Others {
		line(o.Key, o.Value)
	}
	return b.String()
}
