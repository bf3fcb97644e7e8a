package upstream

import (
	"os"
	"sync"
	"time"

	"dynamod/internal/witness"
)

// disk is what the manager said of the files of units, and a witness of our own of all that
// this rests on. What was watched before the manager was asked, and of which nothing was
// reported until it had answered, was as the manager found it; while it still is so, the
// answer holds.
type disk struct {
	mu sync.Mutex
	by map[string]said
	// fs is nil while nobody asks again and again.
	fs *witness.FS
	// looked moves whenever fs begins to watch more, or ends.
	looked uint64

	now func() time.Time
	// idle is how long things are watched of which nobody asks; timer is there once somebody
	// has.
	idle  time.Duration
	timer *time.Timer
}

// newDisk watches nothing yet.
func newDisk() disk { return disk{now: time.Now, idle: diskIdle} }

// said is what the manager said of a unit's files when its steps were steps.
type said struct {
	fileState
	steps uint64
	// watched says that all that it rests on was watched from before it was asked for, at
	// when, until it had been said.
	watched bool
	when    time.Time
}

// fileState is what only the disk knows of a unit (ipc.OnDisk).
type fileState struct {
	enabled     string
	needsReload bool
}

// moment is just before a question.
type moment struct {
	// again says that the same was asked so short a time ago that an answer could have been
	// kept: then it is worth watching what it rests on.
	again           bool
	when            time.Time
	looked, reports uint64
	watching        bool
}

// believed is how long an answer is kept at most: nobody reports what is mounted over places
// that are watched, or what other machines do to a file system that is shared.
const believed = time.Second

// diskIdle is how long things are watched of which nobody asks, in the manager too.
const diskIdle = 2 * time.Second

// maxDisk bounds the units that are remembered; all are forgotten when there are more.
const maxDisk = maxModels

// holds is what the manager would say now of a unit's files, if that is known.
func (d *disk) holds(name string, steps uint64) (fileState, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.by[name]
	if !ok || !s.watched || s.steps != steps || d.now().Sub(s.when) >= believed || !d.fs.Holds() {
		return fileState{}, false
	}
	d.timer.Reset(d.idle)
	return s.fileState, true
}

// ask is before a question.
func (d *disk) ask(name string) moment {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := moment{looked: d.looked, when: d.now()}
	before, there := d.by[name]
	m.again = there && m.when.Sub(before.when) < believed
	if m.again && d.fs != nil && d.fs.Holds() {
		m.reports, m.watching = d.fs.Reports()
	}
	return m
}

// heard takes note of the answer to a question that was asked at a moment, and of the paths
// that it rests on, if they were told (witness.FS, Seen).
func (d *disk) heard(name string, steps uint64, s fileState, asked moment, read, met []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	told := len(read)+len(met) > 0
	if _, there := d.by[name]; !there && len(d.by) >= maxDisk || d.fs != nil && !d.fs.Holds() {
		d.drop()
		told = false // it is watched again if it is asked again: what changes all the time is not
	}
	if d.by == nil {
		d.by = map[string]said{}
	}
	if d.timer == nil {
		d.timer = time.AfterFunc(d.idle, d.forget)
	}
	d.timer.Reset(d.idle)
	if d.fs == nil && told {
		d.fs = witness.New(os.DirFS("/"))
		_ = d.fs.Watch("/") // without it nothing is watched, and the manager is asked each time
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
	if told {
		look(read, true)
		look(met, false)
	}
	// Answers to questions that are under way do not rest on what is watched from now on.
	if more {
		d.looked++
	}
	one := said{fileState: s, steps: steps, when: asked.when}
	if told && asked.watching && d.looked == asked.looked {
		reports, all := d.fs.Reports()
		one.watched = all && reports == asked.reports
	}
	d.by[name] = one
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
