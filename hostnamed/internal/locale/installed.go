package locale

import (
	"encoding/binary"
	"strings"
)

// Normal is a name with its codeset as glibc has it on disk: "de_DE.UTF-8@euro" is
// "de_DE.utf8@euro" (setlocale(3), "normalized codeset").
func Normal(name string) string {
	base, codeset, ok := strings.Cut(name, ".")
	if !ok {
		return name
	}
	codeset, modifier, hasModifier := strings.Cut(codeset, "@")
	var b strings.Builder
	digits := true
	for i := range len(codeset) {
		c := codeset[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
			digits = false
		case 'a' <= c && c <= 'z':
			digits = false
		case c < '0' || c > '9':
			continue
		}
		b.WriteByte(c)
	}
	codeset = b.String()
	if digits && codeset != "" {
		codeset = "iso" + codeset
	}
	if hasModifier {
		codeset += "@" + modifier
	}
	return base + "." + codeset
}

// Installed says whether a locale is there: names are those of the directories below
// /usr/lib/locale and of the archive in it, as they stand there.
func Installed(name string, names []string) bool {
	if name == "C" || name == "POSIX" {
		return true // they are in every libc
	}
	want := Normal(name)
	for _, n := range names {
		if n == name || Normal(n) == want {
			return true
		}
	}
	return false
}

// archiveMagic is the start of glibc's locale-archive (locale/locarchive.h describes the
// format: a header of numbers, among them place and size of a table of names).
const archiveMagic = 0xde020109

// maxNames bounds how many names an archive may have.
const maxNames = 1 << 16

// Archive are the names of the locales in glibc's locale-archive. What is no archive has
// none; what is broken in it is left out.
func Archive(data []byte) []string {
	number := func(at uint64) (uint64, bool) {
		if at+4 > uint64(len(data)) {
			return 0, false
		}
		return uint64(binary.NativeEndian.Uint32(data[at:])), true
	}
	magic, _ := number(0)
	table, ok1 := number(8) // after magic and serial: offset, used, size
	size, ok2 := number(16)
	if magic != archiveMagic || !ok1 || !ok2 || size > maxNames {
		return nil
	}
	var out []string
	for i := range size {
		entry := table + 12*i // hash, place of the name, place of the locale
		at, ok := number(entry + 4)
		locale, there := number(entry + 8)
		if !ok || !there || at == 0 || locale == 0 || at >= uint64(len(data)) {
			continue
		}
		rest := data[at:min(at+MaxName+1, uint64(len(data)))]
		if end := strings.IndexByte(string(rest), 0); end > 0 && ValidName(string(rest[:end])) {
			out = append(out, string(rest[:end]))
		}
	}
	return out
}
