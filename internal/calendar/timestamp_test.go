package calendar

import (
	"errors"
	"testing"
	"time"
)

// The table of systemd.time(7), "Parsing Timestamps" (its "now" is Friday
// 2012-11-23 18:15:22 in Asia/Shanghai; its "yesterday" and "Auckland" rows
// name wrong weekdays), then black-box runs of systemd-analyze timestamp 252.
func TestParseTimestamp(t *testing.T) {
	shanghai := zone(t, "Asia/Shanghai")
	berlin := zone(t, "Europe/Berlin")
	now := time.Date(2012, 11, 23, 18, 15, 22, 0, shanghai)
	for _, c := range []struct {
		in, want string
		loc      *time.Location
	}{
		{"Fri 2012-11-23 11:12:13", "2012-11-23 11:12:13 CST", shanghai},
		{"2012-11-23 11:12:13", "2012-11-23 11:12:13 CST", shanghai},
		{"2012-11-23 11:12:13 UTC", "2012-11-23 19:12:13 CST", shanghai},
		{"2012-11-23 11:12:13 utc", "2012-11-23 19:12:13 CST", shanghai},
		{"2012-11-23", "2012-11-23 00:00:00 CST", shanghai},
		{"12-11-23", "2012-11-23 00:00:00 CST", shanghai},
		{"11:12:13", "2012-11-23 11:12:13 CST", shanghai},
		{"11:12", "2012-11-23 11:12:00 CST", shanghai},
		{"now", "2012-11-23 18:15:22 CST", shanghai},
		{"today", "2012-11-23 00:00:00 CST", shanghai},
		{"today UTC", "2012-11-23 08:00:00 CST", shanghai},
		{"yesterday", "2012-11-22 00:00:00 CST", shanghai},
		{"tomorrow", "2012-11-24 00:00:00 CST", shanghai},
		{"tomorrow Pacific/Auckland", "2012-11-23 19:00:00 CST", shanghai},
		{"+3h30min", "2012-11-23 21:45:22 CST", shanghai},
		{"-5s", "2012-11-23 18:15:17 CST", shanghai},
		{"+ 5s", "2012-11-23 18:15:27 CST", shanghai},
		{"11min ago", "2012-11-23 18:04:22 CST", shanghai},
		{"1 week 2 days ago", "2012-11-14 18:15:22 CST", shanghai},
		{"5 left", "2012-11-23 18:15:27 CST", shanghai},
		{"@1395716396", "2014-03-25 10:59:56 CST", shanghai},
		{"@1395716396.5", "2014-03-25 10:59:56.5 CST", shanghai},
		{"@1.5h", "1970-01-01 09:30:00 CST", shanghai},
		{"@0", "1970-01-01 08:00:00 CST", shanghai},
		{"2014-03-25 03:59:56.6545639", "2014-03-25 03:59:56.654564 CST", shanghai},
		{"2012-11-23  11:12:13", "2012-11-23 11:12:13 CST", shanghai},
		{"2012-1-2 3:4:5", "2012-01-02 03:04:05 CST", shanghai},
		{"2012-11-23 11:12:13 CST", "2012-11-23 11:12:13 CST", shanghai},
		{"2012-11-23 23:59:60", "2012-11-24 00:00:00 CST", shanghai},
		{"68-1-1", "2068-01-01 00:00:00 CST", shanghai},
		{"99-1-1", "1999-01-01 00:00:00 CST", shanghai},
		{"9999-12-31", "9999-12-31 00:00:00 CST", shanghai},
		{"friday 18:00", "2012-11-23 18:00:00 CST", shanghai},
		{"2024-03-31 02:30", "2024-03-31 03:30:00 CEST", berlin},
		{"2024-10-27 02:30", "2024-10-27 02:30:00 CEST", berlin},
		{"2024-10-27 02:30 CEST", "2024-10-27 02:30:00 CEST", berlin},
		{"2024-10-27 02:30 CET", "2024-10-27 02:30:00 CET", berlin},
		{"2024-03-31 02:30 Europe/Berlin", "2024-03-31 01:30:00 UTC", nil},
		{"Thu 2012-11-23", "", shanghai},
		{"now UTC", "", shanghai},
		{"NOW", "", shanghai},
		{" now", "", shanghai},
		{"", "", shanghai},
		{"5s", "", shanghai},
		{"5ago", "", shanghai},
		{"-5s ago", "", shanghai},
		{"ago", "", shanghai},
		{"@-5", "", shanghai},
		{"@5 UTC", "", shanghai},
		{"@infinity", "", shanghai},
		{"+infinity", "", shanghai},
		{"-100y", "", shanghai},
		{"2012-11-23 11", "", shanghai},
		{"2012-11-23 ", "", shanghai},
		{"2012-11-23 11:12.5", "", shanghai},
		{"2012-11-23 11:12:13.", "", shanghai},
		{"2012-11-23T11:12:13Z", "", shanghai},
		{"2012-11-23 11:12:13  UTC", "", shanghai},
		{"2012-11-23 24:00", "", shanghai},
		{"2012-11-23 23:60", "", shanghai},
		{"2012-13-01", "", shanghai},
		{"2012-02-30", "", shanghai},
		{"2012-0-1", "", shanghai},
		{"1969-12-31", "", shanghai},
		{"1970-01-01", "", shanghai},
		{"100-1-1", "", shanghai},
		{"10000-01-01", "", shanghai},
		{"Fri", "", shanghai},
		{"Fri, 2012-11-23", "", shanghai},
		{"tomorrow 11:12", "", shanghai},
		{"20121123", "", shanghai},
		{"2024-07-27 02:30 CET", "", berlin},
		{"2024-07-27 02:30 XYZ", "", berlin},
	} {
		got, err := ParseTimestamp(c.in, now, c.loc)
		if c.want == "" {
			var e *ParseError
			if !errors.As(err, &e) || e.Input != c.in || e.Offset < 0 || e.Offset > len(c.in) {
				t.Errorf("ParseTimestamp(%q) = %v, %v; want a ParseError", c.in, got, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("ParseTimestamp(%q): %v", c.in, err)
			continue
		}
		if s := got.Format("2006-01-02 15:04:05.999999 MST"); s != c.want {
			t.Errorf("ParseTimestamp(%q) = %s; want %s", c.in, s, c.want)
		}
	}
}
