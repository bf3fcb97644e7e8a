package api

import (
	"hash/maphash"
	"strconv"
	"sync"
)

// tagSeed makes the tags of one manager mean nothing to the next.
var tagSeed = maphash.MakeSeed()

// tagOf is a short text that two lists share only if they are the same.
func tagOf[T comparable](rows []T) string {
	var h maphash.Hash
	h.SetSeed(tagSeed)
	for _, r := range rows {
		maphash.WriteComparable(&h, r)
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

// tags are those of answers to who sees everything, by what they are of. As long as there
// was no event since, they need not be worked out again.
type tags struct {
	mu sync.Mutex
	by map[string]tagged
}

// provable are the steps of what was seen, for who may go by them without asking again:
// he sees everything, whatever the rules become.
func (c *call) provable() uint64 {
	if c.peer.UID != c.access.Owner {
		return 0
	}
	return c.steps
}

type tagged struct {
	steps uint64
	tag   string
	total int
}

// maxTags bounds them; all are forgotten when there are more.
const maxTags = 4096

// still is the tag that was kept, if there was no event since and the caller is one for
// whom it was.
func (c *call) still(what string) (tagged, bool) {
	if c.peer.UID != c.access.Owner {
		return tagged{}, false
	}
	c.tags.mu.Lock()
	defer c.tags.mu.Unlock()
	t, ok := c.tags.by[what]
	return t, ok && t.steps == c.steps && c.steps != 0
}

// keep keeps a tag of what was seen at c.steps or later.
func (c *call) keep(what, tag string, total int) {
	if c.peer.UID != c.access.Owner {
		return
	}
	c.tags.mu.Lock()
	defer c.tags.mu.Unlock()
	if c.tags.by == nil || len(c.tags.by) >= maxTags {
		c.tags.by = map[string]tagged{}
	}
	c.tags.by[what] = tagged{c.steps, tag, total}
}
