package bus

import (
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"
)

// Names of errors that clients act upon. The first group is the D-Bus
// specification's, whose exact choice decides which fallback a client takes.
const (
	ErrFailed              = "org.freedesktop.DBus.Error.Failed"
	ErrAccessDenied        = "org.freedesktop.DBus.Error.AccessDenied"
	ErrInvalidArgs         = "org.freedesktop.DBus.Error.InvalidArgs"
	ErrUnknownMethod       = "org.freedesktop.DBus.Error.UnknownMethod"
	ErrUnknownObject       = "org.freedesktop.DBus.Error.UnknownObject"
	ErrUnknownInterface    = "org.freedesktop.DBus.Error.UnknownInterface"
	ErrUnknownProperty     = "org.freedesktop.DBus.Error.UnknownProperty"
	ErrPropertyReadOnly    = "org.freedesktop.DBus.Error.PropertyReadOnly"
	ErrNotSupported        = "org.freedesktop.DBus.Error.NotSupported"
	ErrLimitsExceeded      = "org.freedesktop.DBus.Error.LimitsExceeded"
	ErrTimeout             = "org.freedesktop.DBus.Error.Timeout"
	ErrNoReply             = "org.freedesktop.DBus.Error.NoReply"
	ErrServiceUnknown      = "org.freedesktop.DBus.Error.ServiceUnknown"
	ErrInteractiveRequired = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
)

// Error is an answer that is an error: its name, and a sentence for people.
type Error struct{ Name, Text string }

func (e *Error) Error() string { return e.Text }

// Errorf makes an Error.
func Errorf(name, format string, args ...any) *Error {
	return &Error{name, fmt.Sprintf(format, args...)}
}

// NameOf is the name that err has, or would get, on the bus; "" for nil.
func NameOf(err error) string {
	if err == nil {
		return ""
	}
	return asError(err).Name
}

// asError gives any error a name.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var de dbus.Error
	if errors.As(err, &de) {
		return &Error{de.Name, de.Error()}
	}
	return &Error{ErrFailed, err.Error()}
}
