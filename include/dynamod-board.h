/* dynamod-board.h - read what the manager writes down of each unit.
 *
 * SPDX-License-Identifier: MIT
 *
 * The board is a file: /dev/shm/dynamod for the manager of a machine, "board" in the
 * runtime directory of any other. It can be read while the manager hangs, is stopped or
 * is gone. Read it with pread(2), not through a mapping: its owner could make it shorter.
 *
 *	int fd = open("/dev/shm/dynamod", O_RDONLY | O_CLOEXEC);
 *	struct dynamod_board_header head;
 *	if (dynamod_board_head(fd, &head) == 0)
 *		for (uint32_t i = 0; i < head.used; i++) {
 *			struct dynamod_board_unit u;
 *			if (dynamod_board_unit(fd, i, &u) == 0 && u.name[0])
 *				printf("%s %s\n", u.name, u.state);
 *		}
 *
 * It needs POSIX.1-2008 (-D_POSIX_C_SOURCE=200809L where the compiler is strict).
 * A manager that has no more room makes a larger file in the place of this one and says
 * "ended" here: open the path again for each look.
 */
#ifndef DYNAMOD_BOARD_H
#define DYNAMOD_BOARD_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define DYNAMOD_BOARD_PATH "/dev/shm/dynamod"
#define DYNAMOD_BOARD_MAGIC "DYNBOARD"
#define DYNAMOD_BOARD_VERSION 1
#define DYNAMOD_BOARD_ORDER 0x04030201u
#define DYNAMOD_BOARD_UNKNOWN UINT64_MAX

struct dynamod_board_header {
	char magic[8];
	uint32_t version, order;       /* order: 0x04030201 in the byte order of the machine */
	uint32_t header_size, record_size;
	uint32_t capacity;             /* room for records */
	int32_t pid;                   /* the manager */
	int64_t started;               /* since when, in microseconds since 1970 */
	uint64_t sequence;             /* odd while what follows is written */
	uint32_t used, total;          /* records that may be in use; all units there are */
	int64_t updated;               /* when something was written last */
	uint32_t ended;                /* the manager ended on purpose, or went on in another file */
	uint32_t reserved[15];
};

struct dynamod_board_unit {
	uint64_t sequence;             /* odd while the record is written */
	char name[256];                /* of the unit; empty if the record is free */
	char state[16], sub[24], cause[32];
	uint32_t weight;               /* share of processor time, 1 to 10000; 0 is idle */
	int32_t pid;
	uint32_t restarts, reserved0;
	int64_t since;                 /* in this state, in microseconds since 1970 */
	uint64_t memory, cpu;          /* bytes, microseconds; or DYNAMOD_BOARD_UNKNOWN */
	uint64_t reserved1;
};

/* dynamod_board_copy reads len bytes at off between two looks at a sequence number.
 * 0, or a negative errno; -EAGAIN if they are being written all the time, which means
 * that the manager was stopped in the middle of it. */
static inline int dynamod_board_copy(int fd, void *to, size_t len, off_t off, off_t sequence)
{
	for (int i = 0; i < 1000; i++) {
		uint64_t before, after;
		if (pread(fd, &before, sizeof before, sequence) != (ssize_t)sizeof before)
			return -EIO;
		if (before & 1)
			continue;
		if (pread(fd, to, len, off) != (ssize_t)len ||
		    pread(fd, &after, sizeof after, sequence) != (ssize_t)sizeof after)
			return -EIO;
		if (before == after)
			return 0;
	}
	return -EAGAIN;
}

/* dynamod_board_head reads the header; -EPROTO if it is none that this file knows. */
static inline int dynamod_board_head(int fd, struct dynamod_board_header *h)
{
	int r = dynamod_board_copy(fd, h, sizeof *h, 0, offsetof(struct dynamod_board_header, sequence));
	if (r < 0)
		return r;
	if (memcmp(h->magic, DYNAMOD_BOARD_MAGIC, 8) != 0 || h->order != DYNAMOD_BOARD_ORDER ||
	    h->version != DYNAMOD_BOARD_VERSION || h->header_size != sizeof *h ||
	    h->record_size != sizeof(struct dynamod_board_unit) || h->used > h->capacity)
		return -EPROTO;
	return 0;
}

/* dynamod_board_unit reads record i. Texts end with a zero byte, whatever is there. */
static inline int dynamod_board_unit(int fd, uint32_t i, struct dynamod_board_unit *u)
{
	off_t off = (off_t)sizeof(struct dynamod_board_header) + (off_t)i * (off_t)sizeof *u;
	int r = dynamod_board_copy(fd, u, sizeof *u, off, off);
	u->name[sizeof u->name - 1] = u->state[sizeof u->state - 1] = 0;
	u->sub[sizeof u->sub - 1] = u->cause[sizeof u->cause - 1] = 0;
	return r;
}

#endif
