package child

import (
	"encoding/binary"
	"errors"
)

// magic begins every Spec; its last byte is the version of the layout.
const magic = "dynmchd\x03"

// MaxSpec bounds an encoded Spec: execve(2) would refuse more than that.
const MaxSpec = 8 << 20

const maxItems = 1 << 16

var errSpec = errors.New("malformed spec")

// codec reads or writes: the layout is written down once, in walk, for both.
type codec struct {
	writing bool
	buf     []byte
	bad     bool
}

// Encode writes the spec.
func (s *Spec) Encode() []byte {
	c := &codec{writing: true, buf: append(make([]byte, 0, 1024), magic...)}
	s.walk(c)
	return c.buf
}

// Decode reads what Encode wrote, all of it and nothing more.
func Decode(b []byte) (*Spec, error) {
	if len(b) > MaxSpec || len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return nil, errSpec
	}
	c := &codec{buf: b[len(magic):]}
	s := new(Spec)
	s.walk(c)
	if c.bad || len(c.buf) != 0 {
		return nil, errSpec
	}
	return s, nil
}

func (s *Spec) walk(c *codec) {
	c.str(&s.Path)
	list(c, &s.Argv, (*codec).str)
	list(c, &s.Env, (*codec).str)
	list(c, &s.PIDVars, (*codec).str)
	list(c, &s.FDs, (*codec).i32)
	for i := range s.Stdio {
		c.u8(&s.Stdio[i].Kind)
		c.i32(&s.Stdio[i].Flags)
		c.str(&s.Stdio[i].Path)
	}
	c.u8(&s.TTY.Mode)
	c.str(&s.TTY.Path)
	c.flag(&s.TTY.Reset)
	c.flag(&s.TTY.Vhangup)
	c.flag(&s.TTY.Disallocate)
	c.i32(&s.TTY.Rows)
	c.i32(&s.TTY.Columns)
	c.flag(&s.Hold)
	c.str(&s.Cgroup)
	c.u32(&s.Umask)
	c.num(&s.OOMScore)
	c.num(&s.Nice)
	c.flag(&s.Sched.Set)
	c.i32(&s.Sched.Policy)
	c.i32(&s.Sched.Priority)
	c.flag(&s.Sched.ResetOnFork)
	c.num(&s.IOPrio)
	list(c, &s.Affinity, (*codec).u64)
	c.u64(&s.TimerSlack)
	c.num(&s.CoreFilter)
	c.flag(&s.NUMA.Set)
	c.i32(&s.NUMA.Mode)
	list(c, &s.NUMA.Nodes, (*codec).u64)
	list(c, &s.Limits, (*codec).limit)
	c.u8(&s.Keyring)
	c.num(&s.Personality)
	c.num(&s.MemoryKSM)
	c.flag(&s.NoNewPrivs)
	c.flag(&s.IgnorePipe)
	c.flag(&s.Ids.SetGroups)
	c.flag(&s.Ids.SetGID)
	c.flag(&s.Ids.SetUID)
	c.u32(&s.Ids.UID)
	c.u32(&s.Ids.GID)
	list(c, &s.Ids.Groups, (*codec).u32)
	list(c, &s.Dirs, (*codec).dir)
	c.str(&s.Credentials.Path)
	c.u32(&s.Credentials.UID)
	c.u32(&s.Credentials.GID)
	list(c, &s.Credentials.Items, (*codec).credential)
	c.str(&s.Cwd)
	c.flag(&s.CwdOptional)
	c.flag(&s.SameGroup)
	c.flag(&s.HasBounding)
	c.u64(&s.Bounding)
	c.u64(&s.Ambient)
	c.u32(&s.SecureBits)
	c.flag(&s.HasSecure)
	c.str(&s.PAM.Service)
	c.str(&s.PAM.User)
	c.str(&s.PAM.TTY)
	s.walkSandbox(c)
}

func (c *codec) limit(l *Limit) { c.i32(&l.Resource); c.u64(&l.Soft); c.u64(&l.Hard) }

func (c *codec) dir(d *Dir) {
	c.str(&d.Stage)
	c.str(&d.Path)
	c.u32(&d.Mode)
	c.u32(&d.UID)
	c.u32(&d.GID)
	c.flag(&d.Chown)
	list(c, &d.Links, (*codec).str)
}

func (c *codec) credential(k *Credential) {
	c.str(&k.ID)
	c.str(&k.Path)
	c.flag(&k.Optional)
	c.bytes(&k.Data)
}

func (c *codec) num(n *Int) { c.flag(&n.Set); c.i32(&n.N) }

// list is a count and its items. An empty list comes back as nil.
func list[T any](c *codec, l *[]T, one func(*codec, *T)) {
	n := uint32(len(*l))
	c.u32(&n)
	// Every item takes at least one byte, so a count beyond what is left is a
	// lie, and nothing is allocated for it.
	if !c.writing {
		if n > maxItems || int(n) > len(c.buf) {
			c.bad = true
			return
		}
		if n == 0 {
			return
		}
		*l = make([]T, n)
	}
	for i := range *l {
		one(c, &(*l)[i])
		if c.bad {
			return
		}
	}
}

func (c *codec) take(n int) []byte {
	if c.bad || n < 0 || n > len(c.buf) {
		c.bad = true
		return nil
	}
	b := c.buf[:n]
	c.buf = c.buf[n:]
	return b
}

func (c *codec) u8(v *uint8) {
	if c.writing {
		c.buf = append(c.buf, *v)
	} else if b := c.take(1); b != nil {
		*v = b[0]
	}
}

func (c *codec) flag(v *bool) {
	var b uint8
	if *v {
		b = 1
	}
	c.u8(&b)
	if !c.writing {
		*v = b == 1
		c.bad = c.bad || b > 1
	}
}

func (c *codec) u32(v *uint32) {
	if c.writing {
		c.buf = binary.LittleEndian.AppendUint32(c.buf, *v)
	} else if b := c.take(4); b != nil {
		*v = binary.LittleEndian.Uint32(b)
	}
}

func (c *codec) i32(v *int32) {
	u := uint32(*v)
	c.u32(&u)
	*v = int32(u)
}

func (c *codec) u64(v *uint64) {
	if c.writing {
		c.buf = binary.LittleEndian.AppendUint64(c.buf, *v)
	} else if b := c.take(8); b != nil {
		*v = binary.LittleEndian.Uint64(b)
	}
}

func (c *codec) str(v *string) {
	n := uint32(len(*v))
	c.u32(&n)
	if c.writing {
		c.buf = append(c.buf, *v...)
	} else if b := c.take(int(n)); b != nil {
		*v = string(b)
	}
}
