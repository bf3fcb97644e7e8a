package session

// Event is something that happened. Each is handled at a moment.
type Event interface{ event() }

// Action is what the shell is to do, in the order of the list.
type Action interface{ action() }

type (
	// Create asks for a session. Session holds what was asked for; ID and stage are
	// chosen here. Request names it in the answer. GID is the user's group.
	Create struct {
		Request uint64
		GID     uint32
		Session Session
	}
	// Restore makes a session known that was there before this process.
	// Devices are those whose descriptors were kept.
	Restore struct {
		GID     uint32
		Session Session
		Devices []Device
	}
	// Opened tells that the units of a session are there, or why not.
	Opened struct {
		ID    string
		Error string
	}
	// UserOpened tells that what OpenUser has asked for is there.
	UserOpened struct {
		UID     uint32
		Manager bool
	}
	// UserClosed tells that they are gone.
	UserClosed struct{ UID uint32 }
	// Ended tells that a session is over: its leader ended, its FIFO was closed, or
	// it was released.
	Ended struct{ ID string }
	// Emptied tells that nothing is left in the scope of a session.
	Emptied struct{ ID string }
	// Terminate asks to kill what is left of a session.
	Terminate struct{ ID string }
	// VTShown tells which terminal is in front (/sys/class/tty/tty0/active).
	VTShown struct{ VT uint32 }
	// SetIdle and SetLocked are hints of the session.
	SetIdle struct {
		ID   string
		Idle bool
	}
	SetLocked struct {
		ID     string
		Locked bool
	}
	// SetLinger makes a user stay without sessions, or no longer.
	SetLinger struct {
		UID, GID uint32
		Name     string
		Linger   bool
	}
	// TakeControl asks for control of a session in the name of a bus client.
	TakeControl struct {
		ID, Client string
		Force      bool
	}
	// ReleaseControl gives it back. ClientGone does for all that the client has.
	ReleaseControl struct{ ID, Client string }
	ClientGone     struct{ Client string }
	// Detached tells that the device of a path, and with it its node, is gone.
	Detached struct {
		Path string
		Node DeviceID
	}
	// TakeDevice asks for a device in the name of the controller; Kind and Seat are
	// what the machine says of it. ReleaseDevice gives it back.
	TakeDevice struct {
		Request    uint64
		ID, Client string
		Device     DeviceID
		Kind       DeviceKind
		Seat       string
	}
	ReleaseDevice struct {
		Request    uint64
		ID, Client string
		Device     DeviceID
	}
	// PauseComplete is the controller's answer to the question to pause.
	PauseComplete struct {
		Request    uint64
		ID, Client string
		Device     DeviceID
	}
	// Switch asks for a session to come to the front of its seat.
	Switch struct {
		Request uint64
		ID      string
	}
	// VTLeaving tells that the kernel waits for leave to hide the terminal in front.
	VTLeaving struct{}
	// SetType and SetDisplay are what the controller of a session says of it; Client
	// must be the controller.
	SetType    struct{ ID, Client, Type string }
	SetDisplay struct{ ID, Client, Display string }
	SetTTY     struct{ ID, Client, TTY string }
	// SetClass is asked by the owner of a session.
	SetClass struct {
		Request   uint64
		ID, Class string
	}
	// Inhibit asks for an inhibitor.
	Inhibit struct {
		Request   uint64
		Inhibitor Inhibitor
	}
	// InhibitorGone tells that its descriptor was closed.
	InhibitorGone struct{ ID uint64 }
	// Power asks for a transition.
	Power struct {
		Request    uint64
		Transition Transition
	}
	// PowerDone tells that the transition was carried out, or failed.
	PowerDone struct{}
	// Schedule asks for a shutdown at a time; Ignore passes block inhibitors.
	// CancelSchedule is answered with Live if there was one.
	Schedule struct {
		Request  uint64
		Shutdown Scheduled
		Ignore   bool
	}
	CancelSchedule struct{ Request uint64 }
	// Key tells of one of the machine's keys: power, reboot, suspend or hibernate.
	Key struct {
		Name string
		Down bool
	}
	// Attention tells that Ctrl+Alt+Shift+Esc went down on a keyboard of a seat.
	Attention struct{ Seat string }
	// Sleeps tells which ways to sleep the machine has.
	Sleeps struct{ Verbs []string }
	// Tick tells that Deadline has come.
	Tick struct{}
)

func (Create) event()         {}
func (Restore) event()        {}
func (Opened) event()         {}
func (UserOpened) event()     {}
func (UserClosed) event()     {}
func (Ended) event()          {}
func (Emptied) event()        {}
func (Terminate) event()      {}
func (VTShown) event()        {}
func (SetIdle) event()        {}
func (SetLocked) event()      {}
func (SetLinger) event()      {}
func (TakeControl) event()    {}
func (ReleaseControl) event() {}
func (ClientGone) event()     {}
func (Attached) event()       {}
func (Detached) event()       {}
func (Shared) event()         {}
func (TakeDevice) event()     {}
func (ReleaseDevice) event()  {}
func (PauseComplete) event()  {}
func (Switch) event()         {}
func (VTLeaving) event()      {}
func (SetType) event()        {}
func (SetDisplay) event()     {}
func (SetTTY) event()         {}
func (SetClass) event()       {}
func (Inhibit) event()        {}
func (InhibitorGone) event()  {}
func (Power) event()          {}
func (PowerDone) event()      {}
func (Schedule) event()       {}
func (CancelSchedule) event() {}
func (Key) event()            {}
func (Lid) event()            {}
func (Sleeps) event()         {}
func (Attention) event()      {}
func (Tick) event()           {}

type (
	// Refuse answers a request with an error: a D-Bus error name and a sentence.
	Refuse struct {
		Request    uint64
		Name, Text string
	}
	// Grant answers a request: the session or inhibitor ID is there.
	Grant struct {
		Request   uint64
		Session   string
		Inhibitor uint64
		// Live says that there was a shutdown to cancel.
		Live bool
	}
	// Took keeps the descriptor of a device, as live or muted.
	Took struct {
		ID     string
		Device DeviceID
		Live   bool
	}
	// Kept is Took for a descriptor from before a restart, of which it is not known
	// whether it works.
	Kept struct {
		ID     string
		Device DeviceID
		Live   bool
	}
	// Mute makes all descriptors of a device useless, Resume makes it work again and
	// tells the controller; Drop closes ours for good.
	Mute struct {
		ID     string
		Device DeviceID
	}
	Resume struct {
		ID, Client string
		Device     DeviceID
	}
	Drop struct {
		ID     string
		Device DeviceID
	}
	// Paused is the signal PauseDevice; How is pause, force or gone.
	Paused struct {
		ID, Client string
		Device     DeviceID
		How        string
	}
	// ShowVT brings a terminal to the front and answers the request.
	ShowVT struct {
		Request uint64
		VT      uint32
	}
	// TakeVT makes a terminal one that its session draws on and whose switches we are
	// asked about; GiveVT makes it an ordinary one again.
	TakeVT struct{ VT, UID uint32 }
	GiveVT struct{ VT uint32 }
	// LeaveVT lets the kernel hide the terminal.
	LeaveVT struct{ VT uint32 }
	// Prompt starts a login prompt on a terminal.
	Prompt struct{ VT uint32 }
	// Access changes the ACLs of a seat's devices from one user to the other; -1 is
	// nobody.
	Access struct {
		Seat     string
		From, To int64
	}
	// Correct lets one user, or with -1 nobody, have one device, and those of From, who
	// had devices of seats before, no longer.
	Correct struct {
		Node string
		From []int64
		To   int64
	}
	// OpenUser starts a user's runtime directory, and with Manager the manager; Open
	// starts the units of a session after that.
	OpenUser struct {
		UID     uint32
		Manager bool
	}
	// Scope is "" for a session without.
	Open struct{ ID, Scope string }
	// CloseUser stops a user's units.
	CloseUser struct{ UID uint32 }
	// StopScope stops a session's scope; Abandon lets what is in it go on.
	StopScope struct{ ID string }
	Abandon   struct{ ID string }
	// Forget drops the descriptors of a session (leader, FIFO).
	Forget struct{ ID string }
	// Appeared and Vanished are told by signals of the manager object. Kind is
	// Session, User or Seat.
	Appeared struct {
		Kind Kind
		ID   string
	}
	Vanished struct {
		Kind Kind
		ID   string
	}
	// Changed names properties that have changed, and says that the state file of
	// the object is to be written anew.
	Changed struct {
		Kind  Kind
		ID    string
		Names []string
	}
	// Prepare is PrepareForShutdown or PrepareForSleep.
	Prepare struct {
		Transition Transition
		Begin      bool
	}
	// RemoveIPC removes what a user who has logged out has left in the kernel.
	RemoveIPC struct{ UID uint32 }
	// SaveSchedule writes down what Core.Scheduled is.
	SaveSchedule struct{}
	// Announce tells everybody on a terminal of a shutdown in Left microseconds, or
	// that it is cancelled.
	Announce struct {
		Shutdown  Scheduled
		Left      int64
		Cancelled bool
	}
	// Logins lets users log in, or not (/run/nologin).
	Logins struct{ Open bool }
	// LockAll asks all sessions to lock their screens.
	LockAll struct{}
	// SecureAttention asks the login manager of a seat to show itself.
	SecureAttention struct{ Seat string }
	// Note is what a key, the lid or idleness led to, for the log.
	Note struct{ Setting, Text string }
	// Execute carries a transition out.
	Execute struct{ Transition Transition }
)

// Kind is what an action is about.
type Kind int

const (
	AManager Kind = iota
	ASession
	AUser
	ASeat
)

func (Refuse) action()          {}
func (Grant) action()           {}
func (Took) action()            {}
func (Kept) action()            {}
func (Mute) action()            {}
func (Resume) action()          {}
func (Drop) action()            {}
func (Paused) action()          {}
func (ShowVT) action()          {}
func (TakeVT) action()          {}
func (GiveVT) action()          {}
func (LeaveVT) action()         {}
func (Prompt) action()          {}
func (Access) action()          {}
func (Correct) action()         {}
func (OpenUser) action()        {}
func (Open) action()            {}
func (CloseUser) action()       {}
func (StopScope) action()       {}
func (Abandon) action()         {}
func (Forget) action()          {}
func (Appeared) action()        {}
func (Vanished) action()        {}
func (Changed) action()         {}
func (Prepare) action()         {}
func (RemoveIPC) action()       {}
func (SaveSchedule) action()    {}
func (Announce) action()        {}
func (Logins) action()          {}
func (LockAll) action()         {}
func (SecureAttention) action() {}
func (Note) action()            {}
func (Execute) action()         {}
