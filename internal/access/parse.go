package access

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"dynamod/internal/diag"
)

// Bounds of the file.
const (
	maxFile  = 256 << 10
	maxRules = 1024
	maxItems = 256
)

// Accounts turns names into numbers.
type Accounts struct {
	User, Group func(name string) (id uint32, ok bool)
}

// Parse reads the text of an access.toml. If one of the findings is an error, the
// rules are closed and must not replace better ones.
func Parse(file string, text []byte, accounts Accounts) (*Rules, []diag.Diag) {
	p := parser{file: file, accounts: accounts}
	if len(text) > maxFile {
		p.fail(diag.Pos{File: file}, "file-too-big", "", "the file is longer than %d bytes", maxFile)
		return &Rules{Closed: true}, p.diags
	}
	p.lines = []int{0}
	for i, c := range text {
		if c == '\n' {
			p.lines = append(p.lines, i+1)
		}
	}
	p.toml.Reset(text)
	for len(p.diags) < 100 && p.toml.NextExpression() {
		p.expression(p.toml.Expression())
	}
	p.endRule()
	if err := p.toml.Error(); err != nil {
		pos := p.at(len(text))
		var pe *unstable.ParserError
		if errors.As(err, &pe) && pe.Highlight != nil {
			if off := cap(p.toml.Data()) - cap(pe.Highlight); off >= 0 && off <= len(text) {
				pos = p.at(off)
			}
		}
		p.fail(pos, "bad-toml", "", "not TOML from here on: %s", diag.Clip(err.Error()))
	}
	p.diags = diag.Sort(p.diags)
	if worst, ok := diag.Worst(p.diags); ok && worst == diag.Error {
		return &Rules{Closed: true}, p.diags
	}
	return &Rules{Rules: p.rules}, p.diags
}

type parser struct {
	file     string
	accounts Accounts
	toml     unstable.Parser
	lines    []int
	diags    []diag.Diag
	rules    []Rule
	// rule is the one being read; seen has the keys that it has so far.
	rule *Rule
	seen map[string]bool
	// who counts the users and groups that it names, known or not.
	who int
	// skip: the table that is being read was refused already.
	skip bool
}

func (p *parser) report(sev diag.Severity, pos diag.Pos, code, hint, format string, args ...any) {
	p.diags = append(p.diags, diag.Diag{Pos: pos, Severity: sev, Code: code, Hint: hint, Message: fmt.Sprintf(format, args...)})
}

func (p *parser) fail(pos diag.Pos, code, hint, format string, args ...any) {
	p.report(diag.Error, pos, code, hint, format, args...)
}

func (p *parser) at(off int) diag.Pos {
	l := sort.SearchInts(p.lines, off+1) - 1
	return diag.Pos{File: p.file, Line: int32(l + 1), Col: int32(off - p.lines[l] + 1)}
}

// pos is where a node stands, or where its key does if it does not know.
func (p *parser) pos(n *unstable.Node, otherwise diag.Pos) diag.Pos {
	if n.Raw.Length == 0 {
		return otherwise
	}
	return p.at(int(n.Raw.Offset))
}

func (p *parser) key(it unstable.Iterator) (string, diag.Pos) {
	var parts []string
	var pos diag.Pos
	for it.Next() {
		if parts == nil {
			pos = p.pos(it.Node(), diag.Pos{File: p.file})
		}
		parts = append(parts, string(it.Node().Data))
	}
	return strings.Join(parts, "."), pos
}

func (p *parser) expression(n *unstable.Node) {
	switch n.Kind {
	case unstable.ArrayTable:
		name, pos := p.key(n.Key())
		p.endRule()
		p.skip = true
		if name != "rule" {
			p.fail(pos, "unknown-table", "write [[rule]]", "there is no table [[%s]]", diag.Clip(name))
			return
		}
		if len(p.rules) >= maxRules {
			p.fail(pos, "too-many", "", "there are more than %d rules", maxRules)
			return
		}
		p.rule, p.seen, p.who, p.skip = &Rule{Pos: pos}, map[string]bool{}, 0, false
	case unstable.Table:
		name, pos := p.key(n.Key())
		p.endRule()
		p.skip = true
		p.fail(pos, "unknown-table", "write [[rule]], with two brackets", "there is no table [%s]", diag.Clip(name))
	case unstable.KeyValue:
		name, pos := p.key(n.Key())
		switch {
		case p.skip:
		case p.rule == nil:
			p.fail(pos, "outside-rule", "write [[rule]] above it", "%s belongs to no rule", diag.Clip(name))
		case p.seen[name]:
			p.fail(pos, "duplicate-key", "", "%s is already set in this rule", diag.Clip(name))
		default:
			p.seen[name] = true
			p.set(name, pos, n.Value())
		}
	}
}

var keys = []string{"users", "groups", "services", "rights", "effect"}

func (p *parser) set(name string, pos diag.Pos, v *unstable.Node) {
	switch name {
	case "users":
		p.rule.Users = p.ids(name, pos, v, p.accounts.User)
	case "groups":
		p.rule.Groups = p.ids(name, pos, v, p.accounts.Group)
	case "services":
		p.items(name, pos, v, func(text string, _ bool, at diag.Pos) {
			if _, err := path.Match(text, ""); err != nil || text == "" {
				p.fail(at, "bad-value", "shell patterns such as \"web-*\" are meant", "%q is no name or pattern", diag.Clip(text))
			}
			p.rule.Services = append(p.rule.Services, text)
		})
		if len(p.rule.Services) == 0 {
			p.fail(pos, "bad-value", "leave the key out to mean all services", "services is empty")
		}
	case "rights":
		p.items(name, pos, v, func(text string, _ bool, at diag.Pos) {
			if !slices.Contains(Rights, Right(text)) {
				p.fail(at, "bad-value", didYouMean(text, words()), "there is no right %q: rights are %s", diag.Clip(text), strings.Join(words(), ", "))
			}
			p.rule.Rights = append(p.rule.Rights, Right(text))
		})
	case "effect":
		switch text := string(v.Data); {
		case v.Kind == unstable.String && text == "allow":
		case v.Kind == unstable.String && text == "deny":
			p.rule.Deny = true
		default:
			p.fail(p.pos(v, pos), "bad-value", "", "effect must be \"allow\" or \"deny\"")
		}
	default:
		p.fail(pos, "unknown-key", didYouMean(name, keys), "a rule has no key %s: its keys are %s", diag.Clip(name), strings.Join(keys, ", "))
	}
}

func words() []string {
	out := make([]string, len(Rights))
	for i, r := range Rights {
		out[i] = string(r)
	}
	return out
}

func didYouMean(word string, candidates []string) string {
	if s := diag.Suggest(word, candidates); s != "" {
		return fmt.Sprintf("did you mean %q?", s)
	}
	return ""
}

// items calls f for each element of an array of texts and numbers; a single one
// may stand without brackets.
func (p *parser) items(name string, pos diag.Pos, v *unstable.Node, f func(text string, number bool, at diag.Pos)) {
	one := func(n *unstable.Node) {
		switch n.Kind {
		case unstable.String:
			f(string(n.Data), false, p.pos(n, pos))
		case unstable.Integer:
			f(string(n.Data), true, p.pos(n, pos))
		case unstable.Comment:
		default:
			p.fail(p.pos(n, pos), "bad-value", "", "%s must be a list of texts", name)
		}
	}
	if v.Kind != unstable.Array {
		one(v)
		return
	}
	n := 0
	for it := v.Children(); it.Next(); n++ {
		if n >= maxItems {
			p.fail(pos, "too-many", "", "%s has more than %d elements", name, maxItems)
			return
		}
		one(it.Node())
	}
}

// ids reads names and numbers of users or groups. "*" is everybody.
func (p *parser) ids(name string, pos diag.Pos, v *unstable.Node, find func(string) (uint32, bool)) []uint32 {
	var out []uint32
	before := p.who
	p.items(name, pos, v, func(text string, number bool, at diag.Pos) {
		p.who++
		if id, err := strconv.ParseUint(text, 10, 32); err == nil {
			out = append(out, uint32(id))
			return
		}
		if number {
			p.fail(at, "bad-value", "", "%s is no id", diag.Clip(text))
			return
		}
		id, ok := find(text)
		if !ok {
			p.report(diag.Warning, at, "unknown-account", "", "%s: there is no %q; the rule does not apply to it", name, diag.Clip(text))
			return
		}
		out = append(out, id)
	})
	if p.who == before {
		p.fail(pos, "bad-value", "leave users and groups out to mean everybody", "%s is empty", name)
	}
	return out
}

func (p *parser) endRule() {
	r := p.rule
	if r == nil {
		return
	}
	p.rule = nil
	if len(r.Rights) == 0 {
		p.fail(r.Pos, "missing-key", "for example rights = [\"start\", \"stop\"]", "the rule says no rights")
	}
	if len(r.Services) > 0 && slices.Contains(r.Rights, System) {
		p.fail(r.Pos, "bad-value", "leave services out, or make two rules of it", "the right system concerns the whole machine, not single services")
	}
	if r.Deny && slices.Contains(r.Users, 0) {
		p.report(diag.Warning, r.Pos, "no-effect", "", "root may do everything; the rule does not change that")
	}
	r.Nobody = p.who > 0 && len(r.Users) == 0 && len(r.Groups) == 0
	p.rules = append(p.rules, *r)
}
