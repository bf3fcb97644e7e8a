package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dynamod/svmgr/internal/world"
)

// localeNames are the variables of locale.conf(5).
var localeNames = strings.Fields("LANG LANGUAGE LC_CTYPE LC_NUMERIC LC_TIME LC_COLLATE LC_MONETARY LC_MESSAGES LC_PAPER LC_NAME LC_ADDRESS LC_TELEPHONE LC_MEASUREMENT LC_IDENTIFICATION")

// locale is the language of the machine: that of locale.conf(5), over it what the kernel
// command line says (systemd(1), locale.LANG=), and C.UTF-8 where neither says anything.
func locale(root, cmdline string) []string {
	set := map[string]string{}
	if f, err := os.Open(filepath.Join(root, "etc/locale.conf")); err == nil {
		text, _ := io.ReadAll(io.LimitReader(f, maxEnvironment)) // what cannot be read says nothing
		f.Close()
		for _, v := range world.ParseEnvironment(string(text)) {
			name, value, _ := strings.Cut(v, "=")
			set[name] = value
		}
	}
	for w := range strings.FieldsSeq(cmdline) {
		if v, ok := strings.CutPrefix(w, "locale."); ok {
			if name, value, ok := strings.Cut(v, "="); ok {
				set[name] = value
			}
		}
	}
	if set["LANG"] == "" {
		set["LANG"] = "C.UTF-8"
	}
	var out []string
	for _, name := range localeNames {
		if v := set[name]; v != "" && validVariable(name, v) == nil {
			out = append(out, name+"="+v)
		}
	}
	slices.Sort(out)
	return out
}

// machineLocale is locale for this machine.
func machineLocale() []string {
	cmdline, _ := os.ReadFile("/proc/cmdline") // none: it says nothing
	return locale("/", string(cmdline))
}
