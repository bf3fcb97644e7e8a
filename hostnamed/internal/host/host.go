package host

import (
	"bytes"
	"encoding/hex"
	"encoding/json"

	"dynamod/internal/envfile"
)

// Facts are what is known of a machine at one moment.
type Facts struct {
	// Kernel is the name that the kernel has (uname(2)).
	Kernel string
	// Static is that of /etc/hostname, read by StaticName.
	Static string
	// Marked is the content of /run/systemd/default-hostname, which is there while the
	// name is the default one.
	Marked string
	// Info is /etc/machine-info, Release os-release(5).
	Info, Release []envfile.Var
	Machine       Machine
	// Sysname, Version and KernelRelease are those of uname(2).
	Sysname, KernelRelease, Version string
	// What DMI says, trimmed. Serial and UUID are "" for whom they are not meant.
	Vendor, Model, Serial, UUID                   string
	FirmwareVersion, FirmwareVendor, FirmwareDate string
	MachineID, BootID                             [16]byte
	// CID is the machine's address for vsock(7).
	CID uint32
}

// NoCID is the address of a machine that has none.
const NoCID = ^uint32(0)

// Default is the name that is used when there is no other (os-release(5),
// DEFAULT_HOSTNAME=).
func (f *Facts) Default() string {
	if n := envfile.Get(f.Release, "DEFAULT_HOSTNAME"); ValidName(n) {
		return n
	}
	return Fallback
}

// Hostname is the name in force; it is never empty.
func (f *Facts) Hostname() string {
	if f.Kernel == "" || f.Kernel == "(none)" {
		return f.Default()
	}
	return f.Kernel
}

// Source says where the name comes from.
func (f *Facts) Source() string {
	switch n := f.Hostname(); {
	case n == f.Static:
		return "static"
	case n == f.Marked || f.Kernel != n:
		return "default"
	}
	return "transient"
}

// Apply says which name is to be in force after transient was asked for ("" is none), and
// whether it is the default one: the static name is before a transient one, and that is
// before the default (hostname(5)).
func (f *Facts) Apply(transient string) (name string, isDefault bool) {
	switch {
	case f.Static != "":
		return f.Static, false
	case transient != "":
		return transient, false
	}
	return f.Default(), true
}

func (f *Facts) info(key string) string { return envfile.Get(f.Info, key) }

// Pretty, Deployment and Location are what machine-info says.
func (f *Facts) Pretty() string { return f.info("PRETTY_HOSTNAME") }

// Deployment is where the machine is used.
func (f *Facts) Deployment() string { return f.info("DEPLOYMENT") }

// Location is where it stands.
func (f *Facts) Location() string { return f.info("LOCATION") }

// Chassis is what machine-info says, or what the machine looks like.
func (f *Facts) Chassis() string {
	if c := f.info("CHASSIS"); c != "" {
		return c
	}
	return f.Machine.Chassis()
}

// Icon is what machine-info says, or one made of the chassis.
func (f *Facts) Icon() string {
	if i := f.info("ICON_NAME"); i != "" {
		return i
	}
	if c := f.Chassis(); c != "" {
		return "computer-" + c
	}
	return "computer"
}

// HardwareVendor is what machine-info says, or udev, or DMI.
func (f *Facts) HardwareVendor() string { return First(f.info("HARDWARE_VENDOR"), f.Vendor) }

// HardwareModel is what machine-info says, or udev, or DMI.
func (f *Facts) HardwareModel() string { return First(f.info("HARDWARE_MODEL"), f.Model) }

// Support is the end of the system's support, in microseconds since 1970, or Unknown.
func (f *Facts) Support() uint64 { return Day(envfile.Get(f.Release, "SUPPORT_END")) }

// OS is a field of os-release.
func (f *Facts) OS(key string) string { return envfile.Get(f.Release, key) }

// OSName is the system's name for people (os-release(5): "Linux" is what to assume).
func (f *Facts) OSName() string {
	return First(f.OS("PRETTY_NAME"), f.OS("NAME"), "Linux")
}

// First is the first that is not empty.
func First(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

// Describe is the machine as JSON, in systemd's order. What is not known is null; moments
// that are not known are left out.
func (f *Facts) Describe() (string, error) {
	var o object
	uuid, hasUUID := ID(f.UUID)
	o.text("Hostname", f.Hostname())
	o.text("StaticHostname", f.Static)
	o.text("PrettyHostname", f.Pretty())
	o.text("DefaultHostname", f.Default())
	o.text("HostnameSource", f.Source())
	o.text("IconName", f.Icon())
	o.text("Chassis", f.Chassis())
	o.text("Deployment", f.Deployment())
	o.text("Location", f.Location())
	o.text("KernelName", f.Sysname)
	o.text("KernelRelease", f.KernelRelease)
	o.text("KernelVersion", f.Version)
	o.text("OperatingSystemPrettyName", f.OSName())
	o.text("OperatingSystemCPEName", f.OS("CPE_NAME"))
	o.text("OperatingSystemHomeURL", f.OS("HOME_URL"))
	o.moment("OperatingSystemSupportEnd", f.Support())
	o.vars("OperatingSystemReleaseData", f.Release)
	o.vars("MachineInformationData", f.Info)
	o.text("HardwareVendor", f.HardwareVendor())
	o.text("HardwareModel", f.HardwareModel())
	o.text("HardwareSerial", f.Serial)
	o.text("FirmwareVersion", f.FirmwareVersion)
	o.text("FirmwareVendor", f.FirmwareVendor)
	o.moment("FirmwareDate", FirmwareDate(f.FirmwareDate))
	o.id("MachineID", f.MachineID, f.MachineID != [16]byte{})
	o.id("BootID", f.BootID, f.BootID != [16]byte{})
	o.id("ProductUUID", uuid, hasUUID)
	if f.CID == NoCID {
		o.put("VSockCID", nil)
	} else {
		o.put("VSockCID", f.CID)
	}
	return o.end()
}

// object is a JSON object whose keys keep their order.
type object struct {
	b   bytes.Buffer
	err error
}

func (o *object) put(key string, v any) {
	o.b.WriteByte(map[bool]byte{true: '{', false: ','}[o.b.Len() == 0])
	enc := json.NewEncoder(&o.b)
	enc.SetEscapeHTML(false)
	for i, x := range []any{key, v} {
		if err := enc.Encode(x); err != nil {
			o.err = err
			return
		}
		o.b.Truncate(o.b.Len() - 1) // the encoder's newline
		if i == 0 {
			o.b.WriteByte(':')
		}
	}
}

func (o *object) end() (string, error) {
	o.b.WriteByte('}')
	return o.b.String(), o.err
}

func (o *object) text(key, v string) {
	if v == "" {
		o.put(key, nil)
		return
	}
	o.put(key, v)
}

func (o *object) moment(key string, v uint64) {
	if v != Unknown {
		o.put(key, v)
	}
}

func (o *object) vars(key string, list []envfile.Var) {
	out := []string{}
	for _, v := range list {
		out = append(out, v.Name+"="+v.Value)
	}
	o.put(key, out)
}

func (o *object) id(key string, id [16]byte, known bool) {
	if !known {
		o.put(key, nil)
		return
	}
	o.put(key, hex.EncodeToString(id[:]))
}
