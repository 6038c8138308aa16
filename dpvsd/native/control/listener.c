#include "listener.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	BACKLOG = 128,
	SOCKET_MODE = 0660,
};

static void fill_in(struct sockaddr_un *address, const char *path)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	snprintf(address->sun_path, sizeof(address->sun_path), "%s", path);
}

/* 0 when the path is free or nobody answers there. */
static int check_path(const char *path, struct error *error)
{
	struct sockaddr_un address;
	struct stat status;
	int fd, result;

	if (lstat(path, &status) < 0)
		return 0;
	if (!S_ISSOCK(status.st_mode))
		return error_set(error, "invalid", "name another path (-x)", "%s exists and is no socket",
				 path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(error, "full", "raise the limit of open files", "no socket: %s",
				 strerror(errno));
	fill_in(&address, path);
	result = connect(fd, (struct sockaddr *)&address, sizeof(address));
	/* A full queue is somebody who is busy; only a refusal is nobody. */
	result = result < 0 && (errno == ECONNREFUSED || errno == ENOENT) ? 0 : -1;
	close(fd);
	if (result < 0)
		return error_set(error, "busy", "stop it, or name another path (-x)",
				 "another dpvsd answers on %s", path);
	return 0;
}

/* The socket gets its name when it is ready: mode set, listening. Taking a name over is one step, so that no
 * client ever meets a path without socket. */
static int bind_and_rename(struct listener *listener, const char *path, struct error *error)
{
	struct sockaddr_un address;
	char draft[sizeof(address.sun_path) + 16];
	struct stat status;

	snprintf(draft, sizeof(draft), "%s.%d", path, (int)getpid());
	if (strlen(draft) >= sizeof(address.sun_path))
		return error_set(error, "invalid", "at most 90 characters", "socket path %.120s is too long",
				 path);
	fill_in(&address, draft);
	unlink(draft);
	if (bind(listener->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(error, "invalid", "the folder must exist and be writable",
				 "no socket at %s: %s", path, strerror(errno));
	if (chmod(draft, SOCKET_MODE) < 0 || listen(listener->fd, BACKLOG) < 0 || lstat(draft, &status) < 0 ||
	    rename(draft, path) < 0) {
		error_set(error, "invalid", NULL, "no socket at %s: %s", path, strerror(errno));
		unlink(draft);
		return -1;
	}
	listener->device = status.st_dev;
	listener->inode = status.st_ino;
	snprintf(listener->path, sizeof(listener->path), "%s", path);
	return 0;
}

int listener_open(struct listener *listener, const char *path, struct error *error)
{
	listener->fd = -1;
	if (!path[0])
		return error_set(error, "invalid", "name one (-x)", "no socket path");
	if (check_path(path, error) < 0)
		return -1;
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener->fd < 0)
		return error_set(error, "full", "raise the limit of open files", "no socket: %s",
				 strerror(errno));
	if (bind_and_rename(listener, path, error) == 0)
		return 0;
	close(listener->fd);
	listener->fd = -1;
	return -1;
}

void listener_close(struct listener *listener)
{
	struct stat status;

	if (listener->fd < 0)
		return;
	close(listener->fd);
	listener->fd = -1;
	if (lstat(listener->path, &status) == 0 && status.st_dev == listener->device &&
	    status.st_ino == listener->inode)
		unlink(listener->path);
}
