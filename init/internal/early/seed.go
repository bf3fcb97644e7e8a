package early

import (
	"encoding/binary"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	seedFile  = "/var/lib/dynamod/random-seed"
	seedSize  = 512
	seedLeast = 32
)

// LoadSeed mixes what the last boot left into the kernel's random numbers. It counts
// as entropy only if the file could be replaced before, so that no seed counts twice:
// on a root that is still read-only the service random-seed comes to that.
func LoadSeed(root string, say Say) {
	name := root + seedFile
	f, err := os.Open(name)
	if err != nil {
		if !os.IsNotExist(err) {
			say(4, "load the random seed: "+err.Error())
		}
		return
	}
	seed := make([]byte, seedSize)
	n, err := io.ReadFull(f, seed)
	f.Close()
	if n < seedLeast {
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			say(4, "load the random seed: "+err.Error())
		}
		return
	}
	seed = seed[:n]
	// The old one goes in before the new one is drawn.
	if w, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0); err == nil {
		_, _ = w.Write(seed)
		w.Close()
	}
	if SaveSeed(root) != nil {
		return
	}
	if err := credit(seed); err != nil {
		say(4, "credit the random seed: "+err.Error())
	}
}

// credit adds to the kernel's pool and says that all of it is random: struct
// rand_pool_info of random(4).
func credit(seed []byte) error {
	fd, err := unix.Open("/dev/random", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	info := make([]byte, 8+len(seed))
	binary.NativeEndian.PutUint32(info, uint32(len(seed)*8))
	binary.NativeEndian.PutUint32(info[4:], uint32(len(seed)))
	copy(info[8:], seed)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&info[0]))); e != 0 {
		return e
	}
	return nil
}

// SaveSeed leaves a seed for the next boot, where there is a directory for it.
func SaveSeed(root string) error {
	seed := make([]byte, seedSize)
	// Not one that waits for the pool to be filled: a bad seed does no harm, because
	// it never counts as more than it is.
	if _, err := unix.Getrandom(seed, unix.GRND_INSECURE); err != nil {
		return err
	}
	return replaceFile(root+seedFile, string(seed), 0o600)
}
