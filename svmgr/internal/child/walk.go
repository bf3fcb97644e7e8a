package child

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks bounds the symbolic links of one path, as the kernel does
// (path_resolution(7)).
const maxLinks = 40

// OpenParent opens the directory that path's last part lies in, for what the manager
// does there with its own rights, and returns that part. Symbolic links of root and of
// the manager itself are followed, those of others are ELOOP: who owns a directory on
// the way, such as a service with a RuntimeDirectory=, must not lead us elsewhere. Each
// step is taken from a descriptor, so that nothing can be exchanged in between. With
// make, directories that are missing are made with mode 0755. path is absolute.
func OpenParent(path string, make bool) (fd int, last string, err error) {
	todo := parts(path)
	if len(todo) == 0 || path[0] != '/' {
		return -1, "", unix.EINVAL
	}
	last, todo = todo[len(todo)-1], todo[:len(todo)-1]
	if last == ".." {
		return -1, "", unix.EINVAL
	}
	const how = unix.O_PATH | unix.O_CLOEXEC
	if fd, err = unix.Open("/", how|unix.O_DIRECTORY, 0); err != nil {
		return -1, "", err
	}
	step := func(to int) {
		unix.Close(fd)
		fd = to
	}
	links := 0
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		next, err := unix.Openat(fd, name, how|unix.O_NOFOLLOW, 0)
		if err == unix.ENOENT && make {
			if err = unix.Mkdirat(fd, name, 0o755); err == nil || err == unix.EEXIST {
				next, err = unix.Openat(fd, name, how|unix.O_NOFOLLOW, 0)
			}
		}
		var st unix.Stat_t
		if err == nil {
			if err = unix.Fstat(next, &st); err != nil {
				unix.Close(next)
			}
		}
		if err != nil {
			unix.Close(fd)
			return -1, "", err
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			step(next)
			continue
		case unix.S_IFLNK:
		default:
			unix.Close(next)
			unix.Close(fd)
			return -1, "", unix.ENOTDIR
		}
		var to [unix.PathMax]byte
		n, err := unix.Readlinkat(next, "", to[:])
		unix.Close(next)
		links++
		switch {
		case err != nil:
		case st.Uid != 0 && int(st.Uid) != os.Geteuid(), links > maxLinks:
			err = unix.ELOOP
		case n == 0 || n == len(to):
			err = unix.ENAMETOOLONG
		default:
			target := string(to[:n])
			todo = append(parts(target), todo...)
			if target[0] == '/' {
				var root int
				if root, err = unix.Open("/", how|unix.O_DIRECTORY, 0); err == nil {
					step(root)
				}
			}
		}
		if err != nil {
			unix.Close(fd)
			return -1, "", err
		}
	}
	return fd, last, nil
}

// parts are the names in a path.
func parts(path string) (out []string) {
	for _, p := range strings.Split(path, "/") {
		if p != "" && p != "." {
			out = append(out, p)
		}
	}
	return out
}
