package host

import (
	"strconv"
	"strings"
	"time"
)

// Unknown is a moment, in microseconds since 1970, that nobody knows.
const Unknown = ^uint64(0)

// Machine is what tells the kind of a machine: the trimmed contents of files, "" where
// there is none.
type Machine struct {
	// Container and VM are names of systemd-detect-virt(1).
	Container, VM string
	// DMI is /sys/class/dmi/id/chassis_type, a decimal number (SMBIOS, "System Enclosure or
	// Chassis Types").
	DMI string
	// ACPI is /sys/firmware/acpi/pm_profile, a decimal number (ACPI, "Preferred PM
	// Profile System Types").
	ACPI string
	// Tree is /proc/device-tree/chassis-type (Devicetree Specification, "Root node").
	Tree string
}

// byDMI are the types of enclosures of SMBIOS that tell what a machine is. Others are
// parts of machines, or of any kind.
var byDMI = map[int]string{
	3: "desktop", 4: "desktop", 6: "desktop", 7: "desktop", 13: "desktop", 24: "desktop", 35: "desktop", 36: "desktop",
	8: "laptop", 9: "laptop", 10: "laptop", 14: "laptop",
	11: "handset",
	17: "server", 23: "server", 28: "server", 29: "server",
	30: "tablet", 31: "convertible", 32: "convertible",
	33: "embedded", 34: "embedded",
}

var byACPI = map[int]string{1: "desktop", 2: "laptop", 3: "desktop", 4: "server", 5: "server", 7: "server", 8: "tablet"}

// byTree are the words of the Devicetree Specification that are not ours.
var byTree = map[string]string{"all-in-one": "desktop"}

// Chassis is the kind of the machine, "" if nothing tells it.
func (m Machine) Chassis() string {
	switch {
	case m.Container != "":
		return "container"
	case m.VM != "":
		return "vm"
	}
	if c := byNumber(byDMI, m.DMI); c != "" {
		return c
	}
	if c := byNumber(byACPI, m.ACPI); c != "" {
		return c
	}
	t := strings.TrimRight(m.Tree, "\x00")
	if c := byTree[t]; c != "" {
		return c
	}
	if t != "" && ValidChassis(t) {
		return t
	}
	return ""
}

func byNumber(table map[int]string, text string) string {
	n, err := strconv.Atoi(text)
	if err != nil {
		return ""
	}
	return table[n]
}

// FirmwareDate reads bios_date of DMI, "MM/DD/YYYY" (SMBIOS, "BIOS Release Date"; a year of
// two digits is one of the last century there), as microseconds since 1970 in UTC.
func FirmwareDate(s string) uint64 {
	for _, layout := range []string{"01/02/2006", "1/2/2006"} {
		if t, err := time.Parse(layout, s); err == nil {
			return micros(t)
		}
	}
	if len(s) == len("01/02/06") {
		if t, err := time.Parse("01/02/2006", s[:6]+"19"+s[6:]); err == nil {
			return micros(t)
		}
	}
	return Unknown
}

// Day reads a day of os-release(5), "2030-05-06".
func Day(s string) uint64 {
	t, err := time.Parse("2006-01-02", s)
	if err != nil {
		return Unknown
	}
	return micros(t)
}

func micros(t time.Time) uint64 {
	if t.UnixMicro() < 0 {
		return Unknown
	}
	return uint64(t.UnixMicro())
}

// ID reads 128 bits of hexadecimal digits, with or without hyphens; ok is false for
// anything else, and for all zeros or all ones, which firmware has that knows none.
func ID(s string) (id [16]byte, ok bool) {
	n := 0
	for i := range len(s) {
		if s[i] == '-' {
			continue
		}
		v, err := strconv.ParseUint(s[i:i+1], 16, 8)
		if err != nil || n == 32 {
			return id, false
		}
		id[n/2] = id[n/2]<<4 | byte(v)
		n++
	}
	return id, n == 32 && id != [16]byte{} && id != ones
}

var ones = [16]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}
