/* Log of the master and of start-up; workers never log. */
#ifndef DPVSHA_LOG_H
#define DPVSHA_LOG_H

#include <stdbool.h>

enum log_level {
	LOG_EMERG_LEVEL,
	LOG_ALERT_LEVEL,
	LOG_CRIT_LEVEL,
	LOG_ERROR,
	LOG_WARNING_LEVEL,
	LOG_NOTICE_LEVEL,
	LOG_INFORMATION,
	LOG_DEBUG_LEVEL,
};

/* Opens the file (appending), NULL: standard error. -1 with errno when it cannot be opened. */
int log_open(const char *file);
/* By name of dpvs.conf's settings ("info"); false for an unknown one. */
bool log_level_set(const char *name);
/* One line, with date and level in front where it goes to a file. A full disk loses lines, nothing else, and
 * it is told. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
