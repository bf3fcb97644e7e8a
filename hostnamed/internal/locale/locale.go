package locale

import (
	"fmt"
	"strings"

	"dynamod/internal/envfile"
)

// variables are those that a locale is made of, in the order in which they are written
// (locale.conf(5)).
var variables = []string{"LANG", "LANGUAGE", "LC_CTYPE", "LC_NUMERIC", "LC_TIME", "LC_COLLATE", "LC_MONETARY", "LC_MESSAGES", "LC_PAPER", "LC_NAME",
	"LC_ADDRESS", "LC_TELEPHONE", "LC_MEASUREMENT", "LC_IDENTIFICATION"}

// fallback is the content of the file where there is none.
const fallback = "LANG=C.UTF-8\n"

// Variables are the names that SetLocale may set, for who must forget them all.
func Variables() []string { return append([]string{}, variables...) }

func isVariable(name string) bool {
	for _, v := range variables {
		if v == name {
			return true
		}
	}
	return false
}

// Current is the property Locale, from the content of /etc/locale.conf; exists says that
// the file is there. Values that are no names of locales are left out.
func Current(text string, exists bool) []string {
	if !exists {
		text = fallback
	}
	return assignments(envfile.Vars(text))
}

func assignments(list []envfile.Var) []string {
	out := []string{}
	for _, name := range variables {
		if v := envfile.Get(list, name); validFor(name, v) {
			out = append(out, name+"="+v)
		}
	}
	return out
}

// MaxName bounds the name of a locale, in bytes.
const MaxName = 128

// ValidName says that s can name a locale: letters, digits and "_.-@", and no path.
func ValidName(s string) bool {
	if s == "" || len(s) > MaxName || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_.-@", c) >= 0) {
			return false
		}
	}
	return true
}

// validFor is ValidName, but LANGUAGE is a list with colons (gettext's).
func validFor(name, value string) bool {
	if name != "LANGUAGE" {
		return ValidName(value)
	}
	for part := range strings.SplitSeq(value, ":") {
		if !ValidName(part) {
			return false
		}
	}
	return true
}

// Wanted reads the argument of SetLocale; installed says whether there is a locale. What
// cannot be is refused with words for the client. A word alone is for LANG.
func Wanted(args []string, installed func(string) bool) (vars []envfile.Var, refusal string) {
	if len(args) == 1 && !strings.Contains(args[0], "=") {
		if !ValidName(args[0]) {
			return nil, "Invalid locale specification: " + args[0]
		}
		if !installed(args[0]) {
			return nil, "Specified locale is not installed: " + args[0]
		}
		return []envfile.Var{{Name: "LANG", Value: args[0]}}, ""
	}
	for _, a := range args {
		name, value, ok := strings.Cut(a, "=")
		switch {
		case !ok || !isVariable(name):
			return nil, fmt.Sprintf("Locale assignment %s not valid, refusing.", a)
		case !validFor(name, value):
			return nil, fmt.Sprintf("Locale %s is not valid, refusing.", value)
		case name != "LANGUAGE" && !installed(value):
			return nil, fmt.Sprintf("Locale %s not installed, refusing.", value)
		case envfile.Get(vars, name) != "":
			return nil, fmt.Sprintf("Locale variable %s set twice, refusing.", name)
		}
		vars = append(vars, envfile.Var{Name: name, Value: value})
	}
	return vars, ""
}

// Merge is the content of /etc/locale.conf after SetLocale: what is wanted, and what was
// there before and is not wanted otherwise, but no category that is the same as LANG.
// exists says whether there was a file, languages which LANGUAGE belongs to a locale when
// only LANG is set. Lines that are no part of a locale stay.
func Merge(text string, exists bool, wanted []envfile.Var, languages string) string {
	if !exists {
		text = fallback
	}
	list := envfile.Vars(text)
	if len(wanted) == 1 && wanted[0].Name == "LANG" {
		list = envfile.Set(list, "LANGUAGE", fallbackLanguages(languages, wanted[0].Value))
	}
	for _, w := range wanted {
		list = envfile.Set(list, w.Name, w.Value)
	}
	lang := envfile.Get(list, "LANG")
	var out []envfile.Var
	for _, name := range variables {
		v := envfile.Get(list, name)
		if validFor(name, v) && (name == "LANG" || v != lang) {
			out = append(out, envfile.Var{Name: name, Value: v})
		}
	}
	for _, v := range list {
		if !isVariable(v.Name) {
			out = append(out, v)
		}
	}
	return envfile.Render(out)
}

// Assignments are those of a file as the manager's environment takes them.
func Assignments(text string) []string { return assignments(envfile.Vars(text)) }

// fallbackLanguages looks a locale up in a table of lines "fr_CA fr_CA:fr_FR".
func fallbackLanguages(table, name string) string {
	lang, _, _ := strings.Cut(name, ".")
	lang, _, _ = strings.Cut(lang, "@")
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) == 2 && f[0] == lang && validFor("LANGUAGE", f[1]) {
			return f[1]
		}
	}
	return ""
}
