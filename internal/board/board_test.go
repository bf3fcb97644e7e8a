package board

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dynamod/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func record(i int) Record {
	return Record{Name: fmt.Sprintf("unit-%d.service", i), State: "active", Sub: "running", Cause: "request", Weight: uint32(i + 1),
		PID: int32(1000 + i), Restarts: uint32(i), Since: int64(i) * 1e6, Memory: uint64(i) << 20, CPU: Unknown}
}

func fresh(t testing.TB, room int) *Writer {
	t.Helper()
	w, err := Create(filepath.Join(t.TempDir(), Name), room, 77, 5)
	if err != nil {
		t.Fatal(err)
	}
	w.now = func() int64 { return 42 }
	t.Cleanup(func() {
		if w.mem != nil {
			w.Close()
		}
	})
	return w
}

func read(t testing.TB, path string) *Snapshot {
	t.Helper()
	s, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(s.Records, func(a, b Record) int { return int(a.Restarts) - int(b.Restarts) })
	return s
}

// What is put is read, through growth, and places of units that are gone are used again.
func TestBoard(t *testing.T) {
	w := fresh(t, 1)
	want := []Record{}
	for i := range 500 {
		if err := w.Put(record(i)); err != nil {
			t.Fatal(err)
		}
		want = append(want, record(i))
	}
	want[7].State, want[7].Name = "failed", "unit-7.service"
	if err := w.Put(want[7]); err != nil {
		t.Fatal(err)
	}
	got := read(t, w.path)
	if !reflect.DeepEqual(got.Records, want) || got.Torn != 0 {
		t.Errorf("read %d records, %d torn; want those that were put", len(got.Records), got.Torn)
	}
	if h := got.Header; h != (Header{Capacity: 512, Used: 500, Total: 500, PID: 77, Started: 5, Updated: 42}) {
		t.Errorf("header %+v", h)
	}
	for i := range 500 {
		if i%2 == 0 {
			w.Drop(record(i).Name)
		}
	}
	w.Drop("no such unit")
	for i := 1000; i < 1100; i++ {
		_ = w.Put(record(i))
	}
	got = read(t, w.path)
	if len(got.Records) != 350 || got.Used != 500 || got.Total != 350 {
		t.Errorf("%d records, header %+v", len(got.Records), got.Header)
	}
	long := Record{Name: strings.Repeat("n", 300), State: strings.Repeat("s", 40), Sub: "\xff", Cause: "ü" + strings.Repeat("c", 40)}
	_ = w.Put(long)
	got = read(t, w.path)
	if r := got.Records[0]; len(r.Name) != 255 || len(r.State) != 15 || r.Sub != "\uFFFD" || len(r.Cause) != 31 {
		t.Errorf("cut to %+v", r)
	}
	w.Close()
	if got := read(t, w.path); !got.Ended {
		t.Error("the end is not told")
	}
}

// Units beyond the last place are counted.
func TestFull(t *testing.T) {
	w := fresh(t, maxRecords)
	for i := range maxRecords + 3 {
		if err := w.Put(record(i)); err != nil {
			t.Fatal(err)
		}
	}
	w.Drop(record(maxRecords + 1).Name)
	if s := read(t, w.path); s.Used != maxRecords || s.Total != maxRecords+2 || len(s.Records) != maxRecords {
		t.Errorf("header %+v with %d records", s.Header, len(s.Records))
	}
}

// Where there is no room for a larger file the board stays as it is.
func TestNoRoomToGrow(t *testing.T) {
	w := fresh(t, 64)
	for i := range 64 {
		_ = w.Put(record(i))
	}
	path := w.path
	w.path = filepath.Join(path, "below", "a", "file")
	if err := w.Put(record(64)); err == nil {
		t.Error("a board grew into nowhere")
	}
	w.path = path
	if s := read(t, path); len(s.Records) != 64 || s.Total != 65 || s.Ended {
		t.Errorf("header %+v with %d records", s.Header, len(s.Records))
	}
	if err := w.Put(record(64)); err != nil {
		t.Fatal(err)
	}
	if s := read(t, path); len(s.Records) != 65 || s.Total != 65 {
		t.Errorf("header %+v with %d records", s.Header, len(s.Records))
	}
}

// A file of somebody else's making is refused or read, and nothing worse.
func FuzzRead(f *testing.F) {
	w := fresh(f, 1)
	_ = w.Put(record(1))
	good := bytes.Clone(w.mem)
	f.Add(good)
	f.Add(good[:headerSize])
	f.Add([]byte(magic))
	odd := bytes.Clone(good)
	odd[headerSize] |= 1
	f.Add(odd)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ReadFrom(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if len(s.Records)+s.Torn > int(s.Used)+1 || headerSize+int(s.Used)*recordSize > len(b) {
			t.Errorf("%d records and %d torn of %d bytes", len(s.Records), s.Torn, len(b))
		}
	})
}

func TestNoBoard(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, empty, "/dev/zero", "/proc/self/status"} {
		if _, err := Read(path); !errors.Is(err, ErrNoBoard) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v; want that it is no board", path, err)
		}
	}
	if _, err := Read(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

var howOften = flag.Int("reads", 1_000_000, "how often TestTornReads reads (a tenth with -short)")

// One process writes as fast as it can, and no read mixes two writes.
func TestTornReads(t *testing.T) {
	reads := *howOften
	if testing.Short() {
		reads /= 10
	}
	w := fresh(t, 64)
	_ = w.Put(hammered(0))
	argv := testkit.Command(t, "hammer", w.path)
	cmd := exec.Command(argv[0], argv[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	f, err := os.Open(w.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [recordSize]byte
	var r Record
	seen, torn := map[uint32]bool{}, 0
	for range reads {
		ok, err := stable(f, headerSize, func() error { _, err := f.ReadAt(b[:], headerSize); return err })
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			torn++
			continue
		}
		r.decode(b[:])
		if want := hammered(int(r.Restarts)); r != want {
			t.Fatalf("read %+v; want %+v", r, want)
		}
		if len(seen) < 1000 {
			seen[r.Restarts] = true
		}
	}
	t.Logf("%d reads, %d given up", reads, torn)
	if len(seen) < 10 {
		t.Errorf("the writer wrote %d different records meanwhile", len(seen))
	}
}

// hammered is a record in which everything follows from one number.
func hammered(n int) Record {
	s := strconv.Itoa(n % 1_000_000)
	return Record{Name: "h" + strings.Repeat(s, 30), State: "s" + s, Sub: "u" + s, Cause: "c" + strings.Repeat(s, 4), Weight: uint32(n), PID: int32(n),
		Restarts: uint32(n), Since: int64(n), Memory: uint64(n), CPU: uint64(n)}
}

var _ = testkit.Register("hammer", func(args []string) {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	w, err := openAgain(f)
	if err != nil {
		panic(err)
	}
	for n := 1; ; n++ {
		r := hammered(n % 1_000_000)
		var b [recordSize]byte
		r.encode(&b)
		w.write(headWords, b[:])
	}
})

// The header for C says the same as this package.
func TestHeader(t *testing.T) {
	w := fresh(t, 3)
	for i := range 3 {
		_ = w.Put(record(i))
	}
	program := filepath.Join(t.TempDir(), "print")
	build := exec.Command("cc", "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror", "-I../../include", "-o", program, "testdata/print.c")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	out, err := exec.Command(program, w.path).CombinedOutput()
	want := "64 3 3 77 5 42 0\n"
	for i := range 3 {
		r := record(i)
		want += fmt.Sprintf("%s|%s|%s|%s|%d|%d|%d|%d|%d|%d\n", r.Name, r.State, r.Sub, r.Cause, r.Weight, r.PID, r.Restarts, r.Since, r.Memory, r.CPU)
	}
	if err != nil || string(out) != want {
		t.Errorf("the C program prints %v\n%s\nwant\n%s", err, out, want)
	}
	if out, err := exec.Command(program, "/dev/null").CombinedOutput(); err == nil {
		t.Errorf("/dev/null is a board to it: %s", out)
	}
}

func BenchmarkPut(b *testing.B) {
	w := fresh(b, 64)
	r := record(1)
	for b.Loop() {
		_ = w.Put(r)
	}
}
