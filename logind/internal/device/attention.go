package device

import "dynamod/logind/internal/session"

// chord are the modifiers that are down on a keyboard, of those of Ctrl+Alt+Shift+Esc
// (org.freedesktop.login1(5), SecureAttentionKey).
type chord uint8

const (
	keyEsc = 1
	ctrl   = chord(1<<0 | 1<<1)
	alt    = chord(1<<2 | 1<<3)
	shift  = chord(1<<4 | 1<<5)
)

// modifiers are left and right Ctrl, Alt and Shift (linux/input-event-codes.h).
var modifiers = map[uint16]chord{29: 1 << 0, 97: 1 << 1, 56: 1 << 2, 100: 1 << 3, 42: 1 << 4, 54: 1 << 5}

// key takes in a key, and says whether all four are down now. 1 is down, 0 up, and 2 a
// repetition.
func (c *chord) key(code uint16, value int32) bool {
	bit := modifiers[code]
	switch {
	case bit != 0 && value == 0:
		*c &^= bit
	case bit != 0:
		*c |= bit
	}
	return code == keyEsc && value == 1 && *c&ctrl != 0 && *c&alt != 0 && *c&shift != 0
}

// Attend says whether keyboards are heard for Ctrl+Alt+Shift+Esc. They are heard for these
// keys only, and without it for none of them.
func (m *Machine) Attend(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.attend == on {
		return
	}
	m.attend = on
	if m.follower != nil {
		m.follower.attend(on)
	}
}

// attend changes what the kernel keeps to itself.
func (f *Follower) attend(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attending = on
	for _, b := range f.boxes {
		b.chord = 0
		if b.file == nil {
			continue
		}
		if err := b.hear(on); err != nil {
			f.log.Warn("what is heard of a device's keys is not changed", "err", err)
		}
	}
}

// attention tells of the four keys, if they are down and wanted.
func (f *Follower) attention(b *switchBox, code uint16, value int32) {
	f.mu.Lock()
	all := b.chord.key(code, value) && f.attending
	f.mu.Unlock()
	if all {
		f.tell(session.Attention{Seat: b.seat})
	}
}
