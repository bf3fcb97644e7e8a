package host

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is the longest host name, in bytes (hostname(7), HOST_NAME_MAX).
const MaxName = 64

// Fallback is the name of a machine that nobody has named.
const Fallback = "localhost"

// ValidName says that s may be a host name: labels of ASCII letters, digits and hyphens
// with dots between them, no hyphen at the edge of a label, at most MaxName bytes. An
// empty one is none.
func ValidName(s string) bool {
	if s == "" || len(s) > MaxName {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if !inName(label[i]) {
				return false
			}
		}
	}
	return true
}

func inName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-'
}

// StaticName reads /etc/hostname: the first line that is no comment. What cannot be in a
// name is dropped from it, as systemd does; "" if nothing is left.
func StaticName(text string) string {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		return clean(line)
	}
	return ""
}

func clean(s string) string {
	var labels []string
	left := MaxName
	for label := range strings.SplitSeq(s, ".") {
		var b strings.Builder
		for i := range len(label) {
			if inName(label[i]) {
				b.WriteByte(label[i])
			}
		}
		l := strings.Trim(b.String(), "-")
		if len(labels) > 0 {
			left-- // the dot
		}
		if l == "" || left <= 0 {
			if len(labels) > 0 {
				left++
			}
			continue
		}
		l = strings.TrimRight(l[:min(len(l), left)], "-")
		left -= len(l)
		labels = append(labels, l)
	}
	return strings.Join(labels, ".")
}

// text says that s is UTF-8 of one line, and nothing in it steers a terminal.
func text(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return utf8.ValidString(s)
}

// MaxText bounds pretty name and location, in bytes.
const MaxText = 4096

// ValidPretty, ValidLocation and the like say what may be set; "" is always allowed, and
// takes the value away.
func ValidPretty(s string) bool { return len(s) <= MaxText && text(s) }

// ValidLocation is for LOCATION=.
func ValidLocation(s string) bool { return ValidPretty(s) }

// ValidIcon is for ICON_NAME=: the name of a file, of up to 255 bytes. systemd lets
// control characters pass; here they do not, because readers of /etc/machine-info that go
// by lines would see another assignment.
func ValidIcon(s string) bool {
	return len(s) <= 255 && s != "." && s != ".." && !strings.Contains(s, "/") && text(s)
}

// ValidDeployment is for DEPLOYMENT=: letters, digits, and "-.:".
func ValidDeployment(s string) bool {
	for i := range len(s) {
		if !inName(s[i]) && s[i] != '.' && s[i] != ':' {
			return false
		}
	}
	return len(s) <= MaxText
}

// chassis are the kinds of machines (machine-info(5)).
var chassis = []string{"desktop", "laptop", "convertible", "server", "tablet", "handset", "watch", "embedded", "vm", "container"}

// ValidChassis is for CHASSIS=.
func ValidChassis(s string) bool {
	for _, c := range chassis {
		if s == c {
			return true
		}
	}
	return s == ""
}
