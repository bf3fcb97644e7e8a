package vm

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
)

// Console is the guest's first serial line: what it prints is in console.log, and
// tests can wait for words and type.
type Console struct {
	conn io.ReadWriter
	log  io.Writer
	tell func(line string)

	mu      sync.Mutex
	text    string // what no Expect has consumed yet
	recent  string // the end of everything
	changed chan struct{}
	ended   bool
}

// maxConsole bounds what is kept for Expect and for error messages.
const maxConsole = 128 << 10

func newConsole(conn io.ReadWriter, log io.Writer, tell func(string)) *Console {
	return &Console{conn: conn, log: log, tell: tell, changed: make(chan struct{})}
}

func (c *Console) read() {
	buf := make([]byte, 16<<10)
	for {
		n, err := c.conn.Read(buf)
		if n > 0 {
			_, _ = c.log.Write(buf[:n])
		}
		c.mu.Lock()
		c.text = lastOf(c.text+string(buf[:n]), maxConsole)
		c.recent = lastOf(c.recent+string(buf[:n]), 16<<10)
		c.ended = err != nil
		close(c.changed)
		c.changed = make(chan struct{})
		recent := c.recent
		c.mu.Unlock()
		if err != nil {
			return
		}
		if lines := strings.Split(strings.TrimRight(recent, "\r\n"), "\n"); len(lines) > 0 {
			c.tell(clean(lines[len(lines)-1]))
		}
	}
}

func lastOf(s string, n int) string { return s[max(0, len(s)-n):] }

// escapes are what terminals take for themselves.
var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>78cM]|[\x00-\x08\x0b-\x1f\x7f]")

// clean takes out what would move somebody's cursor.
func clean(s string) string { return escapes.ReplaceAllString(s, "") }

// Expect waits until the guest has printed something that matches, after what the
// last Expect found, and returns it.
func (c *Console) Expect(ctx context.Context, pattern string) (string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return "", err
	}
	for {
		c.mu.Lock()
		at := re.FindStringIndex(c.text)
		found := ""
		if at != nil {
			found = c.text[at[0]:at[1]]
			c.text = c.text[at[1]:]
		}
		ended, changed := c.ended, c.changed
		c.mu.Unlock()
		switch {
		case at != nil:
			return found, nil
		case ended:
			return "", fmt.Errorf("wait for %q on the console: %w; its last lines:\n%s", pattern, errEnded, c.Tail(15))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", fmt.Errorf("wait for %q on the console: %w; its last lines:\n%s", pattern, context.Cause(ctx), c.Tail(15))
		}
	}
}

// Send types text. A line ends with "\n".
func (c *Console) Send(text string) error {
	_, err := io.WriteString(c.conn, text)
	return err
}

// Tail is the last n lines, indented.
func (c *Console) Tail(n int) string {
	c.mu.Lock()
	text := c.recent
	c.mu.Unlock()
	lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	lines = lines[max(0, len(lines)-n):]
	for i, l := range lines {
		lines[i] = "\t" + clean(l)
	}
	return strings.Join(lines, "\n")
}
