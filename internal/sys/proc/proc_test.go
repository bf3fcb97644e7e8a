package proc

import (
	"os"
	"testing"
)

func TestParseStat(t *testing.T) {
	const tail = " 0 0 0 0 0 0 0 0 20 0 1 0 4328908 0 0 18446744073709551615 0 0 0 0 0 0 2147221247 65536 2147155711 1 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 32\n"
	for text, want := range map[string]Stat{
		"10874 (init.test) Z 8370 8364 25874 0 -1 4228364" + tail: {State: 'Z', Parent: 8370, Group: 8364, Session: 25874, Start: 4328908, Exit: 32},
		"5 (a) b (c)) S 1 2 3 0 -1 4194560" + tail:                {State: 'S', Parent: 1, Group: 2, Session: 3, Start: 4328908, Exit: 32},
		"2 (kthreadd) S 0 0 0 0 -1 2129984" + tail:                {State: 'S', Start: 4328908, Kernel: true, Exit: 32},
	} {
		if got, ok := parseStat([]byte(text)); !ok || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "2 (kthreadd", "2 (a) S 0 0", "2 (a) S x 0 0 0 -1 0" + tail, "2 (a) S 0 0 0 0 -1 flags" + tail} {
		if got, ok := parseStat([]byte(text)); ok {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
}

func TestStatOfThisProcess(t *testing.T) {
	got, err := StatOf(os.Getpid())
	if err != nil || got.Kernel || got.Parent != os.Getppid() || got.Start == 0 {
		t.Errorf("%+v, %v", got, err)
	}
}
