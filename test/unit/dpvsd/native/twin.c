/* Kernel twins: which frames are control traffic, which of them come by the wire, and that its filter lets
 * all of those through. */
#include "check.h"

#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stack.h"
#include "twin.h"

enum { FRAME = 128, ROUNDS = 20000 };

struct frame {
	uint8_t bytes[FRAME];
	unsigned int length;
};

static struct frame frame4(uint8_t protocol, uint16_t source, uint16_t destination, uint32_t to)
{
	struct frame f = {.length = 60};

	memcpy(f.bytes, (const uint8_t[]){2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45}, 15);
	f.bytes[23] = protocol;
	f.bytes[30] = (uint8_t)(to >> 24);
	f.bytes[31] = (uint8_t)(to >> 16);
	f.bytes[32] = (uint8_t)(to >> 8);
	f.bytes[33] = (uint8_t)to;
	f.bytes[34] = (uint8_t)(source >> 8);
	f.bytes[35] = (uint8_t)source;
	f.bytes[36] = (uint8_t)(destination >> 8);
	f.bytes[37] = (uint8_t)destination;
	return f;
}

static struct frame frame6(uint8_t next, uint8_t type)
{
	struct frame f = {.length = 90};

	memcpy(f.bytes, (const uint8_t[]){2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60}, 15);
	f.bytes[20] = next;
	f.bytes[21] = 255;
	f.bytes[38] = 0xfd;
	f.bytes[53] = 9;
	f.bytes[54] = type;
	return f;
}

static struct frame ethernet(uint16_t type)
{
	struct frame f = {.length = 60};

	f.bytes[12] = (uint8_t)(type >> 8);
	f.bytes[13] = (uint8_t)type;
	return f;
}

static enum twin_class class_of(struct frame f)
{
	return twin_classify(f.bytes, f.length);
}

static void classes(void)
{
	struct frame f;

	CHECK_EQ(class_of(ethernet(0x0806)), TWIN_CONTROL);
	CHECK_EQ(class_of(ethernet(0x8809)), TWIN_CONTROL);
	CHECK_EQ(class_of(ethernet(0x88cc)), TWIN_CONTROL);
	CHECK_EQ(class_of(ethernet(0x8847)), TWIN_BULK);
	CHECK_EQ(class_of(frame4(112, 0, 0, 0xe0000012)), TWIN_CONTROL);
	CHECK_EQ(class_of(frame4(89, 0, 0, 0xe0000005)), TWIN_CONTROL);
	CHECK_EQ(class_of(frame4(2, 0, 0, 0xe0000016)), TWIN_CONTROL);
	CHECK_EQ(class_of(frame4(51, 0, 0, 0xe0000012)), TWIN_CONTROL);
	CHECK_EQ(class_of(frame4(6, 40000, 179, 0x0a000005)), TWIN_CONTROL);
	CHECK_EQ(class_of(frame4(6, 179, 40000, 0x0a000005)), TWIN_CONTROL);
	CHECK_EQ(class_of(frame4(17, 49152, 3784, 0x0a000005)), TWIN_CONTROL);
	CHECK_EQ(class_of(frame4(17, 3784, 53, 0x0a000005)), TWIN_BULK);
	CHECK_EQ(class_of(frame4(6, 40000, 22, 0x0a000005)), TWIN_BULK);
	CHECK_EQ(class_of(frame4(1, 0x0800, 0, 0x0a000005)), TWIN_BULK);
	CHECK_EQ(class_of(frame6(58, 135)), TWIN_CONTROL);
	CHECK_EQ(class_of(frame6(58, 128)), TWIN_BULK);
	CHECK_EQ(class_of(frame6(112, 0)), TWIN_CONTROL);
	CHECK_EQ(class_of(frame6(89, 0)), TWIN_CONTROL);
	f = frame6(0, 58);
	f.bytes[62] = 143;
	CHECK_EQ(class_of(f), TWIN_CONTROL);
	/* A piece has no ports. */
	f = frame4(6, 40000, 179, 0x0a000005);
	f.bytes[20] = 0x20;
	CHECK_EQ(class_of(f), TWIN_BULK);
	for (unsigned int length = 0; length < 40; length++)
		CHECK(twin_classify(frame4(6, 1, 179, 1).bytes, length) == TWIN_BULK || length >= 38);
}

/* What the master wants to see beside the kernel: of MLD only what is asked, not what others report. */
static void frames_of_both(void)
{
	struct frame query = frame6(0, 58), report, far;

	query.bytes[21] = 1;
	report = far = query;
	query.bytes[62] = far.bytes[62] = 130;
	report.bytes[62] = 143;
	/* Queries are made with a hop limit of 1 (RFC 3810 5): with another one it is no honest router's. */
	far.bytes[21] = 64;
	CHECK(!twin_is_neighbour_frame(far.bytes, far.length));
	CHECK(twin_is_neighbour_frame(query.bytes, query.length));
	CHECK(!twin_is_neighbour_frame(report.bytes, report.length));
	CHECK(!twin_is_neighbour_frame(query.bytes, 62));
	CHECK(twin_is_neighbour_frame(frame6(58, 135).bytes, 90));
	CHECK(!twin_is_neighbour_frame(frame6(58, 128).bytes, 90));
	CHECK(twin_is_neighbour_frame(ethernet(0x0806).bytes, 60));
	CHECK(!twin_is_neighbour_frame(frame4(112, 0, 0, 0xe0000012).bytes, 60));
}

static bool taken(struct frame f)
{
	return twin_wire_takes(&net, f.bytes, f.length);
}

static void wire(void)
{
	struct frame f;
	struct error error;
	union ip_addr both = ip("10.0.0.5");
	struct route kernel = {.destination = ip("10.0.0.5"),
			       .prefix = 32,
			       .kind = ROUTE_KERNEL,
			       .family = FAMILY_IPV4,
			       .metric = UINT32_MAX,
			       .origin = ROUTE_TWIN};

	stack_start(NULL);
	CHECK_EQ(address_apply(0, "10.0.0.100/24", 0), 0);
	CHECK_EQ(net_route_apply(master, 0, &kernel, &error), 0);
	for (unsigned int forwarding = 0; forwarding < 2; forwarding++) {
		net.forwarding4 = net.forwarding6 = forwarding;
		CHECK(taken(ethernet(0x0806)));
		f = frame6(58, 136);
		CHECK(taken(f) && twin_is_neighbour_frame(f.bytes, f.length));
		/* From beyond the link it must not keep the master busy. */
		f.bytes[21] = 64;
		CHECK(!twin_is_neighbour_frame(f.bytes, f.length));
		f = frame4(112, 0, 0, 0xe0000012);
		f.bytes[0] = 1;
		CHECK(taken(f));
		/* The kernel's own address, the dataplane's, and somebody else's. */
		CHECK(taken(frame4(6, 40000, 179, 0x0a000005)));
		CHECK(!taken(frame4(6, 40000, 179, 0x0a000064)));
		CHECK_EQ(taken(frame4(6, 40000, 179, 0x0a000077)), !forwarding);
		CHECK(!taken(frame4(6, 40000, 22, 0x0a000005)));
		f = frame4(89, 0, 0, 0x0a000005);
		CHECK(taken(f));
		f.bytes[20] = 0x20;
		CHECK(!taken(f));
	}
	/* An address of both belongs to the dataplane; one of the kernel alone beats the network around it.
	 */
	CHECK_EQ(address_apply(0, "10.0.0.5/24", 0), 0);
	CHECK_EQ(route_lookup(&net, FAMILY_IPV4, &both)->kind, ROUTE_LOCAL);
	CHECK_EQ(address_apply(3, "10.0.0.5/24", 0), 0);
	CHECK_EQ(route_lookup(&net, FAMILY_IPV4, &both)->kind, ROUTE_KERNEL);
	stack_stop();
}

/* The kernel runs the filter over datagrams of a socket pair as over frames of a device. */
static void filter(void)
{
	static struct frame f;
	unsigned int accepted = 0, wanted = 0;
	uint8_t byte;
	int pair[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0);
	CHECK_EQ(
	    setsockopt(pair[1], SOL_SOCKET, SO_ATTACH_FILTER, twin_wire_filter(), sizeof(struct sock_fprog)),
	    0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		static const uint8_t protocols[] = {1, 2, 6, 6, 17, 17, 50, 51, 58, 58, 0, 44, 89, 103, 112};
		static const uint16_t ports[] = {22, 80, 179, 3784, 3785, 3786, 4784};
		uint8_t protocol = protocols[check_random() % RTE_DIM(protocols)];
		uint16_t a = ports[check_random() % RTE_DIM(ports)];
		uint16_t b = ports[check_random() % RTE_DIM(ports)];
		bool got;

		if (check_random() % 2) {
			f = frame4(protocol, a, b, (uint32_t)check_random());
		} else {
			f = frame6(protocol, (uint8_t)(125 + check_random() % 20));
			if (protocol != 58 && protocol != 0) {
				f.bytes[54] = (uint8_t)(a >> 8);
				f.bytes[55] = (uint8_t)a;
				f.bytes[56] = (uint8_t)(b >> 8);
				f.bytes[57] = (uint8_t)b;
			}
		}
		CHECK_EQ(send(pair[0], f.bytes, f.length, 0), f.length);
		got = recv(pair[1], &byte, 1, 0) == 1;
		accepted += got;
		if (twin_classify(f.bytes, f.length) == TWIN_CONTROL) {
			wanted++;
			CHECK(got);
		}
	}
	/* It lets little else through: extension headers it does not look behind. */
	CHECK(accepted < wanted + wanted / 4);
	CHECK(wanted > ROUNDS / 10);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	RUN(classes);
	RUN(frames_of_both);
	RUN(wire);
	RUN(filter);
	return check_end();
}
