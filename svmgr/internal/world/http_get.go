package world

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A checker needs one request and one line of the answer. Package net/http would
// cost the manager more memory than everything else it does.

var errNotHTTP = errors.New("it is no http:// URL")

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", printable(text), errNotHTTP)
	}
	if u.Scheme != "http" || u.Hostname() == "" {
		return nil, fmt.Errorf("%q: %w", printable(text), errNotHTTP)
	}
	return u, nil
}

// maxStatusLine bounds what a server may say before its status is known.
const maxStatusLine = 4096

// fetch asks for a URL; nil means a status from 200 to 399.
func fetch(ctx context.Context, text string) error {
	u, err := parseURL(text)
	if err != nil {
		return err
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return fmt.Errorf("connect %s: %w", u.Host, shorter(err))
	}
	defer c.Close()
	// A cancelled context ends reads and writes too.
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: dynamod\r\nAccept: */*\r\nConnection: close\r\n\r\n", u.RequestURI(), u.Host); err != nil {
		return fmt.Errorf("ask %s: %w", u.Host, shorter(err))
	}
	line, err := bufio.NewReaderSize(c, maxStatusLine).ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("answer of %s: %w", u.Host, shorter(err))
	}
	version, rest, _ := strings.Cut(string(line), " ")
	code, reason, _ := strings.Cut(strings.TrimSpace(rest), " ")
	status, err := strconv.Atoi(code)
	if !strings.HasPrefix(version, "HTTP/") || err != nil {
		return fmt.Errorf("the answer of %s is not HTTP", u.Host)
	}
	if status < 200 || status > 399 {
		return fmt.Errorf("HTTP status %d %s", status, printable(reason))
	}
	return nil
}
