package main

import "os"

// publishBoot writes the verdict on the boot where everybody can read it, whole or
// not at all.
func (r *runner) publishBoot() {
	if err := os.Mkdir(r.opts.run, 0o755); err != nil && !os.IsExist(err) {
		r.log.say(4, "publish the boot's state: "+err.Error())
		return
	}
	name := r.opts.run + "/boot"
	if err := os.WriteFile(name+".new", []byte(r.boot.String()+"\n"), 0o644); err != nil {
		r.log.say(4, "publish the boot's state: "+err.Error())
		return
	}
	if err := os.Rename(name+".new", name); err != nil {
		r.log.say(4, "publish the boot's state: "+err.Error())
	}
}
