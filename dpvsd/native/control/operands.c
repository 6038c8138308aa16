/* From the words of the control contract to our types, with errors that say what is wrong. */
#include "model.h"

#include <stdio.h>

enum {
	RING = 8, /* texts that one message may hold */
	TEXT = 96,
};

static char *ring_text(char texts[RING][TEXT], unsigned int *next)
{
	return texts[(*next)++ % RING];
}

const char *protocol_text(uint8_t protocol)
{
	switch (protocol) {
	case PROTO_TCP:
		return "tcp";
	case PROTO_UDP:
		return "udp";
	case PROTO_ICMP:
		return "icmp";
	case PROTO_ICMPV6:
		return "icmpv6";
	}
	return "?";
}

const char *endpoint_text(enum family family, const union ip_addr *address, rte_be16_t port)
{
	static char texts[RING][TEXT];
	static unsigned int next;
	char *text = ring_text(texts, &next);

	snprintf(text, TEXT, family == FAMILY_IPV6 ? "[%s]:%u" : "%s:%u", ip_text(family, address),
		 rte_be_to_cpu_16(port));
	return text;
}

const char *service_text(const struct service_key *key)
{
	static char texts[RING][TEXT];
	static unsigned int next;
	char *text = ring_text(texts, &next);

	snprintf(text, TEXT, "%s %s", protocol_text(key->protocol),
		 endpoint_text((enum family)key->family, &key->address, key->port));
	return text;
}

int error_memory(struct error *error)
{
	return error_set(error, "full", "give the machine more memory, or take away some configuration",
			 "there is no memory for this");
}

int read_address(const ProtobufCBinaryData *bytes, const char *what, enum family *family,
		 union ip_addr *address, struct error *error)
{
	*address = (union ip_addr){.q = {0, 0}};
	*family = FAMILY_NONE;
	if (bytes->len != 4 && bytes->len != 16)
		return error_set(error, "invalid", "4 bytes for IPv4, 16 for IPv6", "the %s has %zu bytes",
				 what, bytes->len);
	*family = bytes->len == 4 ? FAMILY_IPV4 : FAMILY_IPV6;
	memcpy(address->b, bytes->data, bytes->len);
	return 0;
}

int read_service_key(const Dpvsha__ServiceKey *in, struct service_key *key, struct error *error)
{
	enum family family;

	memset(key, 0, sizeof(*key));
	if (!in)
		return error_set(error, "invalid", "name its protocol, address and port",
				 "no virtual server is named");
	if (in->match)
		return error_set(error, "unsupported", "use an address and a port",
				 "services by match (SNAT) are not part of this version");
	if (in->fwmark)
		return error_set(
		    error, "unsupported", "use an address and a port",
		    "firewall mark %u: dpvsd sees no marks, since no packet filter is in front of it",
		    in->fwmark);
	if (read_address(&in->address, "address of the virtual server", &family, &key->address, error) < 0)
		return -1;
	if (ip_is_zero(&key->address))
		return error_set(error, "invalid", NULL, "the virtual server's address is unspecified");
	if (in->port > 65535)
		return error_set(error, "invalid", "0 to 65535", "port %u of the virtual server", in->port);
	switch ((int)in->protocol) {
	case PROTO_TCP:
	case PROTO_UDP:
		break;
	case PROTO_ICMP:
	case PROTO_ICMPV6:
		if ((family == FAMILY_IPV6) != ((int)in->protocol == PROTO_ICMPV6))
			return error_set(error, "invalid", "icmp goes with IPv4, icmpv6 with IPv6",
					 "%s is not %s", ip_text(family, &key->address),
					 family == FAMILY_IPV6 ? "IPv4" : "IPv6");
		if (in->port != 0)
			return error_set(error, "invalid", "use port 0",
					 "%s has no ports, and port %u is named",
					 protocol_text((uint8_t)in->protocol), in->port);
		break;
	default:
		return error_set(error, "invalid", "one of tcp, udp, icmp, icmpv6", "protocol number %d",
				 (int)in->protocol);
	}
	key->family = (uint8_t)family;
	key->protocol = (uint8_t)in->protocol;
	key->port = rte_cpu_to_be_16((uint16_t)in->port);
	return 0;
}

int read_device(const struct model *model, const char *device, struct error *error)
{
	for (int i = 0; i < MAX_PORTS; i++)
		if (device[0] && strcmp(model->director->net->ports[i].name, device) == 0)
			return i;
	if (!device[0])
		return error_set(error, "invalid", "dpip link show lists the devices", "no device is named");
	return error_set(error, "not-found", "dpip link show lists the devices", "there is no device '%.40s'",
			 device);
}

int check_verb(int verb, bool there, const char *what, const char *name, const char *hint,
	       struct error *error)
{
	if (verb < VERB_ADD || verb > VERB_DELETE)
		return error_set(error, "invalid", NULL, "there is no verb number %d", verb);
	if (verb == VERB_ADD && there)
		return error_set(error, "exists", hint, "%s %s exists already", what, name);
	if ((verb == VERB_EDIT || verb == VERB_DELETE) && !there)
		return error_set(error, "not-found", hint, "there is no %s %s", what, name);
	return 0;
}
