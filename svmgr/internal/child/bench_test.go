package child

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// helperProgram builds the program as it is shipped: what a start of it costs is
// mostly what it links.
func helperProgram(b *testing.B) string {
	b.Helper()
	out := filepath.Join(b.TempDir(), "dynamod-child")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "dynamod/svmgr/child")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, text)
	}
	return out
}

// benchmarkStart measures from the fork to the end of /bin/true, which the helper
// becomes.
func benchmarkStart(b *testing.B, s *Spec) {
	prog := helperProgram(b)
	spec, err := os.Create(filepath.Join(b.TempDir(), "spec"))
	if err != nil {
		b.Fatal(err)
	}
	defer spec.Close()
	if _, err := spec.Write(s.Encode()); err != nil {
		b.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	for b.Loop() {
		r, w, err := os.Pipe()
		if err != nil {
			b.Fatal(err)
		}
		pid, err := syscall.ForkExec(prog, []string{prog}, &syscall.ProcAttr{
			Env:   []string{"GOMAXPROCS=1", "GOGC=off"},
			Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), spec.Fd(), w.Fd()},
		})
		if err != nil {
			b.Fatal(err)
		}
		w.Close()
		report, _ := io.ReadAll(r)
		r.Close()
		var st syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &st, 0, nil); err != nil || st != 0 {
			executed, fail := ParseReport(report)
			b.Fatalf("%v, %v, status %v, executed %v", fail, err, st, executed)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	benchmarkStart(b, &Spec{Path: "/bin/true", Argv: []string{"true"}, Umask: 0o22})
}
