package unitname

import "strings"

// RootSlice is the name of the slice that has no parent (systemd.slice(5)).
const RootSlice = "-.slice"

// ValidSlice tells whether name is a slice that can exist in the tree: not
// templated, and a dash-separated series of names, none of them empty
// (systemd.slice(5)).
func ValidSlice(name string) bool {
	n, err := Parse(name)
	if err != nil || n.Type != Slice || n.Template || n.Instance != "" {
		return false
	}
	if name == RootSlice {
		return true
	}
	return n.Prefix[0] != '-' && n.Prefix[len(n.Prefix)-1] != '-' && !strings.Contains(n.Prefix, "--")
}

// SliceParent is the slice that contains the given one: "foo.slice" for
// "foo-bar.slice", "-.slice" for "foo.slice". The root slice and invalid names
// have none.
func SliceParent(name string) (string, bool) {
	if name == RootSlice || !ValidSlice(name) {
		return "", false
	}
	if dash := strings.LastIndexByte(name, '-'); dash >= 0 {
		return name[:dash] + ".slice", true
	}
	return RootSlice, true
}
