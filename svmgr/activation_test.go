package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
)

var manyConnections = flag.Int("connections", 100_000, "connections of TestConnectionsSurvive (a twentieth with -short)")

// echoServer answers a connection at a time and writes down what it has answered. It
// finishes the one it is at when it is told to end.
const echoServer = `use IO::Socket::UNIX; use IO::Select;
my $l = IO::Socket::UNIX->new_from_fd(3, "r+"); my $end = 0; $SIG{TERM} = sub { $end = 1 };
open(my $log, ">>", $ARGV[0]); $log->autoflush(1); my $s = IO::Select->new($l);
while (!$end) { next unless $s->can_read(0.05); my $c = $l->accept or next; my $x = <$c>; next unless defined $x;
	syswrite($log, $x); print $c $x; close($c); }`

// A socket loses no connection while its service is restarted and the manager is killed,
// and none is answered twice.
func TestConnectionsSurvive(t *testing.T) {
	connections, restarts, kills := *manyConnections, 100, 20
	if testing.Short() {
		connections, restarts, kills = connections/20, 10, 4
	}
	r := prepare(t, nil)
	dir := t.TempDir()
	path, answered, program := filepath.Join(r.run, "echo"), filepath.Join(dir, "answered"), filepath.Join(dir, "echo.pl")
	if err := os.WriteFile(program, []byte(echoServer), 0o644); err != nil {
		t.Fatal(err)
	}
	r.writeUnit("echo.socket", "[Socket]\nListenStream="+path+"\nBacklog=1024\nTriggerLimitIntervalSec=0\n")
	r.writeUnit("echo.service", "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/usr/bin/perl "+program+" "+answered+"\n")
	init := underInit(r)
	c := r.client()
	if _, err := call[ipc.JobResult](t, c, ipc.VerbStart, ipc.JobArgs{Unit: "echo.socket", Wait: true}); err != nil {
		t.Fatal(err)
	}
	var next, done atomic.Int64
	failed := make(chan error, 8)
	var clients sync.WaitGroup
	begun := time.Now()
	for range 8 {
		clients.Add(1)
		go func() { // ends with the last connection
			defer clients.Done()
			for n := next.Add(1); n <= int64(connections); n = next.Add(1) {
				if err := askEcho(path, fmt.Sprintf("c%d\n", n)); err != nil {
					failed <- fmt.Errorf("connection %d: %w", n, err)
					return
				}
				done.Add(1)
			}
		}()
	}
	// The disturbances are spread over the connections, not over time.
	disturbances := restarts + kills
	for k := range disturbances {
		testkit.Eventually(t, "connections go on", func() bool {
			return len(failed) > 0 || done.Load()*int64(disturbances+1) >= int64(k+1)*int64(connections)
		})
		if len(failed) > 0 {
			break
		}
		if k%(disturbances/kills) == 0 {
			c = init.kill(c)
			continue
		}
		if _, err := call[ipc.JobResult](t, c, ipc.VerbRestart, ipc.JobArgs{Unit: "echo.service", Wait: true}); err != nil {
			t.Fatal(err)
		}
	}
	clients.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	t.Logf("%d connections with %d restarts of the service and %d deaths of the manager in %v", connections, restarts, kills, time.Since(begun).Round(time.Millisecond))
	data, err := os.ReadFile(answered)
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for line := range strings.Lines(string(data)) {
		times[line]++
	}
	for line, n := range times {
		if n > 1 {
			t.Errorf("%q was answered %d times", line, n)
		}
	}
	if !t.Failed() && len(times) != connections {
		t.Errorf("%d were answered; want %d", len(times), connections)
	}
}

// askEcho makes a connection and waits for its answer.
func askEcho(path, text string) error {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	back, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && back != text {
		err = fmt.Errorf("asked %q and heard %q", text, back)
	}
	return err
}
