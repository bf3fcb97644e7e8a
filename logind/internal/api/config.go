package api

import (
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dynamod/logind/internal/conf"
	"dynamod/logind/internal/session"
)

// configDirs are where logind.conf and logind.conf.d/ are looked for, the first wins
// (logind.conf(5)); sleep.conf is looked for in the same places.
var configDirs = []string{"etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd"}

// configFiles are the first NAME in the directories, and then all its drop-ins by name, of
// which the first directory's hide others of the same name.
func configFiles(root, name string) []string {
	dropins := map[string]string{}
	files := []string{}
	for _, d := range configDirs {
		main := filepath.Join(root, d, name)
		if _, err := os.Stat(main); err == nil && len(files) == 0 {
			files = append(files, main)
		}
		entries, err := os.ReadDir(filepath.Join(root, d, name+".d"))
		if err != nil {
			continue // most machines have none
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".conf") && dropins[e.Name()] == "" {
				dropins[e.Name()] = filepath.Join(root, d, name+".d", e.Name())
			}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(dropins)) {
		files = append(files, dropins[n])
	}
	return files
}

// readFiles reads them, as far as they can be read.
func readFiles(files []string, log *slog.Logger) []conf.File {
	var out []conf.File
	for _, f := range files {
		text, err := readFile(f)
		if err != nil {
			log.Warn("a file of settings is not read", "err", err)
			continue
		}
		out = append(out, conf.File{Name: f, Text: text})
	}
	return out
}

// readConfig reads logind.conf and its drop-ins.
func readConfig(root string, log *slog.Logger) conf.Settings {
	s := conf.Defaults()
	for _, f := range readFiles(configFiles(root, "logind.conf"), log) {
		for _, w := range s.Read(f.Name, f.Text) {
			log.Warn("a setting is not taken: " + w)
		}
	}
	return s
}

func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, conf.MaxFile))
	return string(data), err
}

// pauseDelay is how long a controller on a seat without terminals has to pause its
// devices, in microseconds: mutter never says that it has.
const pauseDelay = 500_000

func limits(s *conf.Settings, perUser int) session.Limits {
	return session.Limits{Sessions: s.Sessions, Inhibitors: s.Inhibitors, PerUser: perUser, InhibitDelay: s.InhibitDelay, UserStopDelay: s.UserStopDelay,
		RemoveIPC: s.RemoveIPC, PauseDelay: pauseDelay, AutoVTs: s.AutoVTs, ReserveVT: s.ReserveVT}
}

func handling(s *conf.Settings) session.Handling {
	return session.Handling{Do: s.Do, Ignore: s.Ignore, Holdoff: s.Holdoff, IdleAfter: s.IdleAfter, StopIdle: s.StopIdle, Sleep: s.Sleep}
}

// Reload reads the settings again (SIGHUP). What exists beyond a new limit stays.
func (s *Server) Reload() {
	settings := readConfig(s.opts.Root, s.log)
	s.sleepConf.again()
	defer s.attend()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings = settings
	s.core.Limits = limits(&settings, s.opts.PerUser)
	s.core.Handling = handling(&settings)
	s.reserve()
	s.log.Info("the settings were read again")
}

// config is a copy of the settings.
func (s *Server) config() conf.Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings
}

// reserve keeps the terminal of ReserveVT= from those who look for a free one.
func (s *Server) reserve() {
	if _, err := os.Stat(filepath.Join(s.opts.Root, "dev/tty0")); err != nil {
		return // no terminals
	}
	s.quietly("reserve a terminal", s.terminals.Reserve(s.settings.ReserveVT))
}
