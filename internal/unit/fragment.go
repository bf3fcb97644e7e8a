package unit

import "dynamod/internal/diag"

// Op is what an assignment does to the value so far.
type Op uint8

const (
	// Assign is an ordinary assignment; the row's merge rule says what it means.
	Assign Op = iota
	// Reset is systemd's empty assignment: it clears the list, or puts a
	// scalar back to its default.
	Reset
)

// Fragment is one assignment as a loader read it: syntax only, no meaning.
type Fragment struct {
	// Section and Key are as written: "Service"/"ExecStart" in a unit file;
	// the table path and last key, "restart"/"max-restarts", in TOML.
	Section, Key string
	Op           Op
	// Text is the raw right-hand side of a unit file (continuations joined,
	// outer blanks gone), or the scalar of a TOML value in text form.
	Text string
	// Items are the elements of a TOML array, exactly as written; a TOML
	// table of strings comes as "KEY=VALUE" items in file order, an array
	// of tables as one "k=v;k=v" item per element with keys sorted, an array
	// of arrays as one Fragment per inner array. Unit files leave it nil:
	// Build splits Text by the rules of the row's kind.
	Items []string
	// ItemPos says where each item stands; nil when the loader cannot tell.
	ItemPos []diag.Pos
	// Kind is how TOML wrote the value, so that `memory-max = true` can be
	// refused; it is Text for unit files.
	Kind ValueKind
	// Pos is where the key begins.
	Pos diag.Pos
	// ValueCol is the column of the first byte of Text in the line of Pos, 0
	// when it is not known.
	ValueCol int32
	// Joins says where in Text each continuation line begins, in order; nil
	// for a value on one line.
	Joins []Join
}

// Join is the start of one continuation line: Text[Off] stands at Line, Col.
type Join struct{ Off, Line, Col int32 }

// At is the place of byte off of Text, as exactly as the loader told.
func (f *Fragment) At(off int) diag.Pos {
	p := f.Pos
	for i := len(f.Joins) - 1; i >= 0; i-- {
		if j := f.Joins[i]; int(j.Off) <= off {
			return diag.Pos{File: p.File, Line: j.Line, Col: j.Col + int32(off) - j.Off}
		}
	}
	if f.ValueCol > 0 {
		p.Col = f.ValueCol + int32(off)
	}
	return p
}

// ValueKind is the syntactic type of a TOML value.
type ValueKind uint8

const (
	TextValue ValueKind = iota
	StringValue
	IntValue
	FloatValue
	BoolValue
	ArrayValue
	TableValue
	DateValue
)

// File is one parsed file: the main fragment file or one drop-in.
type File struct {
	Path      string
	Fragments []Fragment
}

// Source is everything Build needs to make one unit.
type Source struct {
	Name   string
	Format Format
	// Files are the main file (if there is one) and the drop-ins, in order.
	Files []File
	// HasMain says that Files[0] is the main file and not a drop-in.
	HasMain bool
	// Aliases are the other names found by the loader (symlinks, Alias=).
	Aliases []string
	Shadows string
	// Wants, Requires and Upholds are the units linked in the .wants,
	// .requires and .upholds directories, with the link as position.
	Links []Link
	// Specifiers answers the specifiers that depend on the host and the
	// manager (%t, %H, %u …); those of the name are answered by Build. nil
	// leaves them unexpanded with a note, for offline checks.
	Specifiers func(byte) (string, bool)
	// Keep has the unit keep all this, so that it can be written down: for units
	// that no generation holds. It costs as much memory again.
	Keep bool
}

// Link is one entry of a .wants, .requires or .upholds directory.
type Link struct {
	Dir  string // "wants", "requires", "upholds"
	Name string
	Pos  diag.Pos
}
