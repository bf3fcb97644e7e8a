package bus

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// knock connects without manners.
func knock(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	nc, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return nc
}

func say(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

// hear reads as much as expected and compares.
func hear(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(r, got)
	if string(got[:n]) != want {
		t.Fatalf("heard %q, %v; want %q", got[:n], err, want)
	}
}

func hexUID(uid int) string { return hex.EncodeToString([]byte(strconv.Itoa(uid))) }

// ping is a call of Ping as bytes.
func ping(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	m := &dbus.Message{Type: dbus.TypeMethodCall, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/")), dbus.FieldInterface: dbus.MakeVariant(ifacePeer), dbus.FieldMember: dbus.MakeVariant("Ping")}}
	if err := m.EncodeTo(&b, binary.LittleEndian); err != nil {
		t.Fatal(err)
	}
	p := b.Bytes()
	binary.LittleEndian.PutUint32(p[8:], 77)
	return p
}

// TestAuthentication says the same as clients do, in one piece, in pieces and
// wrongly; the message comes right behind BEGIN.
func TestAuthentication(t *testing.T) {
	s, _ := newService(t)
	path := private(t, s, everybody)
	begin := "NEGOTIATE_UNIX_FD\r\nBEGIN\r\n"
	for name, pieces := range map[string][]string{
		"as sd-bus does, pipelined": {"\x00AUTH EXTERNAL\r\nDATA\r\n" + begin + string(ping(t))},
		"with the identity":         {"\x00AUTH EXTERNAL " + hexUID(os.Getuid()) + "\r\n" + begin + string(ping(t))},
		"after other tries":         {"\x00AUTH\r\nAUTH ANONYMOUS\r\nNONSENSE\r\nAUTH EXTERNAL " + hexUID(4242) + "\r\nAUTH EXTERNAL " + hexUID(os.Getuid()) + "\r\n" + begin + string(ping(t))},
		"a byte at a time":          strings.Split("\x00AUTH EXTERNAL "+hexUID(os.Getuid())+"\r\n"+begin+string(ping(t)), ""),
	} {
		t.Run(name, func(t *testing.T) {
			nc := knock(t, path)
			for _, p := range pieces {
				say(t, nc, p)
			}
			answer := make([]byte, 0, 4096)
			for !bytes.Contains(answer, []byte("AGREE_UNIX_FD\r\nl\x02")) {
				var b [512]byte
				n, err := nc.Read(b[:])
				if err != nil {
					t.Fatalf("heard %q, %v; want the answer to Ping", answer, err)
				}
				answer = append(answer, b[:n]...)
			}
		})
	}
	for name, text := range map[string]string{
		"no zero byte":     "AUTH EXTERNAL\r\n",
		"begin at once":    "\x00BEGIN\r\n",
		"an endless line":  "\x00" + strings.Repeat("A", 3*maxAuthLine),
		"too many lines":   "\x00" + strings.Repeat("AUTH\r\n", 2*maxAuthLines),
		"wrong byte order": "\x00AUTH EXTERNAL " + hexUID(os.Getuid()) + "\r\nBEGIN\r\nX" + strings.Repeat("\x00", 40),
		"too large":        "\x00AUTH EXTERNAL " + hexUID(os.Getuid()) + "\r\nBEGIN\r\nl\x01\x00\x01\xff\xff\xff\x7f\x01\x00\x00\x00\xff\xff\xff\x7f",
		"too large fields": "\x00AUTH EXTERNAL " + hexUID(os.Getuid()) + "\r\nBEGIN\r\nl\x01\x00\x01\x00\x00\x00\x00\x01\x00\x00\x00\xff\xff\xff\xff",
	} {
		t.Run(name, func(t *testing.T) {
			nc := knock(t, path)
			_, _ = io.WriteString(nc, text) // it may hang up in the middle
			if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("it is not left")
			}
		})
	}
}

// Who is not allowed never gets as far as a message.
func TestForeignUser(t *testing.T) {
	s, _ := newService(t)
	nc := knock(t, private(t, s, func(uid uint32) bool { return int(uid) == os.Getuid()+1 }))
	say(t, nc, "\x00AUTH EXTERNAL "+hexUID(os.Getuid())+"\r\n")
	hear(t, nc, "REJECTED EXTERNAL\r\n")
}

// A peer that does not read is left when too much waits for it; others hear all.
func TestPeerThatDoesNotRead(t *testing.T) {
	s, _ := newService(t)
	path := private(t, s, everybody)
	deaf := knock(t, path)
	say(t, deaf, "\x00AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"+string(ping(t)))
	good := peer(t, path)
	ch := make(chan *dbus.Signal, 1)
	good.Signal(ch)
	if err := good.Object("", mainPath).Call(ifacePeer+".Ping", 0).Err; err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", 1<<20)
	for range 2 * maxQueuedBytes / len(text) {
		s.Emit(mainPath, mainIface, "Loud", text)
		if got := <-ch; got.Name != mainIface+".Loud" {
			t.Fatalf("heard %+v", got)
		}
	}
	if _, err := io.Copy(io.Discard, deaf); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the peer that does not read is still there")
	}
}

// Descriptors that nobody takes are closed.
func TestDescriptorsAreClosed(t *testing.T) {
	s, _ := newService(t)
	c := peer(t, private(t, s, everybody))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := open()
	for range 50 {
		if got := errorName(c.Object("", mainPath).Call(mainIface+".Nothing", 0, dbus.UnixFD(w.Fd())).Err); got != ErrUnknownMethod {
			t.Fatalf("Nothing = %s", got)
		}
	}
	if err := c.Object("", mainPath).Call(ifacePeer+".Ping", 0).Err; err != nil { // the last call is over now
		t.Fatal(err)
	}
	if after := open(); after > before {
		t.Errorf("%d descriptors became %d", before, after)
	}
	w.Close()
	if _, err := unix.Read(int(r.Fd()), make([]byte, 1)); err != nil {
		t.Errorf("the pipe has another writer: %v", err)
	}
}

// FuzzStream: whatever a peer sends, the answer is an error or a message, and
// nothing is held beyond the limit.
func FuzzStream(f *testing.F) {
	f.Add([]byte("l\x01\x00\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("B\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x08\x05\x01u\x00\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, st := streams(t)
		if len(data) > 64<<10 {
			data = data[:64<<10]
		}
		if _, err := a.conn().Write(data); err != nil {
			t.Fatal(err)
		}
		a.nc.Close()
		for {
			m, err := st.read()
			if err != nil {
				return
			}
			if m.Message == nil || m.IsValid() != nil {
				t.Fatalf("read a message that is none: %+v", m)
			}
			m.closeFDs()
		}
	})
}
