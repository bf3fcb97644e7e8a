package unit

// Condition…= and Assert…= of systemd.unit(5): every check is a row of its
// own and adds to the one list of conditions or of asserts, so that an empty
// assignment of any of them clears the whole list.

var Conditions = conditions(Setting{Native: "conditions", In: InUnit, DBus: "Conditions", Signature: "a(sbbsi)", Since: "1", internal: true,
	Effect: ByCore, Source: "systemd.unit(5)", Doc: "All conditions of the unit; one that does not hold skips the start."})

var Asserts = conditions(Setting{Native: "asserts", In: InUnit, DBus: "Asserts", Signature: "a(sbbsi)", Since: "218", internal: true,
	Effect: ByCore, Source: "systemd.unit(5)", Doc: "All asserts of the unit; one that does not hold fails the start."})

type checkRow struct{ name, native, since, doc string }

var checkRows = []checkRow{
	{"PathExists", "path-exists", "244", "the path exists"},
	{"PathExistsGlob", "path-exists-glob", "244", "at least one path matches the pattern"},
	{"PathIsDirectory", "path-is-directory", "244", "the path is a directory"},
	{"PathIsSymbolicLink", "path-is-symbolic-link", "244", "the path is a symbolic link"},
	{"PathIsMountPoint", "path-is-mount-point", "244", "the path is a mount point"},
	{"PathIsReadWrite", "path-is-read-write", "244", "the file system below the path is writable"},
	{"PathIsEncrypted", "path-is-encrypted", "246", "the file system of the path is on an encrypted block device"},
	{"DirectoryNotEmpty", "directory-not-empty", "244", "the directory exists and holds anything"},
	{"FileNotEmpty", "file-not-empty", "244", "the regular file exists and is not empty"},
	{"FileIsExecutable", "file-is-executable", "244", "the regular file exists and is executable"},
	{"NeedsUpdate", "needs-update", "244", "/etc or /var is older than /usr and should be updated"},
	{"FirstBoot", "first-boot", "244", "the machine boots for the first time (yes) or not (no)"},
	{"Architecture", "architecture", "201", "the machine has this processor architecture"},
	{"Firmware", "firmware", "249", "the firmware is of this kind (uefi, device-tree, smbios…)"},
	{"Virtualization", "virtualization", "244", "the system runs in this kind of virtual machine or container (or in any: yes)"},
	{"Host", "host", "244", "the host name, machine ID or boot ID is this one; host names may be patterns"},
	{"KernelCommandLine", "kernel-command-line", "244", "the kernel command line has this word or assignment"},
	{"KernelVersion", "kernel-version", "244", "the kernel release compares like this or matches the pattern"},
	{"Credential", "credential", "252", "the credential was passed to the system"},
	{"Security", "security", "255", "this security technology is enabled"},
	{"Capability", "capability", "244", "the capability is in the manager's bounding set"},
	{"ACPower", "ac-power", "244", "the machine is on mains power (yes) or not (no)"},
	{"Memory", "memory", "244", "the machine has this much memory"},
	{"CPUFeature", "cpu-feature", "248", "the processor has this feature"},
	{"CPUs", "cpus", "244", "the machine has this many processors"},
	{"Environment", "environment", "246", "the manager's environment has this variable or assignment"},
	{"User", "user", "244", "the manager runs as this user"},
	{"Group", "group", "244", "the manager runs in this group"},
	{"ControlGroupController", "control-group-controller", "244", "the cgroup controller or hierarchy is available"},
	{"OSRelease", "os-release", "249", "the fields of os-release compare like this"},
	{"MemoryPressure", "memory-pressure", "250", "the memory pressure is below the threshold"},
	{"CPUPressure", "cpu-pressure", "250", "the CPU pressure is below the threshold"},
	{"IOPressure", "io-pressure", "250", "the I/O pressure is below the threshold"},
	{"KernelModuleLoaded", "kernel-module-loaded", "258", "the kernel module is loaded or built in"},
}

var _, _ = declareChecks()

func declareChecks() (conds, asserts []Key[[]Condition]) {
	for _, r := range checkRows {
		conds = append(conds, conditions(Setting{Native: "conditions." + r.native, Name: "Condition" + r.name, tag: r.name, In: InUnit,
			DBus: "Conditions", Signature: "a(sbbsi)", Since: r.since, Effect: ByCore, Source: "systemd.unit(5)", into: []*Setting{Conditions.s},
			Doc: "Skips the start unless " + r.doc + "."}))
	}
	for _, r := range checkRows {
		asserts = append(asserts, conditions(Setting{Native: "asserts." + r.native, Name: "Assert" + r.name, tag: r.name, In: InUnit,
			DBus: "Asserts", Signature: "a(sbbsi)", Since: assertSince(r.since), Effect: ByCore, Source: "systemd.unit(5)", into: []*Setting{Asserts.s},
			Doc: "Fails the start unless " + r.doc + "."}))
	}
	return conds, asserts
}

// assertSince: asserts came with systemd 218, later checks with both at once.
func assertSince(condition string) string {
	if condition < "218" {
		return "218"
	}
	return condition
}
