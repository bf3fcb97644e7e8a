// Package config_test installs the project into a directory, as a package would,
// and looks at what a machine would make of it.
package config_test

import (
	"os"
	"os/exec"
	"testing"
)

// installed is a directory with what `make install` puts below DESTDIR.
var installed string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "dynamod-config-test-")
	if err != nil {
		panic(err)
	}
	install := exec.Command("make", "--no-print-directory", "-C", "..", "install", "DESTDIR="+dir)
	if out, err := install.CombinedOutput(); err != nil {
		panic("make install: " + err.Error() + "\n" + string(out))
	}
	installed = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}
