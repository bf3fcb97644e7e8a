package sdnotify

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func ptr[T any](v T) *T { return &v }

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     Message
	}{
		{"ready", "READY=1", Message{Ready: true}},
		{"newline at the end", "READY=1\n", Message{Ready: true}},
		{"a NUL at the end", "READY=1\n\x00", Message{Ready: true}},
		{"several", "READY=1\nSTATUS=up = good\nMAINPID=42", Message{Ready: true, Status: ptr("up = good"), MainPID: 42}},
		{"READY=0 is nothing", "READY=0", Message{Bad: []string{"READY"}}},
		{"not a substring", "X_READY=1\nSTATUS=READY=1", Message{Status: ptr("READY=1"), Others: []Assignment{{"X_READY", "1"}}}},
		{"empty status clears", "STATUS=", Message{Status: ptr("")}},
		{"broken UTF-8", "STATUS=\xff", Message{Bad: []string{"STATUS"}}},
		{"last of two", "STATUS=a\nSTATUS=b\nMAINPID=1\nMAINPID=x", Message{Status: ptr("b"), MainPID: 1, Bad: []string{"MAINPID"}}},
		{"reload", "RELOADING=1\nMONOTONIC_USEC=1500", Message{Reloading: true, Monotonic: 1500 * time.Microsecond}},
		{"stopping", "STOPPING=1", Message{Stopping: true}},
		{"failure", "ERRNO=2\nBUSERROR=org.x.Y\nVARLINKERROR=org.x.Z\nEXIT_STATUS=7", Message{Errno: 2, BusError: "org.x.Y", VarlinkError: "org.x.Z", ExitStatus: ptr[uint8](7)}},
		{"exit status 0", "EXIT_STATUS=0", Message{ExitStatus: ptr[uint8](0)}},
		{"exit status 256", "EXIT_STATUS=256", Message{Bad: []string{"EXIT_STATUS"}}},
		{"pid 0", "MAINPID=0", Message{Bad: []string{"MAINPID"}}},
		{"pid too large", "MAINPID=4294967297", Message{Bad: []string{"MAINPID"}}},
		{"negative pid", "MAINPID=-1", Message{Bad: []string{"MAINPID"}}},
		{"ping", "WATCHDOG=1", Message{Watchdog: true}},
		{"trigger", "WATCHDOG=trigger", Message{WatchdogTrigger: true}},
		{"period", "WATCHDOG_USEC=20000000", Message{WatchdogPeriod: ptr(20 * time.Second)}},
		{"period 0", "WATCHDOG_USEC=0", Message{WatchdogPeriod: ptr(time.Duration(0))}},
		{"endless period", "WATCHDOG_USEC=18446744073709551615", Message{WatchdogPeriod: ptr(Forever)}},
		{"extend", "EXTEND_TIMEOUT_USEC=3000000", Message{ExtendTimeout: 3 * time.Second}},
		{"extend by words", "EXTEND_TIMEOUT_USEC=3s", Message{Bad: []string{"EXTEND_TIMEOUT_USEC"}}},
		{"store", "FDSTORE=1\nFDNAME=db\nFDPOLL=0", Message{FDStore: true, FDName: "db", NoPoll: true}},
		{"store with a bad name", "FDSTORE=1\nFDNAME=a:b", Message{FDStore: true, Bad: []string{"FDNAME"}}},
		{"remove", "FDSTOREREMOVE=1\nFDNAME=db", Message{FDStoreRemove: true, FDName: "db"}},
		{"access", "NOTIFYACCESS=all", Message{NotifyAccess: "all"}},
		{"barrier", "BARRIER=1", Message{Barrier: true}},
		{"lines that assign nothing", "junk\n=x\n\nREADY=1", Message{Ready: true}},
		{"unknown kept", "A=1\nB=\nA=2", Message{Others: []Assignment{{"A", "1"}, {"B", ""}, {"A", "2"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Parse([]byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*m, c.want) {
				t.Errorf("Parse(%q)\n got %+v\nwant %+v", c.in, *m, c.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		in   string
		want error
	}{
		{"", ErrEmpty},
		{"garbage\n\n", ErrEmpty},
		{"READY=1\x00STATUS=x", ErrNUL},
		{"READY=1\x00\x00", ErrNUL},
		{"BARRIER=1\nREADY=1", ErrMixed},
		{"X=1\nBARRIER=1", ErrMixed},
		{"STATUS=" + strings.Repeat("x", MaxMessage), ErrTooLong},
	} {
		if _, err := Parse([]byte(c.in)); !errors.Is(err, c.want) {
			t.Errorf("Parse(%.40q) = %v, want %v", c.in, err, c.want)
		}
	}
}

func TestValidFDName(t *testing.T) {
	for name, want := range map[string]bool{
		"": false, "a": true, "a b": true, "a:b": false, "ä": false, "a\tb": false, "a\x7f": false,
		strings.Repeat("x", 255): true, strings.Repeat("x", 256): false,
	} {
		if got := ValidFDName(name); got != want {
			t.Errorf("ValidFDName(%.20q) = %v, want %v", name, got, want)
		}
	}
}

// What is printed is read back the same, but for what was not valid.
func FuzzMessage(f *testing.F) {
	for _, s := range []string{"READY=1\nSTATUS=x", "BARRIER=1", "WATCHDOG=1\nWATCHDOG=trigger\nWATCHDOG_USEC=18446744073709551615",
		"FDSTORE=1\nFDNAME=a\nFDPOLL=0\nFDPOLL=1", "EXIT_STATUS=3\nERRNO=5\nX=y\nBUSERROR=z", "MAINPID=7\nREADY=2\n\x00", "STATUS=\xff\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			return
		}
		m.Bad = nil
		text := m.String()
		if text == "" {
			return
		}
		again, err := Parse([]byte(text))
		if errors.Is(err, ErrTooLong) {
			return // a newline more than the original had
		}
		if err != nil {
			t.Fatalf("%q printed as %q: %v", data, text, err)
		}
		if !reflect.DeepEqual(m, again) {
			t.Fatalf("%q printed as %q\n was %+v\n now %+v", data, text, m, again)
		}
	})
}
