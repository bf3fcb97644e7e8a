// Package label is the escaping of names in object paths of D-Bus.
package label

import "strings"

// Escape makes a name one element of an object path: all but letters and digits, and
// a digit at the beginning, becomes _xx; nothing becomes _ (sd_bus_path_encode(3)).
func Escape(name string) string {
	if name == "" {
		return "_"
	}
	const hex = "0123456789abcdef"
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('_')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// Unescape is the reverse of Escape; false for what Escape never gives.
func Unescape(label string) (string, bool) {
	if label == "_" {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(label); i++ {
		if label[i] != '_' {
			b.WriteByte(label[i])
			continue
		}
		if i+2 >= len(label) {
			return "", false
		}
		hi, lo := strings.IndexByte("0123456789abcdef", label[i+1]), strings.IndexByte("0123456789abcdef", label[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), Escape(b.String()) == label
}
