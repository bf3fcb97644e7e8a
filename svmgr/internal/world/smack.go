package world

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
)

// smackThere says whether the kernel enforces SMACK; without it labels mean nothing and
// systemd leaves them out too.
var smackThere = func() bool {
	_, err := os.Stat("/sys/fs/smackfs")
	return err == nil
}

// smackLabels sets the labels of a socket or FIFO (systemd.socket(5), SmackLabel=,
// SmackLabelIPIn=, SmackLabelIPOut=).
func smackLabels(u *unit.Unit, fd int) error {
	for _, l := range [...]struct {
		name, attr, label string
	}{
		{"SmackLabel", "security.SMACK64", unit.SmackLabel.Of(u)},
		{"SmackLabelIPIn", "security.SMACK64IPIN", unit.SmackLabelIPIn.Of(u)},
		{"SmackLabelIPOut", "security.SMACK64IPOUT", unit.SmackLabelIPOut.Of(u)},
	} {
		if l.label == "" || !smackThere() {
			continue
		}
		if err := unix.Fsetxattr(fd, l.attr, []byte(l.label), 0); err != nil {
			return fmt.Errorf("%s=%s: %w", l.name, printable(l.label), err)
		}
	}
	return nil
}
