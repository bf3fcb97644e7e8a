package vm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Make makes the image as a file system of a type: ext4, btrfs, xfs or squashfs (which
// has neither label nor UUID).
func (img Image) Make(ctx context.Context, fstype, file string) error {
	if fstype == "ext4" {
		return img.MakeExt4(ctx, file)
	}
	err := img.withTree(ctx, filepath.Dir(file), func(tree string) error {
		os.Remove(file)
		switch fstype {
		case "squashfs":
			return imageTool(ctx, "mksquashfs", tree, file, "-noappend", "-quiet", "-no-progress", "-all-root", "-comp", "xz")
		case "btrfs":
			if err := img.empty(file, 128); err != nil {
				return err
			}
			return imageTool(ctx, "mkfs.btrfs", append(img.names("-L", "-U"), "-q", "--rootdir", tree, file)...)
		case "xfs":
			if err := img.empty(file, 320); err != nil {
				return err
			}
			proto := file + ".proto"
			defer os.Remove(proto)
			if err := os.WriteFile(proto, protoFile(tree), 0o600); err != nil {
				return err
			}
			args := img.names("-L", "")
			if img.UUID != "" {
				args = append(args, "-m", "uuid="+img.UUID)
			}
			return imageTool(ctx, "mkfs.xfs", append(args, "-q", "-p", proto, file)...)
		}
		return fmt.Errorf("file systems of type %s cannot be made", fstype)
	})
	if err != nil {
		return fmt.Errorf("make image %s: %w", file, err)
	}
	return nil
}

// empty makes a file of the image's size, or of the least that is enough.
func (img Image) empty(file string, least int) error {
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		return err
	}
	return os.Truncate(file, int64(max(img.Size, least))<<20)
}

func (img Image) names(label, uuid string) (args []string) {
	if img.Label != "" {
		args = append(args, label, img.Label)
	}
	if img.UUID != "" && uuid != "" {
		args = append(args, uuid, img.UUID)
	}
	return args
}

// protoFile describes a tree as mkfs.xfs(8) wants it. Names must have no blanks.
func protoFile(tree string) []byte {
	var b bytes.Buffer
	b.WriteString("/\n0 0\n")
	var walk func(dir, indent string)
	walk = func(dir, indent string) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			p := filepath.Join(dir, e.Name())
			info, err := e.Info()
			if err != nil {
				continue
			}
			perm := fmt.Sprintf("%03o 0 0", info.Mode().Perm())
			switch {
			case info.IsDir():
				fmt.Fprintf(&b, "%s%s d--%s\n", indent, e.Name(), perm)
				walk(p, indent+" ")
				b.WriteString(indent + " $\n")
			case info.Mode()&fs.ModeSymlink != 0:
				target, _ := os.Readlink(p)
				fmt.Fprintf(&b, "%s%s l--777 0 0 %s\n", indent, e.Name(), target)
			case info.Mode().IsRegular():
				fmt.Fprintf(&b, "%s%s ---%s %s\n", indent, e.Name(), perm, p)
			}
		}
	}
	b.WriteString("d--755 0 0\n")
	walk(tree, " ")
	b.WriteString("$\n")
	return b.Bytes()
}

// Table is how a disk is divided.
type Table string

const (
	NoTable Table = ""
	GPT     Table = "gpt"
	MBR     Table = "mbr"
)

// partitionStart is where the first partition lies, as partitioning programs have it.
const partitionStart = 1 << 20

// MakeDisk puts a file system's image into the first partition of a disk. For GPT the
// part's UUID and Label are taken; for MBR signature, and PARTUUID= is SIGNATURE-01.
func MakeDisk(table Table, part Part, signature uint32, image, file string) error {
	in, err := os.Open(image)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	part.Start, part.Size = partitionStart, (info.Size()+sectorSize-1)/sectorSize*sectorSize
	size := partitionStart + part.Size + partitionStart
	err = writeWhole(file, func(w io.Writer) error {
		out := w.(*os.File)
		if err := out.Truncate(size); err != nil {
			return err
		}
		if err := copySparse(out, part.Start, in); err != nil {
			return err
		}
		if table == MBR {
			return WriteMBR(out, signature, []Part{part})
		}
		return WriteGPT(out, size, "d15c0000-0000-4000-8000-000000000001", []Part{part})
	})
	if err != nil {
		return fmt.Errorf("make disk %s: %w", file, err)
	}
	return nil
}

// copySparse leaves out what is zero.
func copySparse(out io.WriterAt, at int64, in io.Reader) error {
	buf := make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(in, buf)
		if strings.Trim(string(buf[:n]), "\x00") != "" {
			if _, err := out.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
