package bus

import (
	"fmt"
	"io"
	"os"
)

// maxProc bounds what is read of a file in /proc.
const maxProc = 64 << 10

func readProc(pid int32, file string) (string, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxProc))
	return string(data), err
}
