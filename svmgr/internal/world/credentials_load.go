package world

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/child"
)

// maxLoaded bounds what is read from a socket: one credential cannot be larger than
// all of them may be (systemd.exec(5): 1 MB). patience bounds how long it may take.
const (
	maxLoaded      = 1 << 20
	maxFromTree    = 1024
	loaderPatience = 10 * time.Second
)

// loadCredential finds what LoadCredential=ID:PATH names: a file, each file below a
// directory, or what a socket answers. Nothing at all means that it is not there.
func loadCredential(u *unit.Unit, id, path string) ([]child.Credential, error) {
	if path == "" || path[0] != '/' {
		if strings.ContainsRune(path, '/') {
			return nil, fmt.Errorf("credential %s: %q is neither a path nor a name in a store of credentials: %w", id, printable(path), unix.EINVAL)
		}
		if f := findCredential(path); f != "" {
			return []child.Credential{{ID: id, Path: f}}, nil
		}
		return nil, nil
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, nil
	}
	switch {
	case st.Mode().IsRegular():
		return []child.Credential{{ID: id, Path: path}}, nil
	case st.IsDir():
		return credentialTree(id, path)
	case st.Mode()&fs.ModeSocket != 0:
		data, err := askCredential(u, id, path)
		if err != nil {
			return nil, err
		}
		return []child.Credential{{ID: id, Data: data}}, nil
	}
	return nil, fmt.Errorf("%s is neither a file nor a directory nor a socket: %w", path, unix.EINVAL)
}

// credentialTree names each file below dir ID_NAME, with "_" for every slash.
// Symbolic links are left out.
func credentialTree(id, dir string) (out []child.Credential, err error) {
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if len(out) == maxFromTree {
			return fmt.Errorf("more than %d files below %s: %w", maxFromTree, dir, unix.E2BIG)
		}
		name := strings.ReplaceAll(strings.TrimPrefix(p, dir+"/"), "/", "_")
		out = append(out, child.Credential{ID: id + "_" + name, Path: p})
		return nil
	})
	return out, err
}

// askCredential reads a credential from a socket. The name that the connection comes
// from says for whom it is (systemd.exec(5)).
func askCredential(u *unit.Unit, id, path string) ([]byte, error) {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	d := net.Dialer{Timeout: loaderPatience, LocalAddr: &net.UnixAddr{Net: "unix", Name: "@" + hex.EncodeToString(b[:]) + "/unit/" + u.Name + "/" + id}}
	c, err := d.Dial("unix", path)
	if err != nil {
		return nil, fmt.Errorf("credential %s: %w", id, err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(loaderPatience)); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(c, maxLoaded+1))
	if err == nil && len(data) > maxLoaded {
		err = unix.E2BIG
	}
	if err != nil {
		return nil, fmt.Errorf("credential %s from %s: %w", id, path, err)
	}
	return data, nil
}

// refuseEncrypted stops a unit whose credentials would have to be decrypted: only
// systemd-creds(1) knows their form.
func refuseEncrypted(u *unit.Unit) error {
	for _, line := range unit.SetCredentialEncrypted.Of(u) {
		id, _, _ := strings.Cut(line, ":")
		return fmt.Errorf("SetCredentialEncrypted=%s: encrypted credentials are not supported: %w", id, unix.ENOTSUP)
	}
	for _, item := range unit.LoadCredentialEncrypted.Of(u) {
		id, path, _ := strings.Cut(item, ":")
		if path == "" {
			path = id
		}
		found := ""
		if strings.HasPrefix(path, "/") {
			found = path
		} else {
			for _, dir := range credentialStores {
				for _, suffix := range []string{".encrypted", ""} {
					if f := dir + suffix + "/" + path; found == "" {
						if _, err := os.Stat(f); err == nil {
							found = f
						}
					}
				}
			}
		}
		// One that is named without a path may be missing.
		if found != "" {
			return fmt.Errorf("LoadCredentialEncrypted=%s: %s: encrypted credentials are not supported: %w", id, found, unix.ENOTSUP)
		}
	}
	return nil
}
