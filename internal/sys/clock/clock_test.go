package clock

import (
	"testing"
	"time"
)

func TestBoottimeNeverGoesBack(t *testing.T) {
	last := Boottime()
	if last <= 0 {
		t.Fatalf("Boottime() = %v; want more than 0", last)
	}
	for range 1000 {
		now := Boottime()
		if now < last {
			t.Fatalf("Boottime() went from %v to %v", last, now)
		}
		last = now
	}
}

func TestAlarm(t *testing.T) {
	a, err := NewAlarm()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, set := range []func() error{
		func() error { return a.Set(1) }, // long past
		func() error { return a.Set(Boottime() + time.Millisecond) },
	} {
		at := Boottime()
		if err := set(); err != nil {
			t.Fatal(err)
		}
		<-a.Rings()
		if a.set.at > at && Boottime() < a.set.at {
			t.Error("it rang early")
		}
	}
	if err := a.Set(0); err != nil {
		t.Error(err)
	}
	if err := a.SetWake(0); err != nil {
		t.Errorf("none is always possible: %v", err)
	}
	// Whether this machine can be woken or not, it is said in the same way each time.
	first := a.SetWake(Boottime() + time.Hour)
	if second := a.SetWake(Boottime() + 2*time.Hour); (first == nil) != (second == nil) {
		t.Errorf("first %v, then %v", first, second)
	}
	var none *Alarm
	if none.Rings() != nil {
		t.Error("nil rings")
	}
}

func TestChangesEndWithClose(t *testing.T) {
	c, err := WatchChanges()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool, 1)
	go func() { // ends with Close
		again, err := c.Next()
		done <- again || err != nil
	}()
	c.Close()
	if <-done {
		t.Error("Next did not end")
	}
}
