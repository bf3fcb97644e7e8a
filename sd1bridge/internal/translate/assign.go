package translate

import (
	"encoding/base64"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"dynamod/internal/ipc"
	"dynamod/internal/sandbox"
	"dynamod/internal/unit"
)

// Assignment is a property that a client sets: its name, its signature, and the value
// as godbus decodes it (structures are []any).
type Assignment struct {
	Name, Signature string
	Value           any
}

// AssignError says why a property cannot be set.
type AssignError struct {
	Property, Why string
	// Unknown says that there is no such property.
	Unknown bool
}

func (e *AssignError) Error() string {
	if e.Unknown {
		return fmt.Sprintf("Cannot set property %s, or unknown property.", e.Property)
	}
	return fmt.Sprintf("Cannot set property %s: %s.", e.Property, e.Why)
}

// Lines turns properties of a unit of a type ("Service") into the lines of a unit file
// that mean the same: the reverse of Setting. What cannot be set is an error, never
// left out.
func Lines(own string, list []Assignment) ([]ipc.Setting, error) {
	a := assigner{own: own, limits: map[string][2]any{}}
	for _, p := range list {
		if err := a.assign(p); err != nil {
			return nil, err
		}
	}
	return a.finish(), nil
}

type assigner struct {
	own string
	out []ipc.Setting
	// limits are hard and soft ones, which share a line, by the setting's name.
	limits map[string][2]any
	order  []string
}

func (a *assigner) line(section, key, value string) {
	a.out = append(a.out, ipc.Setting{Section: section, Key: key, Value: value})
}

func (a *assigner) finish() []ipc.Setting {
	for _, name := range a.order {
		l := a.limits[name]
		text := func(v any) string {
			if n := v.(uint64); n != infinity {
				return strconv.FormatUint(n, 10)
			}
			return "infinity"
		}
		switch {
		case l[0] == nil:
			l[0] = l[1]
		case l[1] == nil:
			l[1] = l[0]
		}
		a.line(a.own, name, text(l[1])+":"+text(l[0]))
	}
	return a.out
}

// row finds the setting behind a property and the section that it is written in. The
// names differ where a type has a row of its own (TimeoutUSec).
func (a *assigner) row(property string) (*unit.Setting, string) {
	for _, section := range []string{a.own, "Unit"} {
		var second *unit.Setting
		for _, s := range unit.Table() {
			if s.DBus != property || s.Name == "" || !slices.Contains(s.In.Names(), section) {
				continue
			}
			if s.Effect != unit.Obsolete {
				return s, section
			}
			second = s
		}
		if second != nil {
			return second, section
		}
	}
	return nil, ""
}

// assign adds the lines of one property.
func (a *assigner) assign(p Assignment) error {
	bad := func(why string, args ...any) error {
		return &AssignError{Property: p.Name, Why: fmt.Sprintf(why, args...)}
	}
	wrong := bad("its type is not '%s'", p.Signature)
	switch p.Name {
	case "Conditions", "Asserts":
		return a.checks(p, wrong)
	case "TimersCalendar", "TimersMonotonic", "Listen", "Paths":
		return a.pairs(p, wrong)
	case "DelegateControllers":
		v, ok := p.Value.([]string)
		if !ok {
			return wrong
		}
		a.line(a.own, "Delegate", strings.Join(v, " "))
		return nil
	case "OnActiveUSec", "OnBootUSec", "OnStartupUSec", "OnUnitActiveUSec", "OnUnitInactiveUSec":
		v, ok := p.Value.(uint64)
		if !ok {
			return wrong
		}
		a.line(a.own, strings.TrimSuffix(p.Name, "USec")+"Sec", span(v))
		return nil
	case "PrivateTmp", "PrivateUsers", "ProtectControlGroups", "PrivatePIDs", "ProtectHostname":
		if v, ok := p.Value.(bool); ok {
			a.line(a.own, p.Name, yesNo(v))
			return nil
		}
	case "StandardInputFileDescriptor", "StandardOutputFileDescriptor", "StandardErrorFileDescriptor", "ExtraFileDescriptors", "OpenFile", "RootImagePolicy":
		if strings.HasSuffix(p.Name, "Descriptor") || p.Name == "ExtraFileDescriptors" {
			return bad("descriptors cannot be handed to the manager yet")
		}
	}
	if base, ok := strings.CutPrefix(p.Name, "Limit"); ok && base != "" {
		return a.limit(p, wrong)
	}
	name, scaled := strings.CutSuffix(p.Name, "Scale")
	if !scaled {
		name = p.Name
	}
	row, section := a.row(name)
	if row == nil {
		// The newer words beside the old booleans, and commands with all prefixes.
		base, ex := strings.CutSuffix(name, "Ex")
		if ex {
			row, section = a.row(base)
		} else {
			row, section = a.row(name + "Ex")
		}
	}
	if row == nil {
		return &AssignError{Property: p.Name, Unknown: true}
	}
	texts, err := assigned(row, p, scaled)
	if err != nil {
		return bad("%v", err)
	}
	if texts == nil {
		return wrong
	}
	for _, t := range texts {
		if strings.ContainsAny(t, "\n\x00") || strings.HasSuffix(t, `\`) {
			return bad("its value does not fit into a line")
		}
		a.line(section, row.Name, t)
	}
	return nil
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// span is a number of microseconds as unit files have it.
func span(n uint64) string {
	if n == infinity {
		return "infinity"
	}
	return strconv.FormatUint(n, 10) + "us"
}

// limit keeps one half of a resource limit.
func (a *assigner) limit(p Assignment, wrong error) error {
	v, ok := p.Value.(uint64)
	if !ok {
		return wrong
	}
	name, soft := strings.CutSuffix(p.Name, "Soft")
	if row, _ := a.row(name); row == nil {
		return &AssignError{Property: p.Name, Unknown: true}
	}
	l, known := a.limits[name]
	if !known {
		a.order = append(a.order, name)
	}
	if soft {
		l[1] = v
	} else {
		l[0] = v
	}
	a.limits[name] = l
	return nil
}

// rows are the structures of an array, each of n fields.
func rows(v any, n int) ([][]any, bool) {
	list, ok := v.([][]any)
	if !ok {
		return nil, false
	}
	for _, r := range list {
		if len(r) != n {
			return nil, false
		}
	}
	return list, true
}

// checks are (sbbs): name, trigger, negate, parameter.
func (a *assigner) checks(p Assignment, wrong error) error {
	list, ok := rows(p.Value, 4)
	if !ok || p.Signature != "a(sbbs)" {
		return wrong
	}
	prefix := strings.TrimSuffix(p.Name, "s")
	for _, r := range list {
		name, trigger, negate, arg := r[0].(string), r[1].(bool), r[2].(bool), r[3].(string)
		row, ok := unit.LookupDirective("Unit", name)
		if !ok || !strings.HasPrefix(name, prefix) || strings.ContainsAny(arg, "\n\x00") {
			return &AssignError{Property: p.Name, Why: fmt.Sprintf("%q is no check of this kind", name)}
		}
		c := unit.Condition{Check: strings.TrimPrefix(row.Name, prefix), Arg: arg, Trigger: trigger, Negate: negate}
		text := unit.Texts(row, []unit.Condition{c})
		if len(text) != 1 {
			return wrong
		}
		_, value, _ := strings.Cut(text[0], "=")
		a.line("Unit", name, value)
	}
	return nil
}

// pairs are lists whose items have the name of the directive in front.
func (a *assigner) pairs(p Assignment, wrong error) error {
	list, ok := rows(p.Value, 2)
	if !ok {
		return wrong
	}
	for _, r := range list {
		base, ok := r[0].(string)
		if !ok {
			return wrong
		}
		key, value := base, ""
		switch v := r[1].(type) {
		case string:
			value = v
		case uint64:
			value, key = span(v), strings.TrimSuffix(base, "USec")
			if key != base {
				key += "Sec"
			}
		default:
			return wrong
		}
		if p.Name == "Listen" {
			key = "Listen" + base
		}
		row, known := unit.LookupDirective(a.own, key)
		if !known || strings.ContainsAny(value, "\n\x00") {
			return &AssignError{Property: p.Name, Why: fmt.Sprintf("%q is none of its kinds", base)}
		}
		if !row.Raw {
			value = strings.ReplaceAll(value, "%", "%%")
		}
		a.line(a.own, row.Name, value)
	}
	return nil
}

// assigned are the values of the lines for one property; nil for a value of the wrong
// type. An empty list is the empty line that resets.
func assigned(row *unit.Setting, p Assignment, scaled bool) ([]string, error) {
	one := func(text string) ([]string, error) { return []string{text}, nil }
	switch v := p.Value.(type) {
	case bool:
		return one(yesNo(v))
	case string:
		switch {
		case v == "":
			return one("")
		case row.Kind == unit.ExecsKind:
			return nil, nil
		case row.Kind == unit.UnitKind || row.Kind == unit.EnumKind || row.Kind == unit.SwitchKind || row.Raw:
			return one(v)
		}
		if row.DBus == "WorkingDirectory" && strings.HasPrefix(v, "!") {
			v = "-" + v[1:]
		}
		return one(strings.ReplaceAll(v, "%", "%%"))
	case []string:
		return manyTexts(row, v), nil
	case []byte:
		if row.DBus == "StandardInputData" {
			return one(base64.StdEncoding.EncodeToString(v))
		}
		if row.DBus == "RootHash" || row.DBus == "RootHashSignature" {
			return one(fmt.Sprintf("%x", v))
		}
		return one(bitText(v))
	case [][]byte:
		var texts []string
		for _, b := range v {
			texts = append(texts, string(b))
		}
		return manyTexts(row, texts), nil
	case uint64:
		return one64(row, v)
	case uint32:
		switch {
		case scaled && row.Kind == unit.SizeKind:
			return one(strconv.FormatFloat(float64(v)*100/math.MaxUint32, 'f', 1, 64) + "%")
		case row.Kind == unit.ModeKind:
			return one(fmt.Sprintf("%04o", v))
		}
		return one(strconv.FormatUint(uint64(v), 10))
	case uint16:
		return one(strconv.FormatUint(uint64(v), 10))
	case int64:
		return one(strconv.FormatInt(v, 10))
	case int32:
		return one32(row, v)
	case []any:
		return structText(row, p.Signature, v)
	case [][]any:
		return listText(row, p, v)
	}
	return nil, nil
}

// manyTexts writes lists as the kind of the setting has them: on one line or on many.
func manyTexts(row *unit.Setting, v []string) []string {
	if len(v) == 0 {
		return []string{""}
	}
	switch row.Kind {
	case unit.LinesKind:
		var out []string
		for _, s := range v {
			if !row.Raw {
				s = strings.ReplaceAll(s, "%", "%%")
			}
			out = append(out, s)
		}
		return out
	case unit.UnitsKind, unit.WordsKind, unit.PathsKind, unit.EnvironmentKind:
		return []string{strings.Join(unit.Texts(row, v), " ")}
	}
	return nil
}

func one64(row *unit.Setting, v uint64) ([]string, error) {
	one := func(text string) ([]string, error) { return []string{text}, nil }
	switch row.DBus {
	case "CapabilityBoundingSet", "AmbientCapabilities":
		return one(capabilityText(v))
	case "RestrictNamespaces":
		return one(namespaceText(v))
	case "CoredumpFilter":
		return one(fmt.Sprintf("0x%x", v))
	case "MountFlags":
		for w, n := range words["MountFlags"] {
			if uint64(n) == v {
				return one(w)
			}
		}
		return nil, fmt.Errorf("there are no such mount flags")
	}
	switch row.Kind {
	case unit.DurationKind:
		if strings.HasSuffix(row.DBus, "NSec") {
			return one(strconv.FormatUint(v, 10) + "ns")
		}
		return one(span(v))
	case unit.PercentKind: // CPUQuotaPerSecUSec=
		if v == infinity {
			return one("")
		}
		return one(strconv.FormatFloat(float64(v)/1e4, 'f', -1, 64) + "%")
	case unit.WeightKind:
		switch v {
		case infinity:
			return one("")
		case 0:
			return one("idle")
		}
	case unit.SizeKind:
		if v == infinity {
			return one("infinity")
		}
	}
	if v == infinity {
		return one("infinity")
	}
	return one(strconv.FormatUint(v, 10))
}

func one32(row *unit.Setting, v int32) ([]string, error) {
	if row.Kind == unit.SignalKind {
		if v < 0 || v > 64 {
			return nil, fmt.Errorf("%d is no signal", v)
		}
		if v == 0 {
			return []string{""}, nil
		}
		return []string{unit.SignalName(v)}, nil
	}
	for w, n := range words[row.DBus] {
		if n == int64(v) {
			return []string{w}, nil
		}
	}
	if row.DBus == "SecureBits" {
		var list []string
		for w, n := range secureBits {
			if v&n != 0 {
				list = append(list, w)
			}
		}
		slices.Sort(list)
		return []string{strings.Join(list, " ")}, nil
	}
	return []string{strconv.FormatInt(int64(v), 10)}, nil
}

// structText is for properties that are one structure.
func structText(row *unit.Setting, sig string, v []any) ([]string, error) {
	switch {
	case sig == "(bas)" && len(v) == 2:
		list := v[1].([]string)
		text := strings.Join(list, " ")
		if !v[0].(bool) {
			text = "~" + text
		}
		return []string{text}, nil
	case sig == "(bs)" && len(v) == 2:
		text := strings.ReplaceAll(v[1].(string), "%", "%%")
		if v[0].(bool) {
			text = "-" + text
		}
		return []string{text}, nil
	case sig == "(aiai)" && len(v) == 2:
		e := unit.ExitSet{}
		for _, c := range v[0].([]int32) {
			if c < 0 || c > 255 {
				return nil, fmt.Errorf("%d is no exit status", c)
			}
			e.Codes = append(e.Codes, uint8(c))
		}
		for _, n := range v[1].([]int32) {
			if n < 1 || n > 64 {
				return nil, fmt.Errorf("%d is no signal", n)
			}
			e.Signals = append(e.Signals, n)
		}
		if len(e.Codes)+len(e.Signals) == 0 {
			return []string{""}, nil
		}
		return []string{strings.Join(unit.Texts(row, e), " ")}, nil
	}
	return nil, nil
}

// listText is for properties that are arrays of structures.
func listText(row *unit.Setting, p Assignment, v [][]any) ([]string, error) {
	if len(v) == 0 {
		return []string{""}, nil
	}
	if row.Kind == unit.ExecsKind {
		return execLines(row, p, v)
	}
	var out []string
	text := func(s string) string { return strings.ReplaceAll(s, "%", "%%") }
	for _, r := range v {
		switch p.Signature {
		case "a(ss)":
			sep := ":"
			if row.DBus == "DeviceAllow" {
				sep = " "
			}
			a, b := text(r[0].(string)), text(r[1].(string))
			if b == "" {
				sep = ""
			}
			out = append(out, a+sep+b)
		case "a(sb)":
			s := text(r[0].(string))
			if r[1].(bool) {
				s = "-" + s
			}
			out = append(out, s)
		case "a(bs)":
			s := r[1].(string)
			if !r[0].(bool) {
				s = "~" + s
			}
			out = append(out, s)
		case "a(st)":
			n := r[1].(uint64)
			num := strconv.FormatUint(n, 10)
			if row.DBus == "IODeviceLatencyTargetUSec" {
				num = span(n)
			} else if n == infinity {
				num = "infinity"
			}
			out = append(out, text(r[0].(string))+" "+num)
		case "a(say)":
			out = append(out, r[0].(string)+":"+text(string(r[1].([]byte))))
		case "a(iayu)":
			a, ok := netip.AddrFromSlice(r[1].([]byte))
			if !ok || r[2].(uint32) > uint32(a.BitLen()) {
				return nil, fmt.Errorf("it has no valid address")
			}
			out = append(out, fmt.Sprintf("%s/%d", a, r[2].(uint32)))
		case "a(ssbt)":
			b := unit.BindMount{Source: r[0].(string), Target: r[1].(string), IgnoreMissing: r[2].(bool), Recursive: r[3].(uint64)&0x4000 != 0,
				Writable: !strings.Contains(p.Name, "ReadOnly")}
			for _, t := range unit.Texts(row, []unit.BindMount{b}) {
				_, value, _ := strings.Cut(t, "=")
				out = append(out, value)
			}
		default:
			return nil, nil
		}
	}
	switch row.Kind {
	case unit.LinesKind, unit.BindMountsKind:
		return out, nil
	}
	return []string{strings.Join(out, " ")}, nil
}

// execLines are command lines: a(sasb) with whether failure counts, or a(sasas) with
// all prefixes as words.
func execLines(row *unit.Setting, p Assignment, v [][]any) ([]string, error) {
	var list []unit.Exec
	for _, r := range v {
		if len(r) != 3 {
			return nil, nil
		}
		e := unit.Exec{}
		var ok bool
		if e.Path, ok = r[0].(string); !ok {
			return nil, nil
		}
		if e.Argv, ok = r[1].([]string); !ok {
			return nil, nil
		}
		if !strings.HasPrefix(e.Path, "/") || len(e.Argv) == 0 || strings.Contains(e.Path+strings.Join(e.Argv, ""), "\x00") {
			return nil, fmt.Errorf("a command line has an absolute path and at least one argument, its own name")
		}
		switch flags := r[2].(type) {
		case bool:
			e.IgnoreFailure = flags
		case []string:
			for _, w := range flags {
				f := map[string]*bool{"ignore-failure": &e.IgnoreFailure, "privileged": &e.Privileged, "no-setuid": &e.NoSetuid,
					"ambient": &e.AmbientOnly, "no-env-expand": &e.NoEnvExpand, "via-shell": &e.Shell}[w]
				if f == nil {
					return nil, fmt.Errorf("%q is no flag of a command", w)
				}
				*f = true
			}
		default:
			return nil, nil
		}
		list = append(list, e)
	}
	return unit.Texts(row, list), nil
}

// bitText is a mask of bytes as numbers and ranges.
func bitText(v []byte) string {
	var out []string
	for n := 0; n < len(v)*8; n++ {
		if v[n/8]&(1<<(n%8)) == 0 {
			continue
		}
		end := n
		for end+1 < len(v)*8 && v[(end+1)/8]&(1<<((end+1)%8)) != 0 {
			end++
		}
		if end == n {
			out = append(out, strconv.Itoa(n))
		} else {
			out = append(out, strconv.Itoa(n)+"-"+strconv.Itoa(end))
		}
		n = end
	}
	return strings.Join(out, " ")
}

func namespaceText(v uint64) string {
	switch v & allNamespaces {
	case allNamespaces:
		return "no"
	case 0:
		return "yes"
	}
	var out []string
	for w, bit := range namespaces {
		if v&bit != 0 {
			out = append(out, w)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// capabilityText names the capabilities of a mask.
func capabilityText(v uint64) string {
	var out []string
	for n := range sandbox.CapabilityCount() {
		if v&(1<<n) != 0 {
			out = append(out, sandbox.CapabilityName(n))
		}
	}
	if len(out) == 0 {
		return ""
	}
	return strings.Join(out, " ")
}
