/* What the launcher tells the process at start, one item a line ("name value..."); the grammar is that of
 * dpvsd/settings.ts. The same names serve `Setting` of control.proto for what may change later. */
#ifndef DPVSHA_SETTINGS_H
#define DPVSHA_SETTINGS_H

#include "core/director.h"

enum {
	PATH_SIZE = 256,
	MAX_QUEUES_OF_WORKER = MAX_PORTS * 2,
	COMMAND_WORDS = 32,
};

struct port_setting {
	char name[NAME_SIZE];
	char device[64]; /* what rte_eth_dev_get_port_by_name knows: vdev name or PCI address */
	char twin[NAME_SIZE]; /* empty: none */
	char rss[96];
	uint16_t rx_queues, tx_queues;
	uint16_t rx_descriptors, tx_descriptors;
	uint16_t mtu; /* 0: the device's */
	bool promiscuous, allmulticast;
};

struct worker_queue {
	uint16_t port;
	int rx; /* -1: sends only */
	int tx;
};

struct worker_setting {
	unsigned int lcore;
	char name[NAME_SIZE];
	struct worker_queue queues[MAX_QUEUES_OF_WORKER];
	unsigned int queue_count;
};

struct settings {
	char ipc[PATH_SIZE];
	char pid[PATH_SIZE];
	char log_file[PATH_SIZE];
	bool daemon;
	bool adaptive; /* idle policy */
	bool flow_rules;
	bool virtio_twins; /* kernel twins by virtio-user instead of plain TAPs */
	bool uoa_ipo;
	uint32_t rx_burst;
	uint32_t pool_size, pool_cache;
	uint32_t connections; /* of all workers */
	uint32_t unresolved_queue, neighbour_timeout;
	struct port_setting ports[MAX_PORTS];
	unsigned int port_count;
	struct worker_setting workers[MAX_WORKERS];
	unsigned int worker_count;
	char reload[PATH_SIZE * 8]; /* words, each ended by NUL */
	char *reload_words[COMMAND_WORDS + 1];
	char watcher[PATH_SIZE * 8]; /* who watches the kernel's side of the twins, likewise */
	char *watcher_words[COMMAND_WORDS + 1];
	/* The state that reloadable items change; filled in from the start. */
	struct timeouts timeouts;
	bool expire_quiescent, forwarding4, forwarding6, drop_udp_unknown, drop_tcp_unknown;
	uint32_t ttl, uoa_max_trail;
	/* Text of all reloadable items as last set, for listing. */
	struct setting_value {
		char name[40];
		char value[40];
	} values[64];
	unsigned int value_count;
};

/* Defaults of dpvs.conf. */
void settings_defaults(struct settings *settings);
/* Reads the whole text. -1 with `error` filled in: which line, and what is wrong. */
int settings_parse(struct settings *settings, const char *text, struct error *error);
/* The time-out that an item names ("tcp.timeout.established", "conn.init_timeout"); NULL: it names none. */
uint32_t *settings_timeout(struct timeouts *timeouts, const char *name);
/* Sets one item that may change while running. -1 with the error: unknown, or fixed once running. */
int settings_change(struct settings *settings, const char *name, const char *value, struct error *error);

#endif
