// Package sandbox reads from a unit what its processes are kept from: the settings
// with all that they imply (Policy), and how much that leaves open (Rate). The
// manager carries a Policy out; dynamodctl security shows the rating. It refuses to
// touch the machine: what a kernel can do is not known here.
package sandbox
