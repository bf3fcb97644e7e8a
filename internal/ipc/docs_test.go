package ipc

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"dynamod/internal/access"
)

var update = flag.Bool("update", false, "write the generated tables of docs/ipc.md")

const page = "../../docs/ipc.md"

// tables are the parts of docs/ipc.md that come from the code.
func tables() map[string]string {
	var verbTable, events, errs strings.Builder
	verbTable.WriteString("| method | parameters | rights | does |\n|---|---|---|---|\n")
	d := Discover()
	for i, v := range verbs {
		var params []string
		for _, p := range d.Methods[i].Params {
			name := "`" + p.Name + "`"
			if p.Required {
				name = "**" + name + "**"
			}
			params = append(params, name)
		}
		var rights []string
		for _, r := range v.rights {
			rights = append(rights, string(r))
		}
		fmt.Fprintf(&verbTable, "| `%s` | %s | %s | %s |\n", v.name, orDash(params), orDash(rights), v.summary)
	}
	events.WriteString("| kind | when |\n|---|---|\n")
	for _, k := range EventKinds {
		fmt.Fprintf(&events, "| `%s` | %s |\n", k, eventMeanings[k])
	}
	errs.WriteString("| code | kind | meaning |\n|---|---|---|\n")
	for _, k := range kinds {
		again := ""
		if k.Retryable {
			again = " (retryable)"
		}
		fmt.Fprintf(&errs, "| %d | `%s` | %s%s |\n", k.Code, k.Kind, k.Meaning, again)
	}
	limits := fmt.Sprintf(`| what | how much | beyond it |
|---|---|---|
| a message, either way | %d bytes | %sTooLarge%s and the end; answers come in pages |
| connections of one uid | %d | %sTooManyConnections%s and the end |
| connections of all uids but root | %d | the same; root's own come on top |
| requests of a connection that wait | %d | %sTooManyRequests%s, but for %sping%s and %scancel%s |
| objects in the parameters of a request | %d | %sTooLarge%s |
| silence, or the time for one request | %v | %sIdle%s and the end; who waits or subscribed is not idle |
| time to read an answer | %v | the end |
| events not read yet | %d; with %smerge%s, for root and the manager's own user, %d | %sdropped%s |
`, MaxMessage, "`", "`", MaxPerUser, "`", "`", MaxConnections, MaxWaiting, "`", "`", "`", "`", "`", "`", maxObjects, "`", "`",
		IdleTimeout, "`", "`", WriteTimeout, MaxQueued, "`", "`", MaxMerged, "`", "`")
	return map[string]string{"verbs": verbTable.String(), "events": events.String(), "errors": errs.String(), "limits": limits}
}

func orDash(words []string) string {
	if len(words) == 0 {
		return "–"
	}
	return strings.Join(words, ", ")
}

var eventMeanings = map[string]string{
	EventUnit: "a unit changed its state", EventUnitNew: "a unit was loaded", EventUnitGone: "a unit was forgotten",
	EventStatus: "its status text, main process or counters changed", EventJobNew: "a job was queued", EventJobDone: "a job ended",
	EventReloaded: "a new generation of the configuration is in force", EventStarted: "the boot is over",
	EventDegraded: "the root supervisor gave something up", EventShutdown: "the ordered stop began",
	EventBusName: "a bus name is wanted or no longer wanted (for the bridge)",
	EventDropped: "`count` events up to `seq` are missing: read faster", EventServerGone: "the manager ends or is replaced: connect again",
}

func TestDocsHaveTheTables(t *testing.T) {
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for name, want := range tables() {
		_, rest, ok := strings.Cut(text, "<!-- "+name)
		_, rest, ok2 := strings.Cut(rest, "-->\n")
		have, _, ok3 := strings.Cut(rest, "<!-- end -->")
		if !ok || !ok2 || !ok3 {
			t.Fatalf("docs/ipc.md has no place for the table of %s", name)
		}
		if have != want {
			if *update {
				at := len(text) - len(rest)
				text = text[:at] + want + text[at+len(have):]
				continue
			}
			t.Errorf("the table of %s in docs/ipc.md is not that of the code: run go test ./internal/ipc -run Docs -update", name)
		}
	}
	if *update {
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDocsHaveAnExampleOfEachVerb(t *testing.T) {
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	missing := map[Verb]bool{}
	for _, v := range Verbs() {
		missing[v] = true
	}
	_, block, _ := strings.Cut(string(raw), "```json\n")
	block, _, _ = strings.Cut(block, "```")
	for line := range strings.Lines(block) {
		c, err := parseCall([]byte(line))
		if err != nil {
			t.Errorf("%s%v", line, err)
			continue
		}
		delete(missing, c.verb)
	}
	if len(missing) > 0 {
		t.Errorf("without example: %v", missing)
	}
	_, rules, _ := strings.Cut(string(raw), "```toml\n")
	rules, _, _ = strings.Cut(rules, "```")
	known := func(string) (uint32, bool) { return 1, true }
	if r, ds := access.Parse("example", []byte(rules), access.Accounts{User: known, Group: known}); len(ds) > 0 || len(r.Rules) != 2 {
		t.Errorf("the example of access.toml: %v", ds)
	}
	for _, s := range access.Rights {
		if !strings.Contains(string(raw), "`"+string(s)+"`") {
			t.Errorf("the right %s is not explained", s)
		}
	}
}
