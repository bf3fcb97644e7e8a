// Package generation keeps the configurations that were in force: exactly the
// files, links and directories that the loader looked at, so that a former
// configuration can be loaded again whatever became of the files meanwhile.
//
// A Recorder stands between the loader and the file system and notes what it is
// asked for; the Image made of it answers the same questions again; a Store keeps
// images on disk, each in one tar file that any administrator can look into.
//
// The package knows nothing of units: what the files mean is the loader's affair.
package generation
