// Package pid1 has the messages between dynamod-init and dynamod-svmgr: those of
// the first dynamod bit for bit, and ours beside them. docs/ipc.md lists them.
//
// It runs in PID 1: Append and Decode allocate nothing, use no reflection and
// bound everything that comes in, because the peer may be a manager gone mad.
// It refuses to know what either side does with a message.
//
// The two talk over a SOCK_STREAM socketpair. Descriptors travel as SCM_RIGHTS
// with the first byte of the frame that names them, so they arrive no later than
// its end: the receiver queues what recvmsg(2) gives it, takes Count of them when
// it has decoded a Deposit or a Kept, and closes what no such frame has claimed
// when the queue would exceed MaxFDs or another frame is complete.
package pid1
