package unit

import (
	"strings"
	"time"

	"dynamod/internal/diag"
)

// bootActions are what a failed boot may lead to.
var bootActions = []string{"none", "reboot", "emergency"}

// Boot is what boot.toml says of the boot of the machine. A nil *Boot has the defaults.
type Boot struct {
	// Path is the file, Pos where its tables begin.
	Path string
	// values are the settings as of a unit.
	values *Unit
}

// bootSections are the names in the file of what the table of settings calls machine-boot:
// [boot] of a unit means that unit.
func bootSection(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, "boot")
	if !ok || rest != "" && rest[0] != '.' {
		return "", false
	}
	return "machine-boot" + rest, true
}

// BuildBoot makes it of the file. What is wrong is reported, and the rest holds.
func BuildBoot(src Source) (*Boot, []diag.Diag) {
	u := &Unit{Name: src.Name, Format: Native}
	b := &builder{u: u, src: &src, types: InBoot}
	boot := &Boot{values: u}
	for i := range src.Files {
		boot.Path = src.Files[i].Path
		for j := range src.Files[i].Fragments {
			f := src.Files[i].Fragments[j]
			section, ok := bootSection(f.Section)
			if !ok {
				b.add(diag.Diag{Pos: f.Pos, Severity: diag.Warning, Code: "unknown-section", Key: b.keyName(&f),
					Message: b.keyName(&f) + " has no meaning in boot.toml and is ignored", Hint: "its tables are [boot] and [boot.generation]"})
				continue
			}
			f.Section = section
			b.apply(&f)
		}
	}
	b.finish()
	if p := MachineBootStatusFile.Of(u); p != "" {
		id := MachineBootIDFrom.Of(u)
		switch {
		case !strings.HasPrefix(p, "/"):
			b.refuse(MachineBootStatusFile.s, "write an absolute path", "the status file %s has no absolute path and is not written", diag.Clip(p))
		case strings.Contains(p, "{id}") && id == "":
			b.refuse(MachineBootStatusFile.s, "say with id-from what {id} is", "the status file's path has {id} in it, and nothing says what that is; it is not written")
		}
	}
	for k := range b.diags { // as the file has it
		b.diags[k].Key = strings.Replace(b.diags[k].Key, "machine-boot.", "boot.", 1)
		b.diags[k].Message = strings.ReplaceAll(b.diags[k].Message, "machine-boot.", "boot.")
		b.diags[k].Hint = strings.ReplaceAll(b.diags[k].Hint, "machine-boot.", "boot.")
		b.diags[k].Unit = ""
	}
	return boot, b.diags
}

func (b *Boot) unit() *Unit {
	if b == nil {
		return &Unit{Format: Native}
	}
	return b.values
}

// Success are the units that must be up, Grace how long.
func (b *Boot) Success() []string    { return MachineBootSuccess.Of(b.unit()) }
func (b *Boot) Grace() time.Duration { return MachineBootGrace.Of(b.unit()) }

// Deadline is when a boot has failed, after the start of PID 1: 0 for PID 1's own time,
// Forever for never. Action is one of none, reboot and emergency.
func (b *Boot) Deadline() (after time.Duration, action string) {
	u := b.unit()
	return MachineBootDeadline.Of(u), MachineBootDeadlineAction.Of(u)
}

// Attempts is after how many failed boots the ladder begins, 0 for never.
func (b *Boot) Attempts() int { return int(MachineBootAttempts.Of(b.unit())) }

// SafeMode are the units that start in safe mode too.
func (b *Boot) SafeMode() []string { return MachineBootSafeMode.Of(b.unit()) }

// OnSuccess are the commands to run after a good boot.
func (b *Boot) OnSuccess() []Exec { return MachineBootOnSuccess.Of(b.unit()) }

// Status is the template of the status file, "" for none, and what {id} in it comes from.
func (b *Boot) Status() (file, idFrom string) {
	u := b.unit()
	file, idFrom = MachineBootStatusFile.Of(u), MachineBootIDFrom.Of(u)
	if !strings.HasPrefix(file, "/") || strings.Contains(file, "{id}") && idFrom == "" {
		file = ""
	}
	return file, idFrom
}

// NamedUnit is a unit that boot.toml names.
type NamedUnit struct {
	Key, Unit string
	Pos       diag.Pos
	// Success says that it must be up.
	Success bool
}

// Named are the units that the file names.
func (b *Boot) Named() (out []NamedUnit) {
	u := b.unit()
	for _, k := range []Key[[]string]{MachineBootSuccess, MachineBootSafeMode} {
		pos := u.Origin(k.s)
		for i, name := range k.Of(u) {
			m := NamedUnit{Key: strings.TrimPrefix(k.s.Native, "machine-"), Unit: name, Success: k == MachineBootSuccess}
			if i < len(pos) {
				m.Pos = pos[i]
			}
			out = append(out, m)
		}
	}
	return out
}
