/* The log file on a disk that is full for a while: RLIMIT_FSIZE stands in for it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "check.h"
#include "log.h"

static char file[] = "/tmp/dpvsha-log-XXXXXX";

static size_t slurp(int fd, char *text, size_t room)
{
	ssize_t got = pread(fd, text, room - 1, 0);

	text[got > 0 ? got : 0] = '\0';
	return got > 0 ? (size_t)got : 0;
}

static void limit(rlim_t bytes)
{
	struct rlimit now;

	CHECK(getrlimit(RLIMIT_FSIZE, &now) == 0);
	now.rlim_cur = bytes == RLIM_INFINITY ? now.rlim_max : bytes;
	CHECK(setrlimit(RLIMIT_FSIZE, &now) == 0);
}

static void a_full_disk_is_told(void)
{
	char text[8192];
	int log = mkstemp(file), errors[2], kept = dup(STDERR_FILENO);
	const char *at;
	ssize_t got;

	CHECK(log >= 0 && kept >= 0 && pipe(errors) == 0);
	CHECK(log_open(file) == 0);
	dup2(errors[1], STDERR_FILENO);
	log_line(LOG_NOTICE_LEVEL, "before");
	/* Nothing beyond what is there. */
	limit((rlim_t)slurp(log, text, sizeof(text)));
	for (int i = 0; i < 5; i++)
		log_line(LOG_NOTICE_LEVEL, "lost %d", i);
	limit(RLIM_INFINITY);
	log_line(LOG_NOTICE_LEVEL, "after");
	log_line(LOG_NOTICE_LEVEL, "and on");
	dup2(kept, STDERR_FILENO);

	slurp(log, text, sizeof(text));
	CHECK(strstr(text, "notice before\n") != NULL);
	CHECK(strstr(text, "lost 0") == NULL);
	at = strstr(text, "notice after\n");
	CHECK(at != NULL);
	at = at == NULL ? text
			: strstr(at, "warning the log file did not take 5 lines before the last one\n");
	CHECK(at != NULL);
	/* Told once. */
	CHECK(at != NULL && strstr(at + 40, "did not take") == NULL);
	CHECK(strstr(text, "notice and on\n") != NULL);

	got = read(errors[0], text, sizeof(text) - 1);
	text[got > 0 ? got : 0] = '\0';
	at = strstr(text, "the log file takes no lines (File too large), the first of them: ");
	CHECK(at != NULL && strstr(at, "lost 0\n") != NULL);
	CHECK(strstr(text, "lost 1") == NULL);
	close(log);
	close(errors[0]);
	close(errors[1]);
	close(kept);
	unlink(file);
}

int main(void)
{
	signal(SIGXFSZ, SIG_IGN);
	RUN(a_full_disk_is_told);
	return check_end();
}
