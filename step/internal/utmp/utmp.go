// Package utmp writes the record of utmp(5) that says when the machine booted.
// Only glibc's programs read it; musl has none.
package utmp

import (
	"encoding/binary"
	"time"
)

// bootTime is the type of the record (utmp(5), BOOT_TIME).
const bootTime = 2

// BootTime is the record for a boot at that time, as glibc lays it out on the
// architecture (a GOARCH), or nil where the layout is not known. release is that
// of the kernel.
func BootTime(arch, release string, at time.Time) []byte {
	order := binary.LittleEndian
	// Where 32-bit programs share the file, times are 32 bits wide.
	wide := false
	switch arch {
	case "amd64", "386", "arm":
	case "arm64", "riscv64", "loong64":
		wide = true
	default:
		return nil
	}
	// short type; (pad) pid_t; char line[32], id[4], user[32], host[256];
	// short[2] exit; long session; timeval; int32[4] address; char[20].
	size := 384
	if wide {
		size = 400
	}
	b := make([]byte, size)
	order.PutUint16(b, bootTime)
	copy(b[8:40], "~")
	copy(b[40:44], "~~")
	copy(b[44:76], "reboot")
	copy(b[76:331], release)
	if wide {
		order.PutUint64(b[344:], uint64(at.Unix()))
		order.PutUint64(b[352:], uint64(at.Nanosecond()/1000))
	} else {
		order.PutUint32(b[340:], uint32(at.Unix()))
		order.PutUint32(b[344:], uint32(at.Nanosecond()/1000))
	}
	return b
}
