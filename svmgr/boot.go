package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"dynamod/svmgr/internal/core"
	"dynamod/svmgr/internal/ladder"
)

// bootHealth remembers over boots how they went (docs/boot-health.md). Only the manager of
// a machine has one.
type bootHealth struct {
	log *slog.Logger
	// console shows what nobody must miss.
	console func(string)
	// state is where it is kept, apart where if /var is a file system of its own that is
	// mounted by a unit, and present what of this boot outlives the manager's program.
	state, apart, present string
	// fresh says that this manager is the first one of the boot.
	fresh bool

	mu sync.Mutex
	bootKept
	// remembering is held while a verdict is written down.
	remembering sync.Mutex
	// complained is what could not be written and was said.
	complained map[string]bool
}

// bootKept is what the manager that takes over must know.
type bootKept struct {
	Rung, Why string
	// Failed is how many boots went wrong before, Attempts when the ladder begins.
	Failed, Attempts int
	// Counter is the file.
	Counter string
	// Counted says that this boot is in it, Settled that it is not to be counted any
	// more: somebody has ended it in order, or it was judged.
	Counted, Settled bool `json:",omitempty"`
	// Shown says that the emergency shell was asked for, ShownAt when, by CLOCK_MONOTONIC,
	// and ShellTook how long it was before a manager went on.
	Shown              bool          `json:",omitempty"`
	ShownAt, ShellTook time.Duration `json:",omitempty"`
	// Bad is the digest of the configuration on disk that was rolled back from.
	Bad string `json:",omitempty"`
	// Status is where the status of the generation stands, Said what it should say and
	// Written what it does say.
	Status, Said, Written string `json:",omitempty"`
	// Judged is the verdict that is written down. What is in force when a later manager of
	// this boot learns of it may be another configuration, which nobody has booted.
	Judged core.BootState `json:",omitempty"`
	// CalledGood says that this boot was.
	CalledGood bool `json:",omitempty"`
	// Done are the actions after a good boot that were begun.
	Done int `json:",omitempty"`
}

// The files of bootHealth, in its directories.
const (
	attemptsFile = "boot-attempts"
	goodFile     = "boot-good"
	badFile      = "boot-bad"
)

// maxSmallFile bounds what is read of files that are this manager's, or should be.
const maxSmallFile = 16 << 10

// openBootHealth reads what a former manager of this boot has left.
func openBootHealth(runtimeDir string, takesOver bool, log *slog.Logger) *bootHealth {
	h := &bootHealth{log: log, console: toConsole, state: "/var/lib/dynamod", apart: "/.dynamod", present: filepath.Join(runtimeDir, "boot-health.json")}
	h.open(takesOver)
	return h
}

func (h *bootHealth) open(takesOver bool) {
	h.complained = map[string]bool{}
	text, err := readSmall(h.present)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if h.fresh = !takesOver; !h.fresh { // one that knew nothing of this has begun the boot
			h.Rung, h.Settled = ladder.Full.String(), true
		}
		return
	case err == nil:
		err = json.Unmarshal([]byte(text), &h.bootKept)
	}
	if _, perr := ladder.Parse(h.Rung); err == nil {
		err = perr
	}
	if err != nil {
		h.log.Error("how this boot began is not known; it is not counted any more", "file", h.present, "err", err)
		h.bootKept = bootKept{Rung: ladder.Full.String(), Settled: true}
	}
}

// rung is the kind of this boot.
func (h *bootHealth) rung() ladder.Rung {
	if h == nil {
		return ladder.Full
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r, _ := ladder.Parse(h.Rung) // open and begin see to it
	return r
}

// begin decides what kind of boot it is. apart says that /var is not there yet.
func (h *bootHealth) begin(s ladder.Situation, apart bool) ladder.Rung {
	h.mu.Lock()
	defer h.mu.Unlock()
	dir := h.state
	if apart {
		dir = h.apart
	}
	h.Counter = filepath.Join(dir, attemptsFile)
	h.Failed, h.Attempts = h.read(h.Counter), s.Attempts
	s.Failed = h.Failed
	r, why := ladder.Choose(s)
	h.Rung, h.Why = r.String(), why
	if why != "" {
		h.log.Error("the boot is not the ordinary one", "boot", h.Rung, "why", why)
		h.console("dynamod: " + why)
	}
	h.save()
	return r
}

// judged is the verdict that is written down.
func (h *bootHealth) judged() core.BootState {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.Judged
}

// showShell says that the emergency shell has not been shown in this boot, and that it is
// now, at the time now. If it has, the time in it ends here, once.
func (h *bootHealth) showShell(now time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := !h.Shown
	switch {
	case first:
		h.Shown, h.ShownAt = true, now
	case h.ShellTook == 0:
		h.ShellTook = max(now-h.ShownAt, 1)
	}
	h.save()
	return first
}

// inShell is how long the boot has stood in the emergency shell of its begin.
func (h *bootHealth) inShell() time.Duration {
	if h == nil {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ShellTook
}

// instead takes another kind of boot, because the chosen one cannot be.
func (h *bootHealth) instead(r ladder.Rung, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Rung, h.Why = r.String(), why
	h.log.Error("the boot is another one than was wanted", "boot", h.Rung, "why", why)
	h.console("dynamod: " + why)
	h.save()
}

// read is the number in the counter. One that cannot be read must not be what a boot
// fails for: it is none.
func (h *bootHealth) read(file string) int {
	text, err := readSmall(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	n := 0
	if err == nil {
		n, err = ladder.ReadCount(text)
	}
	if err != nil {
		h.log.Error("how many boots have failed cannot be read and is taken for 0", "file", file, "err", err)
	}
	return n
}

// save keeps what the next manager of this boot must know. The caller holds mu.
func (h *bootHealth) save() {
	data, err := json.Marshal(h.bootKept)
	if err == nil {
		err = replaceFile(h.present, data)
	}
	if err != nil {
		h.log.Error("how this boot began could not be written down: a manager that takes over would not know", "err", err)
	}
}

// count writes down what is not written down yet of this boot: that it has begun. Before
// its file systems are writable that is in vain, and it is tried again; the last try says
// what came of it.
func (h *bootHealth) count(last bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.Counter != "" && !h.Counted && !h.Settled {
		if err := h.write(h.Counter, ladder.Count(h.Failed+1), true); err == nil {
			h.Counted = true
			h.save()
		} else if last || !early(err) {
			h.complain("this boot cannot be counted", err)
		}
	}
	h.tellStatus(last)
}

// early are errors of file systems that are not there or not writable yet.
func early(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrNotExist)
}

// complain says once what could not be written. The caller holds mu.
func (h *bootHealth) complain(what string, err error) {
	if !h.complained[what] {
		h.complained[what] = true
		h.log.Error(what, "err", err)
	}
}

// tellStatus writes the status of the generation if it is another one. The caller holds mu.
func (h *bootHealth) tellStatus(last bool) {
	if h.Status == "" || h.Said == h.Written {
		return
	}
	if err := h.write(h.Status, h.Said, false); err == nil {
		h.Written = h.Said
		h.save()
	} else if last || !early(err) {
		h.complain("the status "+h.Said+" of the generation cannot be written", err)
	}
}

// status says where the status of the generation stands and what it is now.
func (h *bootHealth) status(path, word string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if path != "" {
		h.Status = path
	}
	h.Said = word
	h.save()
}

// takeBack: somebody ends the boot in order before it was judged, which is no failure.
func (h *bootHealth) takeBack() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.Settled {
		return
	}
	h.Settled = true
	if h.Counted {
		if err := h.set(h.Failed); err != nil {
			h.complain("the boot stays counted, though it did not fail", err)
		} else {
			h.Counted = false // it may still be called bad
		}
	}
	h.save()
}

// succeeded ends the row of failures. generation is the one in force.
func (h *bootHealth) succeeded(generation uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Settled, h.CalledGood, h.Judged = true, true, core.BootGood
	if h.Counter != "" && (h.Counted || h.Failed > 0) {
		if err := h.set(0); err != nil {
			h.complain("the boot was good, but the counter of failures cannot be set to 0", err)
		}
	}
	h.Counted = false
	switch {
	case h.Rung == ladder.Safe.String():
		// It says nothing of the whole configuration.
	case h.isApart():
		// The number is one of the generations that /var hides now.
	case h.Rung == ladder.Rollback.String():
		h.remember(badFile, h.Bad+"\n")
		h.remember(goodFile, strconv.FormatUint(generation, 10)+"\n")
	default:
		h.remember(goodFile, strconv.FormatUint(generation, 10)+"\n")
		h.forget(badFile)
	}
	h.save()
}

// failed: the boot counts as one that went wrong, whatever was said of it before.
func (h *bootHealth) failed(generation uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.Counter == "" {
		return
	}
	if !h.Counted {
		if err := h.write(h.Counter, ladder.Count(h.Failed+1), true); err != nil {
			h.complain("the failed boot cannot be counted", err)
		}
		h.Counted = true
	}
	if text, err := readSmall(filepath.Join(h.state, goodFile)); err == nil && strings.TrimSpace(text) == strconv.FormatUint(generation, 10) && h.CalledGood && !h.isApart() {
		h.forget(goodFile)
	}
	h.Settled, h.CalledGood, h.Judged = true, false, core.BootBad
	h.save()
}

// isApart says that the manager's state was not there yet when the boot began. The caller
// holds mu.
func (h *bootHealth) isApart() bool {
	return h.Counter != "" && filepath.Dir(h.Counter) == h.apart
}

// set makes n the number in the counter. A full disk takes no new file, but no file is 0
// as well: a good boot must not stay counted. The caller holds mu.
func (h *bootHealth) set(n int) error {
	err := h.write(h.Counter, ladder.Count(n), true)
	if err == nil || n != 0 {
		return err
	}
	if rerr := os.Remove(h.Counter); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
		return errors.Join(err, rerr)
	}
	return nil
}

func (h *bootHealth) remember(name, text string) {
	if err := h.write(filepath.Join(h.state, name), text, true); err != nil {
		h.complain("which configuration booted well cannot be kept: there will be no rollback to it", err)
	}
}

func (h *bootHealth) forget(name string) {
	if err := os.Remove(filepath.Join(h.state, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.complain("which configuration boots badly cannot be forgotten", err)
	}
}

// goodGeneration is the generation that booted well last, 0 for none that is known.
func (h *bootHealth) goodGeneration() uint64 {
	text, err := readSmall(filepath.Join(h.state, goodFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	n, perr := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err = errors.Join(err, perr); err != nil {
		h.log.Error("which configuration booted well last cannot be read: there is no rollback", "err", err)
		return 0
	}
	return n
}

// badDigest is that of the configuration on disk which a rollback was for, "" for none.
func (h *bootHealth) badDigest() string {
	text, err := readSmall(filepath.Join(h.state, badFile))
	if err != nil {
		return "" // not there, or as if it were not: the files on disk get another try
	}
	return strings.TrimSpace(text)
}

// write replaces a file as a whole or not at all, also when the power fails. The directory
// is made only if it is ours.
func (h *bootHealth) write(path, text string, ours bool) error {
	dir := filepath.Dir(path)
	if ours {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return writeDurably(path, text)
}

// writeDurably writes beside the file, to the disk, and renames.
func writeDurably(path, text string) (err error) {
	dir := filepath.Dir(path)
	tmp := filepath.Join(dir, "."+filepath.Base(path)+".new") // always the same: power cuts leave one at most
	// The directory may be one that others write to: what is there already, a FIFO or a
	// hard link to another file, is not written to.
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(tmp)
		}
	}()
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil // it is there; when it reaches the disk is up to the file system
	}
	defer d.Close()
	if serr := d.Sync(); serr != nil && !errors.Is(serr, syscall.EINVAL) { // fsync(2): some file systems cannot
		return fmt.Errorf("sync %s: %w", dir, serr)
	}
	return nil
}

// readSmall reads a small file; a longer one is an error, and so is what a read could wait
// for, as a FIFO.
func readSmall(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return "", cmp.Or(err, fmt.Errorf("read %s: it is no regular file", path))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSmallFile+1))
	if err == nil && len(data) > maxSmallFile {
		err = fmt.Errorf("read %s: it is longer than %d bytes", path, maxSmallFile)
	}
	return string(data), err
}
