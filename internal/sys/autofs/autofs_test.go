package autofs

import (
	"encoding/binary"
	"testing"
)

func packet(kind, token uint32) []byte {
	b := make([]byte, PacketSize)
	binary.NativeEndian.PutUint32(b, 5)
	binary.NativeEndian.PutUint32(b[4:], kind)
	binary.NativeEndian.PutUint32(b[8:], token)
	binary.NativeEndian.PutUint32(b[24:], 1000)
	binary.NativeEndian.PutUint32(b[28:], 100)
	binary.NativeEndian.PutUint32(b[32:], 4711)
	return b
}

func TestParse(t *testing.T) {
	p, err := Parse(packet(5, 7))
	if want := (Packet{Missing, 7, 1000, 100, 4711}); err != nil || p != want {
		t.Errorf("got %+v, %v", p, err)
	}
	for _, bad := range [][]byte{nil, packet(5, 7)[:20], packet(3, 1), append([]byte{4}, packet(5, 1)[1:]...)} {
		if p, err := Parse(bad); err == nil {
			t.Errorf("%v was taken as %+v", bad, p)
		}
	}
	// new_encode_dev of the kernel: 12 bits of major between 8 and 12 of minor.
	if got := Device(0, 0x1ff); got != 0x1000ff {
		t.Errorf("device %x", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(packet(6, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := Parse(b); err == nil && p.Kind != Missing && p.Kind != Expire {
			t.Errorf("kind %d", p.Kind)
		}
	})
}
