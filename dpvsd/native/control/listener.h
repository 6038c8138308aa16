/* The listening socket of the control contract. */
#ifndef DPVSHA_LISTENER_H
#define DPVSHA_LISTENER_H

#include <sys/types.h>

#include "../core/base.h"

struct listener {
	int fd; /* -1: none */
	char path[108];
	dev_t device; /* of the socket's file, which is only removed when it is still ours */
	ino_t inode;
};

/* Binds and listens, mode 0660. A socket that nobody serves any more is replaced, one that is served is not.
 */
int listener_open(struct listener *listener, const char *path, struct error *error);
void listener_close(struct listener *listener);

#endif
