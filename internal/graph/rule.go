package graph

import (
	"strings"

	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// rule says why a dependency exists; its text is Dependency.Origin.
type rule uint8

const (
	// ruleFile: a file or link asked for it.
	ruleFile rule = iota
	ruleDefault
	ruleDefaultTarget
	ruleNativeShutdown
	ruleDBus
	ruleActivates
	ruleSlice
	ruleSliceParent
	ruleMountsFor
	ruleMountParent
	ruleDirectories
	rulePrivateTmp
	ruleLogs
	ruleBackingDevice
	ruleQuota
	ruleNetDevice
	ruleUserRoot

	rules
)

var ruleText = [rules]string{
	ruleFile:           "",
	ruleDefault:        "default: DefaultDependencies=, systemd.%(5)",
	ruleDefaultTarget:  "default: a target starts after what it wants and requires, systemd.target(5)",
	ruleNativeShutdown: "default: native units end before shutdown.target",
	ruleDBus:           "implicit: Type=dbus, systemd.service(5)",
	ruleActivates:      "implicit: activates it, systemd.%(5)",
	ruleSlice:          "implicit: Slice=, systemd.resource-control(5)",
	ruleSliceParent:    "implicit: the slice above, systemd.slice(5)",
	ruleMountsFor:      "implicit: the path is below this mount, systemd.unit(5) RequiresMountsFor=",
	ruleMountParent:    "implicit: the mount above, systemd.%(5)",
	ruleDirectories:    "implicit: a directory of the unit is below this mount, systemd.exec(5)",
	rulePrivateTmp:     "implicit: PrivateTmp=, systemd.exec(5)",
	ruleLogs:           "implicit: output goes to the journal, systemd.exec(5)",
	ruleBackingDevice:  "implicit: the backing device, systemd.%(5)",
	ruleQuota:          "implicit: quota is on, systemd.mount(5)",
	ruleNetDevice:      "implicit: BindToDevice=, systemd.socket(5)",
	ruleUserRoot:       "implicit: programs of a user manager start in the home directory",
}

// keyRef names the setting whose item made a dependency; 0 is none.
type keyRef uint16

func refTo(s *unit.Setting) keyRef { return keyRef(s.ID) + 1 }

// text is the rule for people; "%" stands for the type of the unit.
func (r rule) text(t unitname.Type) string {
	return strings.Replace(ruleText[r], "%", t.String(), 1)
}
