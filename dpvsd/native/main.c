/* dpvsd-native EAL-OPTIONS -- --conf-fd N
 *
 * Started by the launcher (dpvsd/launch.ts), which has read dpvs.conf; the descriptor holds the settings. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>

#include "log.h"
#include "master.h"
#include "port/flow.h"

enum {
	EXIT_USAGE = 2,
	SETTINGS_MAX = 4 << 20,
};

static int fail(const struct error *error)
{
	log_line(LOG_CRIT_LEVEL, "%s%s%s", error->text, error->hint[0] ? ": " : "", error->hint);
	return EXIT_FAILURE;
}

static char *read_all(int fd)
{
	char *text = malloc(SETTINGS_MAX + 1);
	size_t length = 0;

	while (text != NULL && length < SETTINGS_MAX) {
		ssize_t got = read(fd, text + length, SETTINGS_MAX - length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			free(text);
			return NULL;
		}
		if (got == 0)
			break;
		length += (size_t)got;
	}
	if (text != NULL)
		text[length] = '\0';
	return text;
}

/* Into the background: the parent stays until the child says that it is ready, or has failed. EAL must not
 * run yet. */
static int into_background(void)
{
	int pipes[2];
	pid_t child;
	char ready;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -1;
	child = fork();
	if (child < 0)
		return -1;
	if (child > 0) {
		int status = 0;

		close(pipes[1]);
		if (read(pipes[0], &ready, 1) == 1)
			_exit(EXIT_SUCCESS);
		waitpid(child, &status, 0);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
	}
	setsid();
	return pipes[1];
}

/* Tells systemd (Type=notify) or whoever set NOTIFY_SOCKET. */
static void notify_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (path == NULL || path[0] == '\0' || strlen(path) >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, strlen(path));
	if (address.sun_path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&address,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))) < 0)
		log_line(LOG_WARNING_LEVEL, "systemd was not told that dpvsd is ready: %s", strerror(errno));
	close(fd);
}

static int write_pid(const char *path)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd < 0)
		return -1;
	if (write(fd, text, (size_t)length) != length) {
		int why = errno;

		/* An empty file would be worse than none. */
		unlink(path);
		close(fd);
		errno = why;
		return -1;
	}
	return close(fd);
}

static int make_pools(struct master *master, struct error *error)
{
	const struct settings *s = &master->settings;
	uint32_t room = RTE_MBUF_DEFAULT_DATAROOM;

	for (unsigned int i = 0; i < s->port_count; i++)
		room = RTE_MAX(room, (uint32_t)RTE_ALIGN_CEIL(s->ports[i].mtu + 64u, 64u));
	for (unsigned int i = 0; i <= s->worker_count; i++) {
		/* The master's node as well: it makes packets too. */
		unsigned int lcore = i < s->worker_count ? s->workers[i].lcore : rte_get_main_lcore();
		unsigned int node = rte_lcore_to_socket_id(lcore);
		char name[32];

		if (i < s->worker_count && (!rte_lcore_is_enabled(lcore) || lcore == rte_get_main_lcore()))
			return error_set(
			    error, "invalid", "let the launcher plan --lcores, or give -l that includes it",
			    "worker %s: lcore %u is not one of EAL's", s->workers[i].name, lcore);
		if (node >= RTE_MAX_NUMA_NODES)
			node = 0;
		if (master->pools[node] != NULL)
			continue;
		snprintf(name, sizeof(name), "pktpool-%u", node);
		master->pools[node] = rte_pktmbuf_pool_create(
		    name, s->pool_size, RTE_MIN(s->pool_cache, (uint32_t)RTE_MEMPOOL_CACHE_MAX_SIZE),
		    RTE_ALIGN_CEIL(sizeof(struct mbuf_note), RTE_MBUF_PRIV_ALIGN),
		    (uint16_t)(room + RTE_PKTMBUF_HEADROOM), (int)node);
		if (master->pools[node] == NULL)
			return error_set(error, "memory",
					 "lower pktpool_size, or give more memory (`memory MB`)",
					 "no memory for %u packets on node %u: %s", s->pool_size, node,
					 rte_strerror(rte_errno));
	}
	/* pools[0] stands in for nodes without one of their own. */
	for (unsigned int i = 1; master->pools[0] == NULL && i < RTE_MAX_NUMA_NODES; i++)
		master->pools[0] = master->pools[i];
	return 0;
}

static int start_twins(struct master *master, struct error *error)
{
	const struct twins_surroundings surroundings = {
	    .workers = master->workers,
	    .worker_count = master->settings.worker_count,
	    .pool = master->pools[0],
	    .net = &master->net,
	    .rcu = master->rcu,
	    .channel = &master->channel,
	};

	master->watcher.words = master->settings.watcher_words;
	return twins_start(&master->twins, &surroundings, error);
}

static int conf_fd_of(int argc, char **argv, int *eal_argc)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") != 0)
			continue;
		*eal_argc = i;
		if (i + 2 < argc && strcmp(argv[i + 1], "--conf-fd") == 0)
			return atoi(argv[i + 2]);
		return -1;
	}
	return -1;
}

int main(int argc, char **argv)
{
	static struct master master;
	struct settings *s = &master.settings;
	struct error error = {0};
	int eal_argc = argc, fd = conf_fd_of(argc, argv, &eal_argc), ready = -1;
	char *text = fd >= 0 ? read_all(fd) : NULL;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (text == NULL) {
		fprintf(stderr, "dpvsd-native is started by bin/dpvsd: it needs `-- --conf-fd N` with "
				"settings to read\n");
		return EXIT_USAGE;
	}
	close(fd);
	settings_defaults(s);
	if (settings_parse(s, text, &error) < 0)
		return fail(&error);
	free(text);
	if (s->daemon && (ready = into_background()) < 0) {
		log_line(LOG_CRIT_LEVEL, "cannot go into the background: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	argv[eal_argc] = NULL;
	master_block_signals();
	if (rte_eal_init(eal_argc, argv) < 0) {
		log_line(LOG_CRIT_LEVEL,
			 "DPDK does not start: %s; its own lines above say more, and bin/dpvsd doctor what "
			 "to mend",
			 rte_strerror(rte_errno));
		return EXIT_FAILURE;
	}
	memory_eal = rte_eal_has_hugepages() != 0;
	if (make_pools(&master, &error) < 0 ||
	    ports_open(s, &master.net, master.ports, master.pools, &error) < 0 ||
	    twins_open(&master.twins, s, &master.net, master.ports, master.pools[0], &error) < 0 ||
	    master_prepare(&master, &error) < 0 || start_twins(&master, &error) < 0 ||
	    ports_start(master.ports, s->port_count, master.pools, &error) < 0) {
		fail(&error);
		rte_eal_cleanup();
		return EXIT_FAILURE;
	}
	if (s->log_file[0] && log_open(s->log_file) < 0)
		log_line(LOG_WARNING_LEVEL, "log_file %s: %s; lines go to standard error", s->log_file,
			 strerror(errno));
	if (s->pid[0] && write_pid(s->pid) < 0)
		log_line(LOG_WARNING_LEVEL, "pid file %s: %s", s->pid, strerror(errno));
	master_control_queues(&master);
	for (unsigned int i = 0; i < s->worker_count; i++)
		rte_eal_remote_launch(worker_run, &master.workers[i], s->workers[i].lcore);
	log_line(LOG_NOTICE_LEVEL, "%s: ready with %u ports and %u workers, boot %s, control socket %s",
		 DPVSHA_VERSION, s->port_count, s->worker_count, control_boot_id(master.control), s->ipc);
	if (ready >= 0 && write(ready, "r", 1) < 0)
		log_line(LOG_WARNING_LEVEL, "the starting process is gone");
	if (ready >= 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		close(ready);
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
	}
	notify_ready();

	master_run(&master);

	for (unsigned int i = 0; i < s->worker_count; i++)
		__atomic_store_n(&master.workers[i].stop, 1, __ATOMIC_RELAXED);
	rte_eal_mp_wait_lcore();
	watcher_stop(&master.watcher);
	twins_stop(&master.twins);
	control_free(master.control);
	flow_end(master.ports, s->port_count);
	ports_close(master.ports, s->port_count);
	if (s->pid[0])
		unlink(s->pid);
	rte_eal_cleanup();
	return EXIT_SUCCESS;
}
