package generation

import "io"

// Write and Read are the codec by itself, for the fuzzer.
func Write(w io.Writer, im *Image) error { return im.write(w) }

// Read reads what Write wrote.
func Read(r io.Reader) (*Image, error) { return read(r) }
