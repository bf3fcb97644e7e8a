package main

// manager is dynamod-svmgr behind its control socket, and the unit files of the tree.
type manager struct{ path, root string }
