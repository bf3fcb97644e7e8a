package main

import (
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
	"golang.org/x/sys/unix"

	"dynamod/svmgr/internal/child"
)

// library is the name under which every Linux has libpam.
const library = "libpam.so.0"

// Numbers of security/_pam_types.h (pam_set_item(3), pam_setcred(3), pam_conv(3)).
const (
	itemTTY       = 3
	establishCred = 2
	deleteCred    = 4
	silent        = 0x8000
	convError     = 19
)

// libpam are the calls of pam(3) that are made.
type libpam struct {
	start        func(service, user string, conv *[2]uintptr, handle *uintptr) int32
	end          func(handle uintptr, status int32) int32
	setItem      func(handle uintptr, item int32, value string) int32
	acctMgmt     func(handle uintptr, flags int32) int32
	setCred      func(handle uintptr, flags int32) int32
	openSession  func(handle uintptr, flags int32) int32
	closeSession func(handle uintptr, flags int32) int32
	getEnvList   func(handle uintptr) unsafe.Pointer
	putEnv       func(handle uintptr, variable string) int32
	strError     func(handle uintptr, status int32) string
}

func load() (*libpam, error) {
	h, err := purego.Dlopen(library, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, &child.StageError{Stage: "pam", Errno: int32(unix.ENOENT), Path: err.Error()}
	}
	l := &libpam{}
	for name, f := range map[string]any{"pam_start": &l.start, "pam_end": &l.end, "pam_set_item": &l.setItem, "pam_acct_mgmt": &l.acctMgmt,
		"pam_setcred": &l.setCred, "pam_open_session": &l.openSession, "pam_close_session": &l.closeSession, "pam_getenvlist": &l.getEnvList,
		"pam_putenv": &l.putEnv, "pam_strerror": &l.strError} {
		at, err := purego.Dlsym(h, name)
		if err != nil {
			return nil, &child.StageError{Stage: "pam", Errno: int32(unix.ENOSYS), Path: err.Error()}
		}
		purego.RegisterFunc(f, at)
	}
	return l, nil
}

// transaction is a handle of libpam.
type transaction struct {
	*libpam
	handle  uintptr
	service string
}

// begin starts a transaction. There is nobody to answer a module's questions: it gets an
// error instead.
func begin(p child.PAM) (*transaction, error) {
	l, err := load()
	if err != nil {
		return nil, err
	}
	t := &transaction{libpam: l, service: p.Service}
	conv := &[2]uintptr{purego.NewCallback(func(_, _, _, _ uintptr) uintptr { return convError })}
	err = t.check("pam_start", l.start(p.Service, p.User, conv, &t.handle))
	runtime.KeepAlive(conv) // libpam has its own copy of it (pam_start(3))
	if err == nil && p.TTY != "" {
		err = t.check("pam_set_item", l.setItem(t.handle, itemTTY, p.TTY))
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// give hands variables to modules. One that libpam refuses is no variable to it, and fails
// nothing.
func (t *transaction) give(env []string) {
	for _, v := range env {
		if strings.IndexByte(v, '=') > 0 { // a name alone would take the variable away (pam_putenv(3))
			t.putEnv(t.handle, v)
		}
	}
}

// check makes an error of a status, which is no errno: libpam has words for it.
func (t *transaction) check(call string, status int32) error {
	if status == 0 {
		return nil
	}
	text := fmt.Sprintf("status %d", status)
	if t.handle != 0 {
		text = t.strError(t.handle, status)
	}
	return &child.StageError{Stage: "pam", Errno: int32(unix.EACCES), Path: t.service + ": " + call + ": " + text}
}

// maxEnv bounds how many variables are taken from modules, maxVariable the length of one.
const (
	maxEnv      = 1 << 14
	maxVariable = 1 << 17 // execve(2) takes no longer one
)

// environment are the variables that modules have set. The list is libpam's copy for us; it
// is not freed, because the process becomes another program.
func (t *transaction) environment() ([]string, error) {
	list := t.getEnvList(t.handle)
	if list == nil {
		return nil, &child.StageError{Stage: "pam", Errno: int32(unix.ENOMEM), Path: t.service + ": pam_getenvlist"}
	}
	var out []string
	for i := range maxEnv + 1 {
		at := *(**byte)(unsafe.Add(list, uintptr(i)*unsafe.Sizeof(list)))
		if at == nil {
			return out, nil
		}
		n := 0
		for *(*byte)(unsafe.Add(unsafe.Pointer(at), n)) != 0 {
			if n++; n > maxVariable {
				return nil, &child.StageError{Stage: "pam", Errno: int32(unix.E2BIG), Path: t.service + ": a variable of more than 128 KiB"}
			}
		}
		out = append(out, string(unsafe.Slice(at, n)))
	}
	return nil, &child.StageError{Stage: "pam", Errno: int32(unix.E2BIG), Path: t.service + ": more than 16384 variables"}
}
