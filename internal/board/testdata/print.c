/* Prints a board by the header alone, for TestHeader. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "dynamod-board.h"

_Static_assert(sizeof(struct dynamod_board_header) == 128, "header");
_Static_assert(sizeof(struct dynamod_board_unit) == 384, "record");

int main(int argc, char **argv)
{
	struct dynamod_board_header h;
	int fd = open(argv[argc - 1], O_RDONLY | O_CLOEXEC), r = fd < 0 ? -errno : dynamod_board_head(fd, &h);
	if (r < 0) {
		printf("error %d\n", r);
		return 1;
	}
	printf("%" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRId32 " %" PRId64 " %" PRId64 " %" PRIu32 "\n",
	       h.capacity, h.used, h.total, h.pid, h.started, h.updated, h.ended);
	for (uint32_t i = 0; i < h.used; i++) {
		struct dynamod_board_unit u;
		if ((r = dynamod_board_unit(fd, i, &u)) < 0)
			return 1;
		if (u.name[0])
			printf("%s|%s|%s|%s|%" PRIu32 "|%" PRId32 "|%" PRIu32 "|%" PRId64 "|%" PRIu64 "|%" PRIu64 "\n", u.name, u.state, u.sub,
			       u.cause, u.weight, u.pid, u.restarts, u.since, u.memory, u.cpu);
	}
	return 0;
}
