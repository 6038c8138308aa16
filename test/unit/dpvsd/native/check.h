/* The least that a C test needs: named cases, a failure that says where, and a seeded generator. Output: one
 * line a case, "ok NAME", "not ok NAME: reason" or "skip NAME: reason". */
#ifndef DPVSHA_CHECK_H
#define DPVSHA_CHECK_H

#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char *check_case;
static int check_failed, check_failures;

#define CHECK(condition)                                                                                     \
	do {                                                                                                 \
		if (!(condition) && !check_failed) {                                                         \
			check_failed = 1;                                                                    \
			printf("not ok %s: %s:%d: %s\n", check_case, __FILE__, __LINE__, #condition);        \
		}                                                                                            \
	} while (0)

#define CHECK_EQ(got, wanted)                                                                                \
	do {                                                                                                 \
		long long got_ = (long long)(got), wanted_ = (long long)(wanted);                            \
		if (got_ != wanted_ && !check_failed) {                                                      \
			check_failed = 1;                                                                    \
			printf("not ok %s: %s:%d: %s is %lld, not %lld\n", check_case, __FILE__, __LINE__,   \
			       #got, got_, wanted_);                                                         \
		}                                                                                            \
	} while (0)

static inline void check_run(const char *name, void (*run)(void))
{
	check_case = name;
	check_failed = 0;
	run();
	if (check_failed)
		check_failures++;
	else
		printf("ok %s\n", name);
	fflush(stdout);
}
#define RUN(function) check_run(#function, function)

static inline int check_end(void)
{
	return check_failures ? 1 : 0;
}

/* How many lines of a file, of a log say, contain a text. */
static inline unsigned int check_lines(const char *path, const char *word)
{
	FILE *file = fopen(path, "r");
	unsigned int count = 0;
	char line[512];

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		count += strstr(line, word) != NULL;
	if (file != NULL)
		fclose(file);
	return count;
}

/* xorshift64*: the same numbers on every machine. CHECK_SEED in the environment changes them. */
static uint64_t check_random_state = 88172645463325252ull;
static inline uint64_t check_random(void)
{
	check_random_state ^= check_random_state >> 12;
	check_random_state ^= check_random_state << 25;
	check_random_state ^= check_random_state >> 27;
	return check_random_state * 2685821657736338717ull;
}

#endif
