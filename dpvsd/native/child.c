#include "child.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

enum {
	/* After an end: at once, then doubling up to this. */
	PAUSE_FIRST_MS = 100,
	PAUSE_MAX_MS = 10000,
	/* Who has run for so long has not failed to start. */
	SETTLED_MS = 10000,
};

pid_t child_start(char *const words[])
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none;
	pid_t pid;
	int done;

	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attributes, &none);
	/* DPDK's descriptors are not for others. */
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	done = posix_spawn(&pid, words[0], &files, &attributes, words, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	if (done != 0) {
		errno = done;
		return -1;
	}
	return pid;
}

uint64_t watcher_work(struct watcher *watcher, uint64_t now_ms)
{
	if (watcher->words == NULL || watcher->words[0] == NULL || watcher->pid != 0)
		return UINT64_MAX;
	if (now_ms < watcher->due_ms)
		return watcher->due_ms - now_ms;
	watcher->started_ms = now_ms;
	watcher->pid = child_start(watcher->words);
	if (watcher->pid > 0)
		return UINT64_MAX;
	log_line(LOG_ERROR, "%s: %s: addresses of the kernel twins are not learnt", watcher->words[0],
		 strerror(errno));
	watcher->pid = 0;
	watcher->due_ms = now_ms + PAUSE_MAX_MS;
	return PAUSE_MAX_MS;
}

bool watcher_ended(struct watcher *watcher, pid_t child, uint64_t now_ms)
{
	uint64_t pause;

	if (child != watcher->pid)
		return false;
	watcher->pid = 0;
	watcher->failures = now_ms - watcher->started_ms < SETTLED_MS ? watcher->failures + 1 : 0;
	pause = watcher->failures < 8 ? (uint64_t)PAUSE_FIRST_MS << watcher->failures : PAUSE_MAX_MS;
	watcher->due_ms = now_ms + (pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS);
	log_line(LOG_WARNING_LEVEL, "the watcher of the kernel twins has ended and is started again");
	return true;
}

void watcher_stop(struct watcher *watcher)
{
	if (watcher->pid == 0)
		return;
	/* It keeps nothing that it would have to put away. */
	kill(watcher->pid, SIGKILL);
	waitpid(watcher->pid, NULL, 0);
	watcher->pid = 0;
}
