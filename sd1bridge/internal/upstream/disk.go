package upstream

import (
	"os"
	"sync"
	"time"

	"dynamod/internal/witness"
)

// disk is what the manager said of the files of units, and a witness of our own of all that
// this rests on. What it watched before it asked, and has not seen change since, is as the
// manager found it.
type disk struct {
	mu sync.Mutex
	by map[string]said
	// fs is nil while nobody asks again and again.
	fs *witness.FS
	// looked moves whenever fs begins to watch more.
	looked uint64
}

// said is what the manager said of a unit's files when its steps were steps.
type said struct {
	fileState
	steps uint64
	// watched says that all that it rests on was watched before it was said, at when at the
	// earliest.
	watched bool
	when    time.Time
}

// fileState is what only the disk knows of a unit (ipc.OnDisk).
type fileState struct {
	enabled     string
	needsReload bool
}

// moment is before a question.
type moment struct {
	looked uint64
	when   time.Time
}

// believed is how long an answer is kept at most: the manager itself may see only after so
// long that something was mounted over what it looked at.
const believed = time.Second

// maxDisk bounds the units that are remembered; all are forgotten when there are more.
const maxDisk = maxModels

// holds is what the manager would say now of a unit's files, if that is known.
func (d *disk) holds(name string, steps uint64) (fileState, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.by[name]
	if !ok || !s.watched || s.steps != steps || time.Since(s.when) >= believed || !d.fs.Holds() {
		return fileState{}, false
	}
	return s.fileState, true
}

// knows says whether a unit was asked for before: then it is worth watching what the answer
// rests on.
func (d *disk) knows(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.by[name]
	return ok
}

func (d *disk) moment() moment {
	d.mu.Lock()
	defer d.mu.Unlock()
	return moment{d.looked, time.Now()}
}

// heard takes note of an answer to a question that was asked at a moment, and of the paths
// that it rests on, if they were told (witness.FS, Seen).
func (d *disk) heard(name string, steps uint64, s fileState, asked moment, read, met []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.by) >= maxDisk || d.fs != nil && !d.fs.Holds() {
		d.drop()
	}
	if d.by == nil {
		d.by = map[string]said{}
	}
	told := len(read)+len(met) > 0
	if d.fs == nil && told {
		d.fs = witness.New(os.DirFS("/"))
		_ = d.fs.Watch("/") // without it each question compares
	}
	more := false
	look := func(paths []string, read bool) {
		for _, p := range paths {
			if !d.fs.Saw(p, read) {
				d.fs.Look(p, read)
				more = true
			}
		}
	}
	look(read, true)
	look(met, false)
	// Answers to questions that are under way do not rest on what is watched from now on.
	if more {
		d.looked++
	}
	d.by[name] = said{s, steps, told && d.looked == asked.looked, asked.when}
}

// forget ends the watching.
func (d *disk) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop()
}

func (d *disk) drop() {
	if d.fs != nil {
		d.fs.Close()
	}
	d.by, d.fs = nil, nil
	d.looked++
}
