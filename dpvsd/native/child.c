#include "child.h"

#include <errno.h>
#include <fcntl.h>
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
	/* How long it may be silent, and how often it is listened to. */
	SILENCE_MS = 30000,
	LISTEN_MS = 5000,
};

pid_t child_start(char *const words[], int third)
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
	if (third >= 0)
		posix_spawn_file_actions_adddup2(&files, third, STDERR_FILENO + 1);
	posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + (third >= 0 ? 2 : 1));
	done = posix_spawn(&pid, words[0], &files, &attributes, words, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	if (done != 0) {
		errno = done;
		return -1;
	}
	return pid;
}

/* Hears whether it is alive, and ends one that hangs: its end is noticed, and it is started again. */
static uint64_t watcher_listen(struct watcher *watcher, uint64_t now_ms)
{
	char bytes[64];

	while (read(watcher->alive_fd, bytes, sizeof(bytes)) > 0)
		watcher->heard_ms = now_ms;
	if (watcher->heard_ms != 0 && now_ms - watcher->heard_ms >= SILENCE_MS) {
		log_line(LOG_WARNING_LEVEL,
			 "the watcher of the kernel twins (process %d) has been silent for %d seconds, it is "
			 "replaced",
			 (int)watcher->pid, SILENCE_MS / 1000);
		kill(watcher->pid, SIGKILL);
		watcher->heard_ms = 0;
	}
	return LISTEN_MS;
}

static void watcher_forget(struct watcher *watcher)
{
	close(watcher->alive_fd);
	watcher->pid = 0;
	watcher->heard_ms = 0;
}

uint64_t watcher_work(struct watcher *watcher, uint64_t now_ms)
{
	int ends[2];

	if (watcher->words == NULL || watcher->words[0] == NULL)
		return UINT64_MAX;
	if (watcher->pid != 0)
		return watcher_listen(watcher, now_ms);
	if (now_ms < watcher->due_ms)
		return watcher->due_ms - now_ms;
	watcher->started_ms = now_ms;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0) {
		watcher->pid = child_start(watcher->words, ends[1]);
		close(ends[1]);
		watcher->alive_fd = ends[0];
		if (watcher->pid > 0)
			return LISTEN_MS;
		close(ends[0]);
	}
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
	watcher_forget(watcher);
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
	watcher_forget(watcher);
}
