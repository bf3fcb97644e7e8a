package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// creditEntropy adds to the kernel's pool and says that all of it is random:
// struct rand_pool_info of random(4).
func creditEntropy(data []byte) error {
	f, err := os.OpenFile("/dev/random", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("credit the random seed: %w", err)
	}
	defer f.Close()
	info := make([]byte, 8+len(data))
	binary.NativeEndian.PutUint32(info, uint32(len(data)*8))
	binary.NativeEndian.PutUint32(info[4:], uint32(len(data)))
	copy(info[8:], data)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&info[0]))); errno != 0 {
		return fmt.Errorf("credit the random seed: %w", errno)
	}
	return nil
}
