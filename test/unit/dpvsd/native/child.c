/* The program that runs as long as dpvsd does: started, started again when it ends, replaced when it hangs.
 * Time is the test's. */
#include "child.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* Waits for its end, as the master hears of it. */
static void await_end(struct watcher *watcher, uint64_t now)
{
	pid_t pid = watcher->pid;

	CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK(watcher_ended(watcher, pid, now));
	CHECK_EQ(watcher->pid, 0);
}

/* Until what it has written is there. */
static void await_byte(struct watcher *watcher, uint64_t now)
{
	for (int tries = 0; tries < 2000 && watcher->heard_ms != now; tries++) {
		watcher_work(watcher, now);
		usleep(5000);
	}
	CHECK_EQ(watcher->heard_ms, now);
}

static void starts_again_after_pauses(void)
{
	char *words[] = {(char[]){"/bin/true"}, NULL};
	struct watcher watcher = {.words = words};
	uint64_t now = 1000;

	for (int round = 0; round < 4; round++) {
		CHECK(watcher_work(&watcher, now) != UINT64_MAX);
		CHECK(watcher.pid > 0);
		await_end(&watcher, now);
		/* 200, 400, 800 ... milliseconds after an end that followed the start at once. */
		CHECK_EQ(watcher_work(&watcher, now), 200 << round);
		CHECK_EQ(watcher.pid, 0);
		now += 200 << round;
	}
	watcher_stop(&watcher);
}

static void one_that_hangs_is_replaced(void)
{
	char *words[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, (char[]){"printf . >&3; exec sleep 100"}, NULL};
	struct watcher watcher = {.words = words};
	uint64_t now = 1000;
	pid_t first;

	watcher_work(&watcher, now);
	first = watcher.pid;
	await_byte(&watcher, now);
	watcher_work(&watcher, now + 29999);
	CHECK(kill(first, 0) == 0);
	now += 30000;
	watcher_work(&watcher, now);
	await_end(&watcher, now);
	watcher_work(&watcher, now + 100);
	CHECK(watcher.pid > 0 && watcher.pid != first);
	watcher_stop(&watcher);
	CHECK_EQ(watcher.pid, 0);
}

static void one_that_never_spoke_is_left(void)
{
	char *words[] = {(char[]){"/bin/sleep"}, (char[]){"100"}, NULL};
	struct watcher watcher = {.words = words};

	watcher_work(&watcher, 1000);
	watcher_work(&watcher, 1000000);
	CHECK(watcher.pid > 0 && waitpid(watcher.pid, NULL, WNOHANG) == 0);
	watcher_stop(&watcher);
}

static void has_no_other_descriptor(void)
{
	char *words[] = {
	    (char[]){"/bin/sh"}, (char[]){"-c"},
	    (char[]){"[ -e /proc/self/fd/3 ] && [ ! -e /proc/$$/fd/9 ] && printf . >&3; exec sleep 100"},
	    NULL};
	struct watcher watcher = {.words = words};
	int mine = dup2(STDIN_FILENO, 9);

	CHECK_EQ(mine, 9);
	watcher_work(&watcher, 5);
	await_byte(&watcher, 5);
	watcher_stop(&watcher);
	close(9);
}

int main(void)
{
	RUN(starts_again_after_pauses);
	RUN(one_that_hangs_is_replaced);
	RUN(one_that_never_spoke_is_left);
	RUN(has_no_other_descriptor);
	return check_end();
}
