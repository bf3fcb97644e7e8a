package board

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

func TestSteps(t *testing.T) {
	path := filepath.Join(t.TempDir(), StepsName)
	if err := os.WriteFile(path, []byte("something else"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := CreateSteps(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenSteps(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	first := s.Now()
	if first == 0 || r.Now() != first {
		t.Fatalf("the file says %d, the manager is at %d", r.Now(), first)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 1000 {
				s.Step()
			}
		})
	}
	all.Wait()
	if r.Now() != first+4000 || s.Now() != first+4000 {
		t.Errorf("after 4000 steps: %d and %d more", r.Now()-first, s.Now()-first)
	}
	// The next manager begins elsewhere, and the file of the former one says nothing new.
	next, err := CreateSteps(path)
	if err != nil {
		t.Fatal(err)
	}
	if next.Now() == s.Now() || next.Now() == first {
		t.Error("two managers count alike")
	}
	s.End()
	s.Step()
	if r.Now() != 0 {
		t.Errorf("after the end the file says %d", r.Now())
	}
	if fresh, err := OpenSteps(path); err != nil || fresh.Now() != next.Now() {
		t.Errorf("the new file: %v", err)
	} else {
		fresh.Close()
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".steps-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// What is no such file says nothing, and nothing that is there holds up who opens it.
func TestNoSteps(t *testing.T) {
	dir := t.TempDir()
	short := filepath.Join(dir, "short")
	if err := os.WriteFile(short, []byte("1234"), 0o644); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{short, dir, fifo, filepath.Join(dir, "none")} {
		if r, err := OpenSteps(path); err == nil {
			t.Errorf("%s was opened, and says %d", path, r.Now())
		}
	}
	if _, err := CreateSteps(filepath.Join(dir, "none", StepsName)); err == nil {
		t.Error("a file was made where there is no directory")
	}
}

// Who may write the file cannot end those who read it.
func TestStepsCutShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), StepsName)
	s, err := CreateSteps(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenSteps(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Now() != s.Now() || r.Now() == 0 {
		t.Errorf("%d; want %d", r.Now(), s.Now())
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if n := r.Now(); n != 0 {
		t.Errorf("nothing in the file says %d", n)
	}
}

// A manager that was killed leaves its number. The next one, if it cannot make a file of its
// own, must not let that stand: answers of the former manager would hold for ever.
func TestNoStepsOfTheFormerManager(t *testing.T) {
	path := filepath.Join(t.TempDir(), StepsName)
	former, err := CreateSteps(path)
	if err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0 // nothing can be opened
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_, failed := CreateSteps(path)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if failed == nil {
		t.Fatal("a file was made without a descriptor")
	}
	if r, err := OpenSteps(path); err == nil {
		defer r.Close()
		if n := r.Now(); n == former.Now() {
			t.Errorf("the file says %d, as the former manager did", n)
		}
	}
}
