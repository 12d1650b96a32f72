//go:build ignore

// What the kernel does with a workload's connections, in the place of rules: the programs of capture/bpf. They use the kernel's stable contexts alone
// (linux/bpf.h), so that they need nobody's structures and run wherever the program types exist (Linux 5.10).

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET 2
#define AF_INET6 10
#define SOL_IP 0
#define SOL_IPV6 41
#define SO_ORIGINAL_DST 80 // of IPv6, too: IP6T_SO_ORIGINAL_DST
#define DNS 53
#define SOL_TCP 6
#define SOL_TLS 282
#define SOL_SOCKET 1
#define SO_ZEROCOPY 60
#define TCP_REPAIR 19
#define TCP_ULP 31
#define TCP_CLOSE 7

// How a reader says how much it has read, by setsockopt with a number of 64 bits: proxy/loop has the same two.
#define SOL_WEFT 0x57454654
#define WEFT_READ 1

// WINDOW is how many bytes may lie in a reader's queue that came by a short cut. The kernel itself has no bound for those (Linux 6.18).
#define WINDOW (64 << 10)

// address is one of either family; IPv4 is mapped into IPv6. Words are in network order.
struct address {
	__u32 word[4];
};

// place is where somebody is, or wanted to go.
struct place {
	struct address ip;
	__u16 port; // in host order
	__u16 why;  // of a flow: what is to be done with it
};

// OUT goes to the proxy, NAMES asks it for names, SELF is the proxy that calls the workload's own address, PROXY the proxy that talks with the application, and
// PEER the proxy that calls somebody else, who may be another proxy of this node.
enum { OUT = 1, NAMES = 2, SELF = 3, PROXY = 4, PEER = 5 };

// pair is a connection as one of its ends sees it. Addresses do not tell connections apart on a node, where networks may overlap; the numbers by which both
// ends have begun to count do, which only those know who have shaken hands with each other.
struct pair {
	struct place local, remote;
	__u32 local_first, remote_first; // sequence numbers
};

// How what is sent goes.
enum { LONG = 0, SHORT = 1, NEVER = 2 };

// end is what is known of a socket that may have a short cut.
struct end {
	struct pair peer; // the connection as the other end sees it
	__u64 sent;       // bytes, by whichever way
	__u32 way;
	__u32 pad;
};

// prefix is a key of a range.
struct prefix {
	__u32 bits;
	struct address ip;
};

// settings are what Go says once, before anything is attached: Config in config.go has the meanings.
volatile const __u16 outbound_port, inbound_port, names_port;
volatile const __u8 all_outbound, all_inbound, names, all_names, shortcuts, only_ipv4;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64); // of a group with bit 32 set
	__type(value, __u8);
} owners SEC(".maps"); // whose connections are not captured: the proxy's

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct address);
	__type(value, __u8);
} own SEC(".maps"); // the workload's addresses

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct address);
	__type(value, __u8);
} resolvers SEC(".maps"); // whose questions about names are answered by the proxy

// What is to be done with a port or a range, as a value: 1 captured, 2 not.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u16);
	__type(value, __u8);
} outbound_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u16);
	__type(value, __u8);
} inbound_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u8);
} ranges SEC(".maps");

enum { CAPTURED = 1, LEFT = 2 };

// wanted has where a socket was to go, by its cookie, until it has a local port; of a socket for datagrams, to the end.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct place);
} wanted SEC(".maps");

// flows has it by where the application's end is, which is all that the proxy's end knows.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct place);
	__type(value, struct place);
} flows SEC(".maps");

// listeners are the proxy's sockets for what comes in: of IPv4, and of IPv6.
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} listeners SEC(".maps");

// Of short cuts. ends is what is known of each socket; senders are the sockets that the program on what is sent is on. What a node's workloads share is in the
// other two, where each finds the other end of its connections: sockets, and how many bytes their readers say that they have read.
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE); // who listens hands NEVER on
	__type(key, int);
	__type(value, struct end);
} ends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 65536);
	__type(key, struct pair);
	__type(value, __u64);
} senders SEC(".maps"), sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct pair);
	__type(value, __u64);
} reads SEC(".maps");

enum { TAKEN_OUT, TAKEN_IN, NOBODY_LISTENS, ASKED_NAMES, WENT_SHORT, WENT_LONG, COUNTERS };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counted SEC(".maps");

// chosen is an address of which a context has words for both families. All of them are read before one is chosen: a compiler makes one pointer of two
// branches that read, and the verifier takes none into a context that was computed.
static __always_inline struct address chosen(__u32 family, __u32 ip4, __u32 a, __u32 b, __u32 c, __u32 d)
{
	asm volatile("" : "+r"(ip4), "+r"(a), "+r"(b), "+r"(c), "+r"(d));
	struct address out = {{a, b, c, d}};
	if (family == AF_INET) {
		out.word[0] = out.word[1] = 0;
		out.word[2] = bpf_htonl(0xffff);
		out.word[3] = ip4;
	}
	return out;
}

#define side(ctx, which) chosen((ctx)->family, (ctx)->which##_ip4, (ctx)->which##_ip6[0], (ctx)->which##_ip6[1], (ctx)->which##_ip6[2], (ctx)->which##_ip6[3])

static __always_inline void count(__u32 what)
{
	__u64 *n = bpf_map_lookup_elem(&counted, &what);
	if (n)
		*n += 1;
}

static __always_inline struct address mapped(__u32 ip4)
{
	struct address a = {{0, 0, bpf_htonl(0xffff), ip4}};
	return a;
}

static __always_inline int is_mapped(const struct address *a)
{
	return a->word[0] == 0 && a->word[1] == 0 && a->word[2] == bpf_htonl(0xffff);
}

static __always_inline int is_loopback(const struct address *a)
{
	if (is_mapped(a))
		return (bpf_ntohl(a->word[3]) >> 24) == 127;
	return a->word[0] == 0 && a->word[1] == 0 && a->word[2] == 0 && a->word[3] == bpf_htonl(1);
}

// is_application says whether the proxy uses that address of its own to talk with the application: 127.0.0.6, or ::6.
static __always_inline int is_application(const struct address *a)
{
	if (is_mapped(a))
		return a->word[3] == bpf_htonl(0x7f000006);
	return a->word[0] == 0 && a->word[1] == 0 && a->word[2] == 0 && a->word[3] == bpf_htonl(6);
}

// is_owner says whether who runs now is the proxy.
static __always_inline int is_owner(void)
{
	__u64 ids = bpf_get_current_uid_gid();
	__u64 user = ids & 0xffffffff, group = ids >> 32 | 1ULL << 32;
	return bpf_map_lookup_elem(&owners, &user) || bpf_map_lookup_elem(&owners, &group);
}

// decide says what becomes of who wants to go there: 0 nothing, or OUT, SELF, NAMES. The order is that of Istio's chain ISTIO_OUTPUT.
static __always_inline int decide(const struct address *to, __u16 port, int stream, const struct address *from)
{
	if (only_ipv4 && !is_mapped(to))
		return 0;
	__u8 *of_port = bpf_map_lookup_elem(&outbound_ports, &port);
	if (of_port && *of_port == LEFT)
		return 0;
	if (is_owner()) {
		if (!stream)
			return 0;
		if (is_application(to)) // nobody is there: who asks whether connections are captured calls it
			return SELF;
		if (is_loopback(to) || is_application(from)) // what has come in goes on from an address of its own
			return shortcuts ? PROXY : 0;
		return bpf_map_lookup_elem(&own, to) ? SELF : shortcuts ? PEER : 0;
	}
	if (names && port == DNS && (all_names || bpf_map_lookup_elem(&resolvers, to)))
		return NAMES;
	if (!stream || is_loopback(to) || bpf_map_lookup_elem(&own, to))
		return 0;
	struct prefix key = {128, *to};
	__u8 *range = bpf_map_lookup_elem(&ranges, &key);
	if (range && *range == LEFT)
		return 0;
	if (range || all_outbound || (of_port && *of_port == CAPTURED))
		return OUT;
	return 0;
}

// turn has a socket go to the proxy, and notes where it wanted to go. ip is changed, too, and what is given is the port in network order.
static __always_inline __u16 turn(struct bpf_sock_addr *ctx, struct address *ip, __u16 port, int stream)
{
	struct place to = {*ip, port, 0};
	struct bpf_sock *sk = ctx->sk;
	struct address from = {};
	if (sk)
		from = chosen(sk->family, sk->src_ip4, sk->src_ip6[0], sk->src_ip6[1], sk->src_ip6[2], sk->src_ip6[3]);
	int what = decide(ip, port, stream, &from);
	if (!what)
		return 0;
	to.why = what;
	__u64 cookie = bpf_get_socket_cookie(ctx);
	bpf_map_update_elem(&wanted, &cookie, &to, BPF_ANY);
	if (what >= SELF) // it goes where it wants, and is known there: see inbound and follows
		return 0;
	if (is_mapped(ip)) {
		ip->word[3] = bpf_htonl(INADDR_LOOPBACK);
	} else {
		ip->word[0] = ip->word[1] = ip->word[2] = 0;
		ip->word[3] = bpf_htonl(1);
	}
	if (what == NAMES) {
		count(ASKED_NAMES);
		return bpf_htons(names_port);
	}
	count(TAKEN_OUT);
	return bpf_htons(outbound_port);
}

static __always_inline int goes4(struct bpf_sock_addr *ctx, int stream)
{
	struct address ip = mapped(ctx->user_ip4);
	__u16 port = turn(ctx, &ip, bpf_ntohs(ctx->user_port), stream);
	if (port) {
		ctx->user_ip4 = ip.word[3];
		ctx->user_port = port;
	}
	return 1;
}

static __always_inline int goes6(struct bpf_sock_addr *ctx, int stream)
{
	struct address ip = {{ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]}};
	__u16 port = turn(ctx, &ip, bpf_ntohs(ctx->user_port), stream);
	if (port) {
		ctx->user_ip6[0] = ip.word[0];
		ctx->user_ip6[1] = ip.word[1];
		ctx->user_ip6[2] = ip.word[2];
		ctx->user_ip6[3] = ip.word[3];
		ctx->user_port = port;
	}
	return 1;
}

static __always_inline int is_stream(struct bpf_sock_addr *ctx)
{
	__u32 protocol = ctx->protocol;
	return protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP;
}

SEC("cgroup/connect4") int connect4(struct bpf_sock_addr *ctx) { return goes4(ctx, is_stream(ctx)); }
SEC("cgroup/connect6") int connect6(struct bpf_sock_addr *ctx) { return goes6(ctx, is_stream(ctx)); }
SEC("cgroup/sendmsg4") int sendmsg4(struct bpf_sock_addr *ctx) { return goes4(ctx, 0); }
SEC("cgroup/sendmsg6") int sendmsg6(struct bpf_sock_addr *ctx) { return goes6(ctx, 0); }

// told gives whom a socket wanted to talk to, if it talks to the proxy in his place.
static __always_inline struct place *told(void *ctx, int stream)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct place *to = bpf_map_lookup_elem(&wanted, &cookie);
	if (!to || (to->why != NAMES && (!stream || to->why != OUT)))
		return 0;
	return to;
}

// speaks4 has the application see whom it wanted to talk to: who answers, of datagrams, and whom it is connected with.
static __always_inline int speaks4(struct bpf_sock_addr *ctx, int stream)
{
	struct place *to = told(ctx, stream);
	if (to && ctx->user_ip4 == bpf_htonl(INADDR_LOOPBACK) && (ctx->user_port == bpf_htons(names_port) || ctx->user_port == bpf_htons(outbound_port))) {
		ctx->user_ip4 = to->ip.word[3];
		ctx->user_port = bpf_htons(to->port);
	}
	return 1;
}

static __always_inline int speaks6(struct bpf_sock_addr *ctx, int stream)
{
	struct address from = {{ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]}};
	struct place *to = told(ctx, stream);
	if (to && is_loopback(&from) && (ctx->user_port == bpf_htons(names_port) || ctx->user_port == bpf_htons(outbound_port))) {
		ctx->user_ip6[0] = to->ip.word[0];
		ctx->user_ip6[1] = to->ip.word[1];
		ctx->user_ip6[2] = to->ip.word[2];
		ctx->user_ip6[3] = to->ip.word[3];
		ctx->user_port = bpf_htons(to->port);
	}
	return 1;
}

SEC("cgroup/recvmsg4") int recvmsg4(struct bpf_sock_addr *ctx) { return speaks4(ctx, 0); }
SEC("cgroup/recvmsg6") int recvmsg6(struct bpf_sock_addr *ctx) { return speaks6(ctx, 0); }
SEC("cgroup/getpeername4") int getpeername4(struct bpf_sock_addr *ctx) { return speaks4(ctx, 1); }
SEC("cgroup/getpeername6") int getpeername6(struct bpf_sock_addr *ctx) { return speaks6(ctx, 1); }

static __always_inline struct place local_of(struct bpf_sock_ops *ctx)
{
	struct place p = {side(ctx, local), ctx->local_port, 0};
	return p;
}

static __always_inline struct place remote_of(struct bpf_sock_ops *ctx)
{
	struct place p = {side(ctx, remote), bpf_ntohl(ctx->remote_port), 0};
	return p;
}

static __always_inline int is_here(const struct address *a)
{
	return is_loopback(a) || is_application(a) || bpf_map_lookup_elem(&own, a) != 0;
}

// is_taken says whether what comes in there is the proxy's.
static __always_inline int is_taken(__u16 port)
{
	if (port == inbound_port || port == outbound_port)
		return 0;
	__u8 *of_port = bpf_map_lookup_elem(&inbound_ports, &port);
	return of_port ? *of_port == CAPTURED : all_inbound;
}

// is_bare says of a passive end that what has ended the handshake has no data. Data there may be of a writer who has waited for the connection, and goes on
// by TCP while the next piece of his is on a short cut already; without, no writer waits (tcp_rcv_synsent_state_process sends no bare segment then).
static __always_inline int is_bare(struct bpf_sock_ops *ctx)
{
	unsigned char *tcp = ctx->skb_data, *end = ctx->skb_data_end;
	if (tcp + 20 > end)
		return 0;
	return ctx->skb_len == (tcp[12] >> 4) * 4;
}

// meet has an end of a connection be known to the other one, if one of them is a proxy. What was wanted is known by who has connected: by his socket, and in
// his workload by where his end is.
static __always_inline void meet(struct bpf_sock_ops *ctx, int active)
{
	struct pair mine = {local_of(ctx), remote_of(ctx), ctx->snd_nxt, ctx->rcv_nxt};
	if (active) {
		__u64 cookie = bpf_get_socket_cookie(ctx);
		if (!bpf_map_lookup_elem(&wanted, &cookie))
			return;
	} else {
		if (!is_bare(ctx) || (is_here(&mine.remote.ip) ? !bpf_map_lookup_elem(&flows, &mine.remote) : !is_taken(mine.local.port)))
			return;
	}
	struct bpf_sock *sk = ctx->sk;
	if (!sk)
		return;
	struct end first = {{mine.remote, mine.local, mine.remote_first, mine.local_first}, 0, LONG, 0};
	struct end *e = bpf_sk_storage_get(&ends, sk, &first, BPF_SK_STORAGE_GET_F_CREATE);
	if (!e || e->way == NEVER)
		return;
	bpf_sock_ops_cb_flags_set(ctx, BPF_SOCK_OPS_STATE_CB_FLAG);
	if (!bpf_sock_hash_update(ctx, &senders, &mine, BPF_ANY))
		bpf_sock_hash_update(ctx, &sockets, &mine, BPF_ANY);
}

// part forgets what a reader has said.
static __always_inline void part(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	if (!sk)
		return;
	struct end *e = bpf_sk_storage_get(&ends, sk, 0, 0);
	if (!e)
		return;
	struct pair mine = {e->peer.remote, e->peer.local, e->peer.remote_first, e->peer.local_first};
	bpf_map_delete_elem(&reads, &mine);
}

// follows is told of what becomes of sockets.
SEC("sockops") int follows(struct bpf_sock_ops *ctx)
{
	if (ctx->family != AF_INET && ctx->family != AF_INET6)
		return 1;
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		// The proxy's own, each time that one begins to listen: nobody has to tell who has started anew.
		if (ctx->local_port == inbound_port) {
			__u32 at = ctx->family == AF_INET6;
			bpf_sock_map_update(ctx, &listeners, &at, BPF_ANY);
		}
		break;
	case BPF_SOCK_OPS_TCP_CONNECT_CB: {
		// Before the first packet, and when it is known from which port it will come: so that who is connected finds out about it.
		__u64 cookie = bpf_get_socket_cookie(ctx);
		struct place *to = bpf_map_lookup_elem(&wanted, &cookie);
		if (!to)
			break;
		struct place from = local_of(ctx), going = *to;
		if (going.why != PEER) // who is called is nobody of this workload, and asks for nothing
			bpf_map_update_elem(&flows, &from, &going, BPF_ANY);
		bpf_sock_ops_cb_flags_set(ctx, BPF_SOCK_OPS_STATE_CB_FLAG);
		break;
	}
	case BPF_SOCK_OPS_STATE_CB:
		if (ctx->args[1] == TCP_CLOSE) {
			struct place from = local_of(ctx);
			__u64 cookie = bpf_get_socket_cookie(ctx);
			struct place *to = bpf_map_lookup_elem(&wanted, &cookie);
			if (to && to->why != PEER)
				bpf_map_delete_elem(&flows, &from);
			bpf_map_delete_elem(&wanted, &cookie);
			if (shortcuts)
				part(ctx);
		}
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		if (shortcuts)
			meet(ctx, 1);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		if (shortcuts)
			meet(ctx, 0);
		break;
	}
	return 1;
}

// as_it_was has the kernel take an option that is longer than what it shows to programs. Before Linux 6.5 it fails otherwise (EFAULT): iptables has such.
static __always_inline int as_it_was(struct bpf_sockopt *ctx)
{
	if (ctx->optlen > 4096)
		ctx->optlen = 0;
	return 1;
}

// original answers the proxy's question where a connection was to go that went out, as the kernel does after a REDIRECT. What has come in has the address
// that it came to.
SEC("cgroup/getsockopt") int original(struct bpf_sockopt *ctx)
{
	if (ctx->optname != SO_ORIGINAL_DST || (ctx->level != SOL_IP && ctx->level != SOL_IPV6) || !ctx->sk)
		return as_it_was(ctx);
	struct bpf_sock *sk = ctx->sk;
	struct place peer = {chosen(sk->family, sk->dst_ip4, sk->dst_ip6[0], sk->dst_ip6[1], sk->dst_ip6[2], sk->dst_ip6[3]), bpf_ntohs(sk->dst_port), 0};
	struct place *to = bpf_map_lookup_elem(&flows, &peer);
	if (!to || to->why != OUT)
		return 1;
	void *answer = ctx->optval, *end = ctx->optval_end;
	__s32 level = ctx->level, size;
	if (is_mapped(&to->ip)) {
		struct sockaddr_in *a = answer;
		if (level != SOL_IP || (void *)(a + 1) > end)
			return 1;
		a->sin_family = AF_INET;
		a->sin_port = bpf_htons(to->port);
		a->sin_addr.s_addr = to->ip.word[3];
		size = sizeof(*a);
	} else {
		struct sockaddr_in6 *a = answer;
		if (level != SOL_IPV6 || (void *)(a + 1) > end)
			return 1;
		a->sin6_family = AF_INET6;
		a->sin6_port = bpf_htons(to->port);
		a->sin6_flowinfo = 0;
		a->sin6_addr.s6_addr32[0] = to->ip.word[0];
		a->sin6_addr.s6_addr32[1] = to->ip.word[1];
		a->sin6_addr.s6_addr32[2] = to->ip.word[2];
		a->sin6_addr.s6_addr32[3] = to->ip.word[3];
		a->sin6_scope_id = 0;
		size = sizeof(*a);
	}
	ctx->optlen = size;
	ctx->retval = 0;
	return 1;
}

// inbound hands what comes in to the proxy's socket, whose connections keep both their addresses. Where nobody listens, nothing is let in: the
// application behind would take what the mesh's policies refuse.
SEC("sk_lookup") int inbound(struct bpf_sk_lookup *ctx)
{
	if (ctx->protocol != IPPROTO_TCP || (ctx->family != AF_INET && ctx->family != AF_INET6))
		return SK_PASS;
	if (only_ipv4 && ctx->family == AF_INET6)
		return SK_PASS;
	if (!is_taken(ctx->local_port))
		return SK_PASS;
	struct place from = {side(ctx, remote), bpf_ntohs(ctx->remote_port), 0};
	if (is_here(&from.ip)) {
		// Who is in the workload himself talks with it as he likes, but for the proxy that calls its own address.
		struct place *to = bpf_map_lookup_elem(&flows, &from);
		if (!to || to->why != SELF)
			return SK_PASS;
	}
	__u32 at = ctx->family == AF_INET6;
	struct bpf_sock *sk = bpf_map_lookup_elem(&listeners, &at);
	if (!sk && !at) { // one of IPv6 may be for both
		at = 1;
		sk = bpf_map_lookup_elem(&listeners, &at);
	}
	if (!sk) {
		count(NOBODY_LISTENS);
		return SK_DROP;
	}
	long wrong = bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
	if (wrong) {
		count(NOBODY_LISTENS);
		return SK_DROP;
	}
	count(TAKEN_IN);
	return SK_PASS;
}

// hears is told by a reader of the proxy's how many bytes it has read, ever. That is how it asks for short cuts: who says nothing gets none, and may read as
// he likes. The kernel gives splice(2) nothing of what came by one (Linux 6.18), and an application that reads so would wait for ever.
SEC("cgroup/setsockopt") int hears(struct bpf_sockopt *ctx)
{
	__s32 level = ctx->level, name = ctx->optname;
	if (!shortcuts || !ctx->sk)
		return as_it_was(ctx);
	if (level == SOL_TLS || (level == SOL_TCP && (name == TCP_ULP || name == TCP_REPAIR)) || (level == SOL_SOCKET && name == SO_ZEROCOPY)) {
		// What is sent would go in the clear where the kernel encrypts, or as something else than the sender counts on.
		struct end never = {.way = NEVER};
		struct end *e = bpf_sk_storage_get(&ends, ctx->sk, &never, BPF_SK_STORAGE_GET_F_CREATE);
		if (e)
			e->way = NEVER;
		return 1;
	}
	if (level != SOL_WEFT || name != WEFT_READ || !is_owner())
		return as_it_was(ctx);
	__u64 *all = ctx->optval;
	if ((void *)(all + 1) > ctx->optval_end)
		return 1;
	__u64 read = *all;
	ctx->optlen = -1; // the kernel knows no such option
	struct end *e = bpf_sk_storage_get(&ends, ctx->sk, 0, 0);
	if (!e)
		return 1;
	struct pair mine = {e->peer.remote, e->peer.local, e->peer.remote_first, e->peer.local_first};
	bpf_map_update_elem(&reads, &mine, &read, BPF_ANY);
	return 1;
}

// shorten puts what is sent right into the other end's queue, if that one asks for it and what is there already is less than the window. After something has
// gone by TCP nothing is put there until all of that was read: a reader is given what is in this queue first, whichever came first.
SEC("sk_msg") int shorten(struct sk_msg_md *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	if (!sk)
		return SK_PASS;
	struct end *e = bpf_sk_storage_get(&ends, sk, 0, 0);
	if (!e || e->way == NEVER)
		return SK_PASS;
	__u64 size = ctx->size, before = e->sent;
	e->sent = before + size;
	struct pair peer = e->peer;
	__u64 *read = bpf_map_lookup_elem(&reads, &peer);
	if (read && *read > before) { // not all was counted that was sent
		e->way = NEVER;
		return SK_PASS;
	}
	__u64 waits = read ? before - *read : 0;
	if (read && waits + size <= WINDOW && (waits == 0 || e->way == SHORT) && bpf_msg_redirect_hash(ctx, &sockets, &peer, BPF_F_INGRESS) == SK_PASS) {
		e->way = SHORT;
		count(WENT_SHORT);
		return SK_PASS;
	}
	e->way = LONG;
	count(WENT_LONG);
	return SK_PASS;
}

char _license[] SEC("license") = "Apache-2.0"; // none of the helpers wants another
