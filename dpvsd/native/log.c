#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = {"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"};

static int log_fd = STDERR_FILENO;
static enum log_level log_least = LOG_INFORMATION;
/* Lines that the file did not take since it last took one. Several threads log. */
static unsigned long log_lost;

int log_open(const char *file)
{
	int fd = file == NULL ? STDERR_FILENO
			      : open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);

	if (fd < 0)
		return -1;
	log_fd = fd;
	return 0;
}

bool log_level_set(const char *name)
{
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]) != 0)
			continue;
		log_least = (enum log_level)i;
		return true;
	}
	return false;
}

static size_t log_head(char *line, size_t room, enum log_level level)
{
	time_t now = time(NULL);
	struct tm tm;
	size_t length;

	if (log_fd == STDERR_FILENO)
		return (size_t)snprintf(line, room, "dpvsd: ");
	localtime_r(&now, &tm);
	length = strftime(line, room, "%Y-%m-%dT%H:%M:%S%z ", &tm);
	return length + (size_t)snprintf(line + length, room - length, "%s ", names[level]);
}

/* A line that the file does not take is lost there, but not altogether: the first of them goes to standard
 * error with the reason, and the file tells how many there were as soon as it takes lines again. */
static void log_put(const char *line, size_t length)
{
	ssize_t wrote = write(log_fd, line, length);

	if (wrote == (ssize_t)length) {
		unsigned long lost = __atomic_exchange_n(&log_lost, 0, __ATOMIC_RELAXED);

		if (lost > 0 && log_fd != STDERR_FILENO)
			log_line(LOG_WARNING_LEVEL, "the log file did not take %lu lines before the last one",
				 lost);
		return;
	}
	if (log_fd == STDERR_FILENO)
		return;
	if (__atomic_fetch_add(&log_lost, 1, __ATOMIC_RELAXED) == 0) {
		const char *why = wrote < 0 ? strerror(errno) : "no room for the whole line";

		dprintf(STDERR_FILENO, "dpvsd: the log file takes no lines (%s), the first of them: %.*s",
			why, (int)length, line);
	}
}

void log_line(enum log_level level, const char *format, ...)
{
	char line[1024];
	size_t length = 0;
	va_list arguments;
	int wrote;

	if (level > log_least)
		return;
	length = log_head(line, sizeof(line), level);
	va_start(arguments, format);
	wrote = vsnprintf(line + length, sizeof(line) - length - 1, format, arguments);
	va_end(arguments);
	if (wrote > 0)
		length += (size_t)wrote;
	if (length > sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length++] = '\n';
	log_put(line, length);
}
