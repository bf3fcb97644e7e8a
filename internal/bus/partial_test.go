package bus

import (
	"bytes"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// Whatever part of a message there is room for, all of it arrives, and in order.
func TestPartialWrites(t *testing.T) {
	a, b := streams(t)
	t.Run("private peer", func(t *testing.T) { partialWrites(t, a, b) })
	a, b = streams(t)
	t.Run("message bus", func(t *testing.T) { partialWrites(t, b, a) })
}

func partialWrites(t *testing.T, a, b *stream) {
	var failed error
	if err := a.raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 4096) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	go a.writeLoop() // ends with the stream
	defer a.close(errClosed)
	const messages = 400
	body := func(k int) []byte { return bytes.Repeat([]byte{byte(k)}, k*k%9973) }
	sent := make(chan error, 1)
	go func() { // ends when all is sent
		for k := range messages {
			m := &dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/x")),
				dbus.FieldInterface: dbus.MakeVariant("x.x"), dbus.FieldMember: dbus.MakeVariant("X"), dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf([]byte{}))}, Body: []any{body(k)}}
			if _, err := a.send(m, nil); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for k := range messages {
		m, err := b.read()
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := m.Body[0].([]byte); m.serial != uint32(k+1) || !bytes.Equal(got, body(k)) {
			t.Fatalf("message %d has the serial %d and %d bytes of another", k+1, m.serial, len(got))
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}
