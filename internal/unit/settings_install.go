package unit

// The [Install] section, which acts when a unit is enabled. systemd.unit(5).

var Alias = unitList(Setting{Native: "install.alias", Name: "Alias",
	In: InInstall, Since: "201", Effect: ByLoader, Source: "systemd.unit(5)",
	Doc: "Other names under which the unit is linked when it is enabled."})

var WantedBy = unitList(Setting{Native: "install.wanted-by", Name: "WantedBy",
	In: InInstall, Since: "201", Effect: ByLoader, Source: "systemd.unit(5)",
	Doc: "Units that want this one when it is enabled."})

var RequiredBy = unitList(Setting{Native: "install.required-by", Name: "RequiredBy",
	In: InInstall, Since: "201", Effect: ByLoader, Source: "systemd.unit(5)",
	Doc: "Units that require this one when it is enabled."})

var UpheldBy = unitList(Setting{Native: "install.upheld-by", Name: "UpheldBy",
	In: InInstall, Since: "201", Effect: ByLoader, Source: "systemd.unit(5)",
	Doc: "Units that uphold this one when it is enabled."})

var Also = unitList(Setting{Native: "install.also", Name: "Also",
	In: InInstall, Since: "201", Effect: ByLoader, Source: "systemd.unit(5)",
	Doc: "Units that are enabled and disabled together with this one."})

var DefaultInstance = str(Setting{Native: "install.default-instance", Name: "DefaultInstance",
	In: InInstall, Since: "215", Effect: ByLoader, Source: "systemd.unit(5)",
	Doc: "The instance that is enabled when a template is enabled without one."})
