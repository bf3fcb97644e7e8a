// Package uevent reads what is said about devices: messages of the kernel
// (kobject_uevent, "ACTION@DEVPATH" and variables) and of udev (the format that libudev's
// monitor receives, as observed on the wire), and the files of udev's database in
// /run/udev/data. The parsers are pure; Listen opens a socket and checks who sent.
//
// Everything is bounded, and what is no message is an error: anybody in the network
// namespace may send to the socket.
package uevent
