package child

// Spec says how one process is to be set up. The zero value of a field leaves
// things as they are, except where a comment says otherwise.
type Spec struct {
	// Path is executed with Argv and Env, and nothing else of them is used.
	Path string
	Argv []string
	Env  []string
	// PIDVars are variables of Env's kind whose value is the process ID.
	PIDVars []string

	// FDs are the numbers under which the descriptors from FirstFD on are
	// passed, in order; all other descriptors above 2 are closed by the exec.
	FDs []int32
	// Stdio are the three standard streams.
	Stdio [3]Stream
	TTY   TTY

	// Hold makes the helper wait for one byte on StatusFD, which is a socket
	// then, before it does anything. The end of the stream instead means that
	// the manager died: then it must not become a process that nobody knows.
	Hold bool

	// Cgroup is the path that /proc/self/cgroup must show, "" for no check.
	Cgroup string

	Umask       uint32
	OOMScore    Int // oom_score_adj
	Nice        Int
	Sched       Sched
	IOPrio      Int // as ioprio_set(2) takes it: class<<13 | level
	Affinity    []uint64
	TimerSlack  uint64 // ns
	CoreFilter  Int    // /proc/self/coredump_filter
	NUMA        NUMA
	Limits      []Limit
	Keyring     uint8 // KeyringKeep …
	Personality Int
	MemoryKSM   Int // PR_SET_MEMORY_MERGE of prctl(2)
	NoNewPrivs  bool
	IgnorePipe  bool // SIGPIPE
	Ids         Ids
	Dirs        []Dir
	Credentials Credentials
	Cwd         string // "" is /
	CwdOptional bool
	// SameGroup keeps the process in the manager's session and process group: the
	// kernel's autofs lets only that group through.
	SameGroup bool

	// Bounding is the capability bounding set to keep when HasBounding.
	HasBounding bool
	Bounding    uint64
	Ambient     uint64
	SecureBits  uint32
	HasSecure   bool

	// PAM is a session that is opened first; it takes a program with libpam.
	PAM PAM

	// Aux is how many descriptors follow those of FDs: they are for the set-up
	// itself and are closed by the exec.
	Aux    uint32
	Space  Space
	View   View
	Labels []Label
	// NoWriteExec refuses memory that becomes executable (PR_SET_MDWE).
	NoWriteExec bool
	// Filters hold from right before the exec.
	Filters []Filter
}

// PAM is a session of PAM: the service is a file of pam.d, "" for none; TTY may be "".
type PAM struct{ Service, User, TTY string }

// Int is a number that may be absent.
type Int struct {
	Set bool
	N   int32
}

// Stream kinds.
const (
	// StreamInherit keeps the descriptor that the manager prepared.
	StreamInherit uint8 = iota
	// StreamNull is /dev/null.
	StreamNull
	// StreamFile opens Path with Flags, and mode 0666 when it creates it. A
	// path that is a socket is connected to, as systemd.exec(5) says of file:.
	StreamFile
	// StreamTTY is the terminal of Spec.TTY.
	StreamTTY
	// StreamCopy is another of the three, that of number Flags.
	StreamCopy
	// StreamPassed is the descriptor FirstFD+Flags.
	StreamPassed
)

// Stream is where one of the standard streams comes from or goes to.
type Stream struct {
	Kind  uint8
	Flags int32
	Path  string
}

// TTY modes.
const (
	TTYNone  uint8 = iota
	TTYTake        // becomes the controlling terminal when it is free
	TTYForce       // … in any case
	TTYFail        // … or the stage fails
	TTYOpen        // is opened for output only and not controlled
)

// TTY is the terminal of StreamTTY and what is done to it first.
type TTY struct {
	Mode                        uint8
	Path                        string
	Reset, Vhangup, Disallocate bool
	Rows, Columns               int32
}

// Sched is sched_setscheduler(2).
type Sched struct {
	Set         bool
	Policy      int32
	Priority    int32
	ResetOnFork bool
}

// NUMA is set_mempolicy(2).
type NUMA struct {
	Set   bool
	Mode  int32
	Nodes []uint64
}

// Limit is one resource limit.
type Limit struct {
	Resource   int32
	Soft, Hard uint64
}

// Keyring modes of systemd.exec(5), KeyringMode=.
const (
	KeyringKeep uint8 = iota
	KeyringPrivate
	KeyringShared
)

// Ids are the identity that the process ends up with.
type Ids struct {
	// SetGroups, SetGID and SetUID say which of them are changed.
	SetGroups, SetGID, SetUID bool
	UID, GID                  uint32
	Groups                    []uint32
}

// Dir is a directory that must exist before the program runs.
type Dir struct {
	// Stage is the name under which a failure is reported.
	Stage string
	// Path is absolute; its parents are made with mode 0755.
	Path     string
	Mode     uint32
	UID, GID uint32
	// Chown gives an existing directory to UID and GID too.
	Chown bool
	// Links are symbolic links to it.
	Links []string
}

// Credentials are written into a directory that only the unit's user can read.
type Credentials struct {
	Path     string // "" for none
	UID, GID uint32
	Items    []Credential
}

// Credential has its content in Data, or in the file Path when that is set.
type Credential struct {
	ID       string
	Path     string
	Optional bool
	Data     []byte
}
