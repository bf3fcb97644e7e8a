package pid1

// Notice is something worth a line, with one number.
type Notice uint8

const (
	ManagerStarted Notice = iota + 1
	ManagerSpawnFailed
	ManagerExited
	ManagerKilled
	ManagerHangs
	ManagerDeaf
	ManagerUnkillable
	ManagerWaits
	EmergencyEntered
	EmergencyNotInContainer
	EmergencyLeft
	EmergencyFailed
	EmergencyInVain
	TooManyDeaths
	StopAsked
	StopWithoutManager
	StopForced
	StopAlready
	StopTimedOut
	StopFailed
	EndingTerm
	EndingKill
	EndingGone
	EndingLeft
	BootIsOK
	BootIsDegraded
	BootTooLate
	KeepingFull
	FramesDropped
	LinesDropped
	ExitsLost
	numNotices
)

// notices has severity (as in syslog(3)) and text; a '#' stands for the number.
var notices = [numNotices]struct {
	Level uint8
	Text  string
}{
	ManagerStarted:          {6, "the manager runs as process #"},
	ManagerSpawnFailed:      {3, "the manager cannot be started: error #"},
	ManagerExited:           {4, "the manager exited with code #"},
	ManagerKilled:           {3, "the manager was killed by signal #"},
	ManagerHangs:            {2, "the manager did not beat for # ms: SIGABRT"},
	ManagerDeaf:             {3, "the manager closed its channel but lives: SIGABRT"},
	ManagerUnkillable:       {2, "the manager did not end within # ms: SIGKILL"},
	ManagerWaits:            {5, "next manager in # ms"},
	EmergencyEntered:        {1, "emergency: a shell on the console takes the place of the manager"},
	EmergencyNotInContainer: {3, "emergency: a container has no emergency shell"},
	EmergencyLeft:           {5, "the emergency shell is over; the manager is started again"},
	EmergencyFailed:         {1, "the emergency shell cannot be started: error #"},
	EmergencyInVain:         {1, "the manager died again # ms after the emergency shell: reboot"},
	TooManyDeaths:           {1, "the manager died # times in a row soon after its start"},
	StopAsked:               {5, "the ordered stop begins"},
	StopWithoutManager:      {4, "a manager is started for the ordered stop"},
	StopForced:              {4, "forced: what is left is killed at once"},
	StopAlready:             {5, "the ordered stop is under way; three SIGINT within 5 s force it"},
	StopTimedOut:            {2, "the ordered stop took more than # ms: going on without it"},
	StopFailed:              {2, "the ordered stop failed; what is left is ended at once"},
	EndingTerm:              {5, "SIGTERM to what is left, for at most # ms"},
	EndingKill:              {4, "SIGKILL to what is left, for at most # ms"},
	EndingGone:              {6, "no process is left"},
	EndingLeft:              {3, "processes outlived SIGKILL by # ms"},
	BootIsOK:                {5, "boot: ok after # ms"},
	BootIsDegraded:          {4, "boot: degraded after # ms"},
	BootTooLate:             {1, "boot: failed, not complete after # ms"},
	KeepingFull:             {3, "descriptors refused: # are kept already"},
	FramesDropped:           {4, "# bytes from the manager were no message"},
	LinesDropped:            {4, "# lines of the manager were too many for the kernel log"},
	ExitsLost:               {3, "exit records lost for want of a manager: #"},
}

// Text appends the line to dst.
func (n Notice) Text(dst []byte, number int64) []byte {
	for _, c := range []byte(notices[n].Text) {
		if c != '#' {
			dst = append(dst, c)
			continue
		}
		dst = appendNumber(dst, number)
	}
	return dst
}

// Level is the severity, as in syslog(3).
func (n Notice) Level() uint8 { return notices[n].Level }

func appendNumber(dst []byte, v int64) []byte {
	if v < 0 {
		dst = append(dst, '-')
		v = -v
	}
	var digits [20]byte
	i := len(digits)
	for {
		i--
		digits[i] = byte('0' + uint64(v)%10)
		if v = int64(uint64(v) / 10); v == 0 {
			break
		}
	}
	return append(dst, digits[i:]...)
}
