package generation

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// Limits of an archive: what is larger was not written by us.
const (
	maxNodes = 1 << 20
	maxBytes = 256 << 20
	// maxArchive is a whole archive, headers included.
	maxArchive = 2 * maxBytes
)

// paxUnknown is the extended header (pax(5)) of files that were not read and
// directories that were not listed.
const paxUnknown = "DYNAMOD.unknown"

// paxSize is the size of a file of which only a part was read.
const paxSize = "DYNAMOD.size"

// typeOf maps the types of files that tar knows; others cannot occur on a path
// that the loader looks at for long.
var typeOf = map[fs.FileMode]byte{
	0: tar.TypeReg, fs.ModeDir: tar.TypeDir, fs.ModeSymlink: tar.TypeSymlink, fs.ModeNamedPipe: tar.TypeFifo,
	fs.ModeDevice: tar.TypeBlock, fs.ModeDevice | fs.ModeCharDevice: tar.TypeChar,
}

// write writes the image as a tar archive, the same for the same image.
func (im *Image) write(w io.Writer) error {
	out := tar.NewWriter(w)
	for _, name := range im.names() {
		n := im.nodes[name]
		t, ok := typeOf[n.mode.Type()]
		if !ok {
			continue // a socket: the loader takes it for no unit, whether it is there or not
		}
		h := &tar.Header{Typeflag: t, Name: name, Linkname: n.link, Mode: int64(n.mode.Perm()), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
		if t == tar.TypeDir {
			h.Name += "/"
		}
		if t == tar.TypeReg {
			h.Size = int64(len(n.data))
		}
		pax := map[string]string{}
		if !n.known && (t == tar.TypeReg || t == tar.TypeDir) {
			pax[paxUnknown] = "1"
		}
		if t == tar.TypeReg && n.known && n.size != h.Size {
			pax[paxSize] = fmt.Sprint(n.size)
		}
		h.PAXRecords = pax
		if err := out.WriteHeader(h); err != nil {
			return fmt.Errorf("archive %q: %w", name, err)
		}
		if t == tar.TypeReg {
			if _, err := out.Write(n.data); err != nil {
				return fmt.Errorf("archive %q: %w", name, err)
			}
		}
	}
	return out.Close()
}

// errNoImage is an archive that was not written by this package, or is damaged.
var errNoImage = errors.New("this is no archive of a generation")

// read reads what write wrote.
func read(r io.Reader) (*Image, error) {
	im := &Image{nodes: map[string]*node{}}
	in := tar.NewReader(r)
	left := int64(maxBytes)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoImage, err)
		}
		name := h.Name
		if h.Typeflag == tar.TypeDir && len(name) > 1 && name[len(name)-1] == '/' {
			name = name[:len(name)-1]
		}
		if !fs.ValidPath(name) || len(im.nodes) >= maxNodes || im.nodes[name] != nil {
			return nil, fmt.Errorf("%w: entry %q", errNoImage, name)
		}
		n := &node{link: h.Linkname, mode: fs.FileMode(h.Mode).Perm(), known: h.PAXRecords[paxUnknown] == ""}
		ok := false
		for mode, t := range typeOf {
			if t == h.Typeflag {
				n.mode, ok = n.mode|mode, true
			}
		}
		if !ok || h.Size < 0 || h.Size > left {
			return nil, fmt.Errorf("%w: entry %q", errNoImage, name)
		}
		if h.Typeflag == tar.TypeReg {
			left -= h.Size
			if n.data, err = io.ReadAll(in); err != nil {
				return nil, fmt.Errorf("%w: entry %q: %w", errNoImage, name, err)
			}
			n.size = h.Size
			if s := h.PAXRecords[paxSize]; s != "" {
				if _, err := fmt.Sscan(s, &n.size); err != nil {
					return nil, fmt.Errorf("%w: entry %q: size %q", errNoImage, name, s)
				}
			}
		}
		im.nodes[name] = n
	}
	im.list()
	return im, nil
}
