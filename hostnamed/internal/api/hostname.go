package api

import (
	"dynamod/hostnamed/internal/host"
	"dynamod/internal/bus"
	"dynamod/internal/envfile"
	"dynamod/internal/sys/uevent"
)

// Files of hostname1.
const (
	etcHostname = "etc/hostname"
	machineInfo = "etc/machine-info"
	// marker is there while the name is the default one; its content is that name.
	marker = "run/systemd/default-hostname"
	dmi    = "sys/class/dmi/id/"
	// udevDMI is what udev knows of the firmware's tables: names from its hardware database,
	// and those that its rules make of sysfs.
	udevDMI = "run/udev/data/+dmi:id"
)

const hostAction = hostName + "."

// fixed are the facts that do not change while we run.
type fixed struct {
	machine                        host.Machine
	vendor, model                  string
	firmware, firmwareBy, released string
	boot                           [16]byte
	cid                            uint32
	sysname, release, version      string
}

func (s *Server) readFixed() fixed {
	v := s.kernel.Virt()
	f := fixed{
		machine: host.Machine{Container: v.Container, VM: v.VM, DMI: s.disk.Line(dmi + "chassis_type"), ACPI: s.disk.Line("sys/firmware/acpi/pm_profile"),
			Tree: s.disk.Line("proc/device-tree/chassis-type")},
		vendor: line(s.disk.Line(dmi + "sys_vendor")), model: line(s.disk.Line(dmi + "product_name")),
		firmware: line(s.disk.Line(dmi + "bios_version")), firmwareBy: line(s.disk.Line(dmi + "bios_vendor")), released: s.disk.Line(dmi + "bios_date"),
		cid: s.kernel.CID(),
	}
	if f.model == "" {
		f.model = line(s.disk.Line("proc/device-tree/model"))
	}
	f.boot, _ = host.ID(s.disk.Line("proc/sys/kernel/random/boot_id")) // a kernel without is shown as without
	if u, err := s.kernel.Uname(); err != nil {
		s.log.Warn("the kernel does not say what it is", "err", err)
	} else {
		f.sysname, f.release, f.version = u.Sysname, u.Release, u.Version
	}
	return f
}

// facts are those of this moment, but what only root may read.
func (s *Server) facts() *host.Facts {
	x := s.fixed()
	f := &host.Facts{
		Static: host.StaticName(s.read(etcHostname)), Marked: s.disk.Line(marker), Info: envfile.Vars(s.read(machineInfo)), Release: s.release(),
		Machine: x.machine, Sysname: x.sysname, KernelRelease: x.release, Version: x.version,
		Vendor: x.vendor, Model: x.model, FirmwareVersion: x.firmware, FirmwareVendor: x.firmwareBy, FirmwareDate: x.released,
		BootID: x.boot, CID: x.cid,
	}
	udev := uevent.ParseData([]byte(s.read(udevDMI))).Props
	f.Vendor = line(host.First(udev["ID_VENDOR_FROM_DATABASE"], udev["ID_VENDOR"], f.Vendor))
	f.Model = line(host.First(udev["ID_MODEL_FROM_DATABASE"], udev["ID_MODEL"], f.Model))
	f.MachineID, _ = host.ID(s.disk.Line("etc/machine-id")) // none, or "uninitialized", is shown as none
	if u, err := s.kernel.Uname(); err == nil {
		f.Kernel = u.Node
	}
	return f
}

// release is os-release(5), of which /etc's comes first.
func (s *Server) release() []envfile.Var {
	text := s.read("etc/os-release")
	if text == "" {
		text = s.read("usr/lib/os-release")
	}
	return envfile.Vars(text)
}

func (s *Server) hostParts(p bus.Parts) {
	get := func(name string, value func(*host.Facts) any) {
		p.Getters["hostname1."+name] = func(o any) (any, error) { return value(o.(*host.Facts)), nil }
	}
	text := func(name string, value func(*host.Facts) string) {
		get(name, func(f *host.Facts) any { return line(value(f)) })
	}
	text("Hostname", (*host.Facts).Hostname)
	text("StaticHostname", func(f *host.Facts) string { return f.Static })
	text("PrettyHostname", (*host.Facts).Pretty)
	text("DefaultHostname", (*host.Facts).Default)
	text("HostnameSource", (*host.Facts).Source)
	text("IconName", (*host.Facts).Icon)
	text("Chassis", (*host.Facts).Chassis)
	text("Deployment", (*host.Facts).Deployment)
	text("Location", (*host.Facts).Location)
	text("KernelName", func(f *host.Facts) string { return f.Sysname })
	text("KernelRelease", func(f *host.Facts) string { return f.KernelRelease })
	text("KernelVersion", func(f *host.Facts) string { return f.Version })
	text("OperatingSystemPrettyName", (*host.Facts).OSName)
	text("OperatingSystemCPEName", func(f *host.Facts) string { return f.OS("CPE_NAME") })
	text("HomeURL", func(f *host.Facts) string { return f.OS("HOME_URL") })
	text("HardwareVendor", (*host.Facts).HardwareVendor)
	text("HardwareModel", (*host.Facts).HardwareModel)
	text("FirmwareVersion", func(f *host.Facts) string { return f.FirmwareVersion })
	text("FirmwareVendor", func(f *host.Facts) string { return f.FirmwareVendor })
	get("OperatingSystemSupportEnd", func(f *host.Facts) any { return f.Support() })
	get("FirmwareDate", func(f *host.Facts) any { return host.FirmwareDate(f.FirmwareDate) })
	get("MachineID", func(f *host.Facts) any { return bytesOf(f.MachineID) })
	get("BootID", func(f *host.Facts) any { return bytesOf(f.BootID) })
	get("VSockCID", func(f *host.Facts) any { return f.CID })

	p.Methods["hostname1.SetHostname"] = s.setHostname
	p.Methods["hostname1.SetStaticHostname"] = s.setStatic
	p.Methods["hostname1.SetPrettyHostname"] = s.setInfo("PRETTY_HOSTNAME", "pretty hostname", "set-static-hostname", host.ValidPretty, "PrettyHostname")
	p.Methods["hostname1.SetIconName"] = s.setInfo("ICON_NAME", "icon name", "set-machine-info", host.ValidIcon, "IconName")
	p.Methods["hostname1.SetChassis"] = s.setInfo("CHASSIS", "chassis", "set-machine-info", host.ValidChassis, "Chassis", "IconName")
	p.Methods["hostname1.SetDeployment"] = s.setInfo("DEPLOYMENT", "deployment", "set-machine-info", host.ValidDeployment, "Deployment")
	p.Methods["hostname1.SetLocation"] = s.setInfo("LOCATION", "location", "set-machine-info", host.ValidLocation, "Location")
	p.Methods["hostname1.GetProductUUID"] = s.productUUID
	p.Methods["hostname1.GetHardwareSerial"] = s.serial
	p.Methods["hostname1.Describe"] = s.describe
}

// bytesOf is an ID on the bus: none is no bytes, not zeros that look like one.
func bytesOf(id [16]byte) []byte {
	if id == [16]byte{} {
		return []byte{}
	}
	return id[:]
}

func (s *Server) setHostname(c *bus.Call) error {
	name, interactive := c.Args[0].(string), c.Args[1].(bool)
	if name != "" && !host.ValidName(name) {
		return bus.Errorf(bus.ErrInvalidArgs, "Invalid hostname '%s'", name)
	}
	return s.change(c, hostAction+"set-hostname", interactive, func() error { return s.apply(name) })
}

func (s *Server) setStatic(c *bus.Call) error {
	name, interactive := c.Args[0].(string), c.Args[1].(bool)
	if name != "" && !host.ValidName(name) {
		return bus.Errorf(bus.ErrInvalidArgs, "Invalid static hostname '%s'", name)
	}
	if name == s.facts().Static {
		return nil // nothing to do, and nothing to ask for
	}
	return s.change(c, hostAction+"set-static-hostname", interactive, func() error {
		content := name
		if name != "" {
			content += "\n"
		}
		if err := s.disk.Put(etcHostname, content); err != nil {
			return failed("Failed to set static hostname", err)
		}
		s.changed(hostPath, hostName, "StaticHostname", "Hostname", "HostnameSource")
		return s.apply("")
	})
}

// apply brings the name into force that files and the transient one ask for.
func (s *Server) apply(transient string) error {
	f := s.facts()
	name, isDefault := f.Apply(transient)
	if f.Kernel != name {
		if err := s.kernel.SetHostname(name); err != nil {
			return failed("Failed to set hostname", err)
		}
		s.log.Info("the host name is set", "name", name)
	}
	s.changed(hostPath, hostName, "Hostname", "HostnameSource")
	var err error
	if isDefault {
		err = s.disk.Write(marker, name+"\n")
	} else {
		err = s.disk.Remove(marker)
	}
	if err != nil {
		return failed("Failed to note where the hostname comes from", err)
	}
	return nil
}

// setInfo makes the method that sets one line of machine-info.
func (s *Server) setInfo(key, word, action string, valid func(string) bool, properties ...string) func(*bus.Call) error {
	return func(c *bus.Call) error {
		value, interactive := c.Args[0].(string), c.Args[1].(bool)
		if !valid(value) {
			return bus.Errorf(bus.ErrInvalidArgs, "Invalid %s '%s'", word, value)
		}
		if text, err := s.disk.Read(machineInfo); err == nil && envfile.Get(envfile.Vars(text), key) == value {
			return nil // nothing to do, and nothing to ask for
		}
		return s.change(c, hostAction+action, interactive, func() error {
			// What cannot be read must not be written over with one line.
			text, err := s.disk.Read(machineInfo)
			if err == nil {
				err = s.disk.Put(machineInfo, envfile.Render(envfile.Set(envfile.Vars(text), key, value)))
			}
			if err != nil {
				return failed("Failed to write machine info", err)
			}
			s.log.Info("the machine info is changed", "key", key, "value", value)
			s.changed(hostPath, hostName, properties...)
			return nil
		})
	}
}

func (s *Server) productUUID(c *bus.Call) error {
	interactive := c.Args[0].(bool)
	return bus.Later(func() error {
		if err := c.AuthorizeAsking(hostAction+"get-product-uuid", interactive); err != nil {
			return err
		}
		id, ok := host.ID(s.disk.Line(dmi + "product_uuid"))
		if !ok {
			return bus.Errorf(hostName+".NoProductUUID", "Failed to read product UUID from firmware.")
		}
		return c.Reply(id[:])
	})
}

func (s *Server) hardwareSerial() string {
	if serial := line(s.disk.Line(dmi + "product_serial")); serial != "" {
		return serial
	}
	return line(s.disk.Line("proc/device-tree/serial-number"))
}

func (s *Server) serial(c *bus.Call) error {
	return bus.Later(func() error {
		if err := c.Authorize(hostAction+"get-hardware-serial", nil); err != nil {
			return err
		}
		serial := s.hardwareSerial()
		if serial == "" {
			return bus.Errorf(hostName+".NoHardwareSerial", "Failed to read hardware serial from firmware.")
		}
		return c.Reply(serial)
	})
}

// describe answers everybody. Serial number and UUID are only in it for whom polkit lets;
// nobody is asked for a password for that.
func (s *Server) describe(c *bus.Call) error {
	return bus.Later(func() error {
		f := *c.Object.(*host.Facts)
		may, err := c.Can(hostAction + "get-description")
		if err != nil {
			return err
		}
		if may == "yes" {
			f.Serial, f.UUID = s.hardwareSerial(), s.disk.Line(dmi+"product_uuid")
		}
		text, err := f.Describe()
		if err != nil {
			return err
		}
		return c.Reply(text)
	})
}
