package api

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"dynamod/internal/access"
	"dynamod/internal/ipc"
	"dynamod/svmgr/internal/core"
)

// API implements ipc.Handler and loop.Listener.
type API struct {
	m   Manager
	log *slog.Logger
	// access does not change; live holds the rules in force.
	access Access
	live   access.Live
	// publish is set once by PublishTo.
	publish atomic.Pointer[func(ipc.Event)]
	// finished is Time.Mono of the end of the boot, 0 if this process has not
	// seen it.
	finished atomic.Int64
	// changing holds changes of the configuration apart: reload, rollback, add,
	// set-property. It is never taken on the loop's goroutine.
	changing sync.Mutex
	holders  holders
	tags     tags
}

var _ ipc.Handler = (*API)(nil)

// New makes an API. Only root and the owner may do anything before ReloadAccess is
// called; events go nowhere before PublishTo is.
func New(m Manager, rules Access, log *slog.Logger) *API {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &API{m: m, access: rules, log: log}
}

// call is one request on its way.
type call struct {
	*API
	ctx  context.Context
	peer ipc.Peer
	verb ipc.Verb
	// unit is the full, canonical name of the unit that the request is about,
	// when its gate is one that names a unit.
	unit string
	// held are the units that were loaded for it; see ensure.
	held *[]string
	// steps are the manager's Steps of what it has seen first.
	steps uint64
}

// entry is a row of the table of verbs: what must be allowed, then what is done.
// There is no way to the second but through the first.
type entry struct {
	gate gate
	do   func(c *call, args any) (ipc.Response, error)
}

// with makes the row of a verb whose arguments are an A.
func with[A any](g gate, do func(*call, *A) (any, error)) entry {
	return entry{g, func(c *call, args any) (ipc.Response, error) {
		r, err := do(c, args.(*A))
		if later, ok := r.(later); ok && err == nil {
			return ipc.Response{Later: later}, nil
		}
		return ipc.Response{Result: r}, err
	}}
}

// later is a result that has to be waited for.
type later func(context.Context) (any, error)

var table map[ipc.Verb]entry

func init() {
	table = map[ipc.Verb]entry{
		ipc.VerbPing:     with(anybody, (*call).ping),
		ipc.VerbList:     with(filtered, (*call).list),
		ipc.VerbStatus:   with(onUnitOrPID, (*call).status),
		ipc.VerbShow:     with(onUnit, (*call).show),
		ipc.VerbUnit:     with(onUnit, (*call).whole),
		ipc.VerbSecurity: with(onUnit, (*call).security),
		ipc.VerbTree:     with(filtered, (*call).tree),
		ipc.VerbDeps:     with(onUnit, (*call).deps),
		ipc.VerbWhy:      with(onUnitOrPID, (*call).why),
		ipc.VerbJobs:     with(filtered, (*call).jobs),
		ipc.VerbLogs:     with(filtered, (*call).logs),
		ipc.VerbStats:    with(filtered, (*call).stats),
		ipc.VerbProcs:    with(filtered, (*call).procs),
		ipc.VerbBoot:     with(filtered, (*call).boot),
		ipc.VerbSubscribe: {filtered, func(c *call, _ any) (ipc.Response, error) {
			return ipc.Response{Visible: c.sees}, nil
		}},

		ipc.VerbStart:         with(onUnit, (*call).job),
		ipc.VerbStop:          with(onUnit, (*call).job),
		ipc.VerbRestart:       with(onUnit, (*call).job),
		ipc.VerbTryRestart:    with(onUnit, (*call).job),
		ipc.VerbReload:        with(onUnit, (*call).job),
		ipc.VerbReloadOrStart: with(onUnit, (*call).job),
		ipc.VerbReset:         with(onUnit, (*call).job),
		ipc.VerbIsolate:       with(onUnit, (*call).isolate),
		ipc.VerbCancel:        with(onJob, (*call).cancel),
		ipc.VerbKill:          with(onUnit, (*call).kill),
		ipc.VerbMount:         with(onUnit, (*call).mount),
		ipc.VerbMark:          with(onUnit, (*call).mark),
		ipc.VerbVerifyActive:  with(onUnit, (*call).job),
		ipc.VerbFreeze:        with(onUnit, (*call).freeze),
		ipc.VerbThaw:          with(onUnit, (*call).freeze),
		ipc.VerbRef:           with(onUnit, (*call).ref),
		ipc.VerbUnref:         with(onUnit, (*call).ref),
		ipc.VerbStartAll:      with(filtered, (*call).many),
		ipc.VerbStopAll:       with(filtered, (*call).many),
		ipc.VerbDeleteAll:     with(filtered, (*call).many),

		ipc.VerbLoad:         with(onUnit, (*call).load),
		ipc.VerbAdd:          with(onUnit, (*call).add),
		ipc.VerbAttach:       with(onUnit, (*call).attach),
		ipc.VerbAbandon:      with(onUnit, (*call).abandon),
		ipc.VerbRemove:       with(onUnit, (*call).remove),
		ipc.VerbSetProperty:  with(onUnit, (*call).setProperty),
		ipc.VerbClean:        with(onUnit, (*call).clean),
		ipc.VerbNotify:       with(onUnit, (*call).notify),
		ipc.VerbBusName:      with(onManager, (*call).busName),
		ipc.VerbEnvironment:  with(onManager, (*call).environment),
		ipc.VerbSetEnviron:   with(onManager, (*call).setEnvironment),
		ipc.VerbDynamicUsers: with(onManager, (*call).dynamicUsers),
		ipc.VerbStored:       with(onUnit, (*call).stored),
		ipc.VerbManager:      with(onManager, (*call).manager),
		ipc.VerbSetManager:   with(onManager, (*call).setManager),
		ipc.VerbDaemonReload: with(onManager, (*call).daemonReload),
		ipc.VerbRollback:     with(onManager, (*call).rollback),
		ipc.VerbBootHealth:   with(onManager, (*call).bootHealth),
		ipc.VerbBootMark:     with(onManager, (*call).bootMark),
		ipc.VerbReexec:       with(onManager, (*call).reexec),
		ipc.VerbShutdown:     with(onManager, (*call).shutdown),
		ipc.VerbDebugState:   with(onManager, (*call).debugState),
	}
}

// Handle implements ipc.Handler.
func (a *API) Handle(ctx context.Context, peer ipc.Peer, req ipc.Request) (ipc.Response, error) {
	e, ok := table[req.Verb]
	if !ok {
		return ipc.Response{}, ipc.Errorf("NoSuchVerb", "there is no verb %q", string(req.Verb))
	}
	var held []string
	c := &call{API: a, ctx: ctx, peer: peer, verb: req.Verb, held: &held}
	defer func() {
		if len(held) > 0 {
			a.m.Post(core.Released{Names: held}) // in vain only when all has ended
		}
	}()
	if err := e.gate(c, req.Args); err != nil {
		return ipc.Response{}, err
	}
	return e.do(c, req.Args)
}

// query looks at the core.
func (a *API) query(f func(core.View)) error {
	if !a.m.Query(func(c *core.Core) { f(c.View()) }) {
		return errEnded()
	}
	return nil
}

func errEnded() error { return ipc.Errorf("ShuttingDown", "the manager has ended") }

// ask puts a request to the core and returns a function that waits for its reply.
func (a *API) ask(request func(core.RequestID) core.Event) func(context.Context) (core.Reply, error) {
	ch := a.m.Ask(request)
	return func(ctx context.Context) (core.Reply, error) {
		var r core.Reply
		select {
		case r = <-ch:
		case <-ctx.Done():
			// A manager that ends answers and closes at once: what was
			// answered counts.
			select {
			case r = <-ch:
			default:
				return r, ctx.Err()
			}
		}
		if r.Err != nil {
			return r, refusal(r.Err)
		}
		return r, nil
	}
}

// refusal gives the core's refusal the form of the wire.
func refusal(e *core.RequestError) error {
	out := ipc.Errorf(e.Kind, "%s", e.Text).WithUnit(e.Unit)
	switch e.Kind {
	case "Protected":
		out = out.WithHint("--force stops it nevertheless")
	case "BadUnitSetting", "LoadFailed":
		out = out.WithHint("dynamodctl reload --dry-run names file and line, and so does the manager's log")
	}
	return out
}
