package device

import "dynamod/internal/sys/ipcobject"

// RemoveIPC removes a user's System V objects and the files of POSIX ones. What somebody
// is attached to stays: programs that were left running go on.
func (m *Machine) RemoveIPC(uid uint32) error {
	return ipcobject.Remove(m.root, func(owner, _ uint32) bool { return owner == uid }, ipcobject.Unused)
}
