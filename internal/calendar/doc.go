// Package calendar owns the notations of systemd.time(7): time spans,
// timestamps and calendar events, how they are written in normal form, and
// when a calendar event elapses next.
//
// It refuses clocks and timers: every "now" and every local time zone is an
// argument, and nothing here sleeps or fires. The one thing that it takes from
// the machine is the time zone database, through time.LoadLocation; ParseWith
// takes it from elsewhere.
//
// The sources are systemd.time(7) and black-box runs of systemd-analyze
// calendar, timespan and timestamp 252, recorded in testdata/.
package calendar
