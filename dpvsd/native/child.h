/* Programs that the master starts: the reload, and the watcher of the kernel's side. Started without fork(),
 * which would make every page of the packet memory copy-on-write for a moment. */
#ifndef DPVSHA_CHILD_H
#define DPVSHA_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Starts a program, with no signal blocked, the same standard descriptors, and `third` as descriptor 3 (-1:
 * none).
 * @return its pid, -1 with errno */
pid_t child_start(char *const words[], int third);

/* A program that runs as long as dpvsd does, and is started again when it ends. It writes a byte to its
 * descriptor 3 every few seconds; one that has begun to and stops is replaced. */
struct watcher {
	char *const *words; /* NULL or empty: none */
	pid_t pid; /* 0: not running */
	int alive_fd; /* the pipe's other end, while it runs */
	uint64_t heard_ms; /* when it last wrote, 0: never yet */
	uint64_t due_ms; /* when to start it */
	uint32_t failures; /* in a row */
	uint64_t started_ms;
};

/* Starts it when it is time. @return milliseconds until the next call, UINT64_MAX: none needed */
uint64_t watcher_work(struct watcher *watcher, uint64_t now_ms);
/* A child has ended. @return whether it was this one */
bool watcher_ended(struct watcher *watcher, pid_t child, uint64_t now_ms);
void watcher_stop(struct watcher *watcher);

#endif
