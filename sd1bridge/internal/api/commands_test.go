package api

import (
	"context"
	"fmt"
	"strings"
	"testing"

	sd "github.com/coreos/go-systemd/v22/dbus"

	"dynamod/internal/testkit"
)

// Every command line tells of its newest run: how it ended, or that it could not be
// executed; a new start forgets those of the one before.
func TestCommandRuns(t *testing.T) {
	b := start(t, map[string]string{
		"pre.service": "[Service]\nExecStartPre=-/bin/sh -c 'exit 3'\nExecStartPre=/bin/true\nExecStartPre=/bin/true\nExecStart=/bin/sleep 1000\nExecReload=/bin/true\n" +
			"ExecStopPost=-/bin/sh -c 'kill -KILL $$$$'\n",
		"missing.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=-/nonexistent/program\n",
		"chdir.service":   "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=-/bin/true\nWorkingDirectory=/nonexistent\n",
		"forks.service":   "[Service]\nType=forking\nExecStart=/bin/sh -c 'sleep 1000 & exit 0'\n",
	})
	c, err := sd.NewConnection(b.dial)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	done := make(chan string, 1)
	do := func(f func(context.Context, string, string, chan<- string) (int, error), name string) {
		t.Helper()
		if _, err := f(ctx, name, "replace", done); err != nil {
			t.Fatal(err)
		}
		if got := testkit.Receive(t, done, name); got != "done" {
			t.Fatalf("%s: %s", name, got)
		}
	}
	// runs are "code/status" of the commands of a property, "-" for one that did not run
	// and "runs" for one that has not ended.
	runs := func(name, property string) string {
		t.Helper()
		p, err := c.GetUnitTypePropertyContext(ctx, name, "Service", property)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, row := range p.Value.Value().([][]any) {
			begun, ended, pid := row[3].(uint64), row[5].(uint64), row[7].(uint32)
			switch {
			case begun == 0 && pid == 0:
				out = append(out, "-")
			case ended == 0:
				out = append(out, "runs")
			case ended < begun || pid == 0:
				out = append(out, fmt.Sprint(row))
			default:
				out = append(out, fmt.Sprintf("%v/%v", row[8], row[9]))
			}
		}
		return strings.Join(out, " ")
	}
	is := func(what, name, property, want string) {
		t.Helper()
		if got := runs(name, property); got != want {
			t.Errorf("%s: %s is %q, want %q", what, property, got, want)
		}
	}
	is("at rest", "pre.service", "ExecStartPre", "- - -")
	do(c.StartUnitContext, "pre.service")
	is("up", "pre.service", "ExecStartPre", "1/3 1/0 1/0")
	is("up", "pre.service", "ExecStart", "runs")
	is("up", "pre.service", "ExecReload", "-")
	do(c.ReloadUnitContext, "pre.service")
	is("reloaded", "pre.service", "ExecReload", "1/0")
	do(c.StopUnitContext, "pre.service")
	is("stopped", "pre.service", "ExecStart", "2/15")
	is("stopped", "pre.service", "ExecStopPost", "2/9")
	do(c.StartUnitContext, "pre.service")
	is("up again", "pre.service", "ExecStopPost", "-")
	is("up again", "pre.service", "ExecStart", "runs")

	do(c.StartUnitContext, "missing.service")
	is("missing", "missing.service", "ExecStart", "1/203")
	for property, want := range map[string]any{"ExecMainCode": int32(1), "ExecMainStatus": int32(203)} {
		if p, err := c.GetUnitTypePropertyContext(ctx, "missing.service", "Service", property); err != nil || p.Value.Value() != want {
			t.Errorf("%s is %v, %v; want %v", property, p, err, want)
		}
	}
	do(c.StartUnitContext, "chdir.service")
	is("no directory", "chdir.service", "ExecStart", "1/200")
	do(c.StartUnitContext, "forks.service")
	is("forks", "forks.service", "ExecStart", "1/0")
}
