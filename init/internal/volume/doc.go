// Package volume reads what a block device says about itself: the superblock of a
// file system, and the partition tables GPT and MBR. It is pure: bytes come in by an
// io.ReaderAt, and all of them are hostile until they are checked. What it reads is
// bounded whatever they say.
//
// Sources are the documents of the formats: the kernel's Documentation/filesystems
// and on-disk headers for ext4, btrfs, xfs, f2fs and squashfs, ECMA-119 for ISO 9660,
// Microsoft's FAT specification, and the UEFI specification for GPT.
package volume
