package unit

// row starts a Setting whose D-Bus property has the directive's own name; the
// methods below add what differs from that. sig "" means no property.
func row(in Section, source, native, name, sig, since, doc string) Setting {
	s := Setting{Native: native, Name: name, In: in, Since: since, Doc: doc, Source: source}
	if sig != "" {
		s.DBus, s.Signature = name, sig
	}
	return s
}

func execRow(native, name, sig, since, doc string) Setting {
	return row(InExec, "systemd.exec(5)", native, name, sig, since, doc)
}

func cgroupRow(native, name, sig, since, doc string) Setting {
	return row(InCgroup, "systemd.resource-control(5)", native, name, sig, since, doc)
}

func socketRow(native, name, sig, since, doc string) Setting {
	return row(InSocket, "systemd.socket(5)", native, name, sig, since, doc)
}

// idle says why nothing acts on the setting.
func (s Setting) idle(why string) Setting { s.Why = why; return s }

func (s Setting) by(e Effect) Setting { s.Effect = e; return s }

func (s Setting) deflt(text string) Setting { s.Default = text; return s }

func (s Setting) nativeDeflt(text string) Setting { s.NativeDefault = text; return s }

func (s Setting) within(lo, hi int64) Setting { s.Min, s.Max = lo, hi; return s }

func (s Setting) words(w ...string) Setting { s.Enum = w; return s }

func (s Setting) tagged(tag string) Setting { s.tag = tag; return s }

func (s Setting) dbus(name, sig string) Setting { s.DBus, s.Signature = name, sig; return s }

func (s Setting) also(native ...string) Setting { s.NativeAliases = native; return s }

func (s Setting) older(names ...string) Setting { s.Aliases = names; return s }

func (s Setting) byName() Setting { s.Merge = ByName; return s }

func (s Setting) obsolete(instead string) Setting {
	s.Effect, s.Doc = Obsolete, "Obsolete: "+instead+"."
	return s
}

func (s Setting) emptyIsValue() Setting { s.EmptyIsValue = true; return s }

// inverts: "~" before the first word of an assignment holds for all of its words.
func (s Setting) inverts() Setting { s.inverted = true; return s }

func (s Setting) addsTo(list *Setting) Setting { s.into = []*Setting{list}; return s }
