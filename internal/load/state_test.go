package load

import "testing"

// TestFileState is the recording of systemctl is-enabled 257 on the same tree.
func TestFileState(t *testing.T) {
	const w, ew, rw = "[Install]\nWantedBy=multi-user.target\n", etc + "multi-user.target.wants/", run + "multi-user.target.wants/"
	exec := "[Service]\nExecStart=/bin/true\n"
	lib := "-> /usr/lib/systemd/system/"
	fsys := mapFS(
		usr+"multi-user.target", "[Unit]\n", usr+"dis.service", exec+w, usr+"en.service", exec+w, ew+"en.service", lib+"en.service",
		usr+"sta.service", exec, usr+"also.service", exec+"[Install]\nAlso=dis.service\n", usr+"stalink.service", exec, ew+"stalink.service", lib+"stalink.service",
		usr+"vend.service", exec, usr+"multi-user.target.wants/vend.service", "-> ../vend.service",
		usr+"vendi.service", exec+w, usr+"multi-user.target.wants/vendi.service", "-> ../vendi.service",
		usr+"req.service", exec+"[Install]\nRequiredBy=x.target\n", etc+"x.target.requires/req.service", lib+"req.service",
		usr+"uph.service", exec+"[Install]\nUpheldBy=x.target\n", etc+"x.target.upholds/uph.service", lib+"uph.service",
		usr+"ali.service", exec+"[Install]\nAlias=ali2.service\n", etc+"ali2.service", lib+"ali.service",
		usr+"ali3.service", exec+"[Install]\nAlias=ali4.service\n", etc+"other.service", lib+"ali3.service",
		usr+"ali5.service", exec, etc+"ali6.service", lib+"ali5.service",
		usr+"ali7.service", exec+"[Install]\nAlias=ali8.service\n", usr+"ali8.service", "-> ali7.service",
		usr+"ali9.service", exec+w, usr+"ali10.service", "-> ali9.service", ew+"ali10.service", lib+"ali10.service",
		usr+"t@.service", exec+w, ew+"t@a.service", lib+"t@.service",
		usr+"t2@.service", exec+w+"DefaultInstance=d\n", ew+"t2@d.service", lib+"t2@.service",
		usr+"t3@.service", exec, ew+"t3@z.service", lib+"t3@.service",
		usr+"t4@.service", exec+w+"DefaultInstance=d\n", ew+"t4@e.service", lib+"t4@.service",
		etc+"mask.service", "-> /dev/null", etc+"empt.service", "", usr+"mask2.service", exec, usr+"maskv.service", "-> /dev/null",
		etc+"dl.service", "-> /usr/share/doc/nolink.service", etc+"dang.service", "-> none.service",
		etc+"etcdis.service", exec+w, etc+"etcsta.service", exec, usr+"wbempty.service", "[Install]\nWantedBy=\n"+exec,
		usr+"dropinst.service", exec, etc+"dropinst.service.d/a.conf", w, usr+"ext.service", exec+w, ew+"extx.service", lib+"ext.service",
		etc+"amask.service", "-> /etc/systemd/system/mask.service", usr+"defi@.service", exec+"[Install]\nDefaultInstance=x\n",
		"run/systemd/generator/gen.service", exec+w, "run/systemd/generator.late/late.service", exec, "run/systemd/transient/tr.service", exec,
		run+"rt.service", exec+w, "opt/lnk1.service", exec+w, etc+"lnk1.service", "-> /opt/lnk1.service", "opt/lnk2.service", exec, run+"lnk2.service", "-> /opt/lnk2.service",
		"opt/lnk3.service", exec+w, etc+"lnk3.service", "-> /opt/lnk3.service", ew+"lnk3.service", "-> /opt/lnk3.service", etc+"renamed.service", "-> /opt/lnk1.service",
		run+"rmask.service", "-> /dev/null", usr+"run.service", exec+w, rw+"run.service", lib+"run.service",
		usr+"gl.service", exec, "run/systemd/generator/multi-user.target.wants/gl.service", lib+"gl.service",
		"etc/fstab", "/dev/a /data ext4\n", svcs+"n.toml", service("n", ""), svcs+"m.toml", service("m", "start = \"manual\"\n"),
	)
	l := New(Config{FS: fsys, Fstab: "/etc/fstab"})
	for name, want := range map[string]FileState{
		"dis": Disabled, "en": Enabled, "sta": Static, "also": Indirect, "stalink": Enabled, "vend": Static, "vendi": Disabled, "req": Enabled,
		"uph": Enabled, "ali": Enabled, "ali2": AliasState, "ali3": Indirect, "other": AliasState, "ali4": NoFile, "ali5": Indirect, "ali6": AliasState,
		"ali7": Disabled, "ali8": AliasState, "ali9": Disabled, "ali10": AliasState, "t@": Indirect, "t@a": Enabled, "t@b": Disabled, "t2@": Enabled,
		"t2@d": Enabled, "t2@e": Disabled, "t3@": Indirect, "t3@z": Enabled, "t4@": Indirect, "t4@d": Disabled, "t4@e": Enabled, "mask": MaskedState,
		"empt": MaskedState, "mask2": Static, "maskv": MaskedState, "dl": NoFile, "dang": Bad, "none": NoFile, "etcdis": Disabled, "etcsta": Static,
		"wbempty": Static, "dropinst": Disabled, "ext": Disabled, "extx": NoFile, "amask": MaskedState, "defi@": Static, "defi@q": Static,
		"gen": Generated, "late": Generated, "tr": Transient, "rt": Disabled, "lnk1": Linked, "lnk2": LinkedRuntime, "lnk3": Enabled, "renamed": AliasState,
		"rmask": MaskedRuntime, "run": EnabledRuntime, "gl": EnabledRuntime, "n": Enabled, "m": Disabled, "nosuch": NoFile,
	} {
		if got := l.FileState(name + ".service"); got != want {
			t.Errorf("FileState(%s.service) = %s; want %s", name, got, want)
		}
	}
	if got := l.FileState("data.mount"); got != Generated {
		t.Errorf("FileState(data.mount) = %s; want generated", got)
	}
}
