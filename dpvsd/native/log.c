#include "log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = {"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"};

static int log_fd = STDERR_FILENO;
static enum log_level log_least = LOG_INFORMATION;

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

void log_line(enum log_level level, const char *format, ...)
{
	char line[1024];
	size_t length = 0;
	va_list arguments;
	int wrote;

	if (level > log_least)
		return;
	if (log_fd == STDERR_FILENO) {
		length = (size_t)snprintf(line, sizeof(line), "dpvsd: ");
	} else {
		time_t now = time(NULL);
		struct tm tm;

		localtime_r(&now, &tm);
		length = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S%z ", &tm);
		length += (size_t)snprintf(line + length, sizeof(line) - length, "%s ", names[level]);
	}
	va_start(arguments, format);
	wrote = vsnprintf(line + length, sizeof(line) - length - 1, format, arguments);
	va_end(arguments);
	if (wrote > 0)
		length += (size_t)wrote;
	if (length > sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length++] = '\n';
	if (write(log_fd, line, length) < 0)
		return;
}
