/* A line between two network namespaces: it delays, limits the rate, queues and loses packets.
 *
 *     line CLIENT_NAMESPACE SERVER_NAMESPACE DELAY_NS BITS_PER_SECOND QUEUE LOST_PER_MILLION
 *
 * In each namespace, named by a path, it makes a TUN device "line", says "ready", and carries
 * packets until its input ends. Each line of input is answered with the counters, as JSON. The
 * model, each way: a packet is lost by chance; or it waits behind at most QUEUE others for its
 * turn, takes its size at the rate, and then the delay. Losses follow a fixed seed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 16384 /* room for 25 ms of the smallest packets at 100 Mbit/s, and more */
#define PACKET 2048
#define AT_ONCE 64
#define SECOND 1000000000LL

struct packet {
    int64_t arrived, sent, due;
    ssize_t size;
    char data[PACKET];
};

struct way {
    int from, to;
    struct packet *ring;
    uint64_t first, unsent, next; /* due next; the first that still waits; the next free one */
    int64_t free_at;              /* when the last packet will have been sent */
    uint64_t chance;
    /* counters */
    uint64_t packets, bytes, lost, full, refused, most;
    int64_t began, ended, shortest, latest;
};

static int64_t delay, rate;
static uint64_t queue, lost_per_million;

static void fail(const char *what)
{
    fprintf(stderr, "line: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

static int device_in(const char *name_space)
{
    int space = open(name_space, O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns(space, CLONE_NEWNET) != 0)
        fail(name_space);
    close(space);
    int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq wish = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strcpy(wish.ifr_name, "line");
    if (device < 0 || ioctl(device, TUNSETIFF, &wish) != 0)
        fail("/dev/net/tun");
    return device;
}

static int is_lost(struct way *way)
{
    way->chance ^= way->chance << 13; /* xorshift64 */
    way->chance ^= way->chance >> 7;
    way->chance ^= way->chance << 17;
    return way->chance % 1000000 < lost_per_million;
}

/* Take what has arrived: lose it, refuse it, or give it its time. */
static void take(struct way *way)
{
    for (int i = 0; i < AT_ONCE; i++) {
        struct packet *packet = &way->ring[way->next % SLOTS];
        char spare[PACKET];
        int full_ring = way->next - way->first == SLOTS;
        ssize_t size = read(way->from, full_ring ? spare : packet->data, PACKET);
        if (size <= 0)
            return;
        int64_t at = now();
        if (way->began == 0)
            way->began = at;
        while (way->unsent < way->next && way->ring[way->unsent % SLOTS].sent <= at)
            way->unsent++;
        uint64_t waiting = way->next - way->unsent;
        if (is_lost(way)) {
            way->lost++;
        } else if (full_ring || waiting >= queue) {
            way->full++;
        } else {
            if (waiting > way->most)
                way->most = waiting;
            way->free_at = (way->free_at > at ? way->free_at : at) + size * 8 * SECOND / rate;
            packet->arrived = at;
            packet->sent = way->free_at;
            packet->due = way->free_at + delay;
            packet->size = size;
            way->next++;
        }
    }
}

/* Hand over what is due, and return when the next one is; 0 if there is none. */
static int64_t hand_over(struct way *way)
{
    while (way->first < way->next) {
        struct packet *packet = &way->ring[way->first % SLOTS];
        int64_t at = now();
        if (packet->due > at)
            return packet->due;
        if (write(way->to, packet->data, packet->size) != packet->size)
            way->refused++;
        way->packets++;
        way->bytes += packet->size;
        way->ended = at;
        if (way->packets == 1 || at - packet->arrived < way->shortest)
            way->shortest = at - packet->arrived;
        if (at - packet->due > way->latest)
            way->latest = at - packet->due;
        way->first++;
        if (way->unsent < way->first)
            way->unsent = way->first;
    }
    return 0;
}

static void tell(const char *name, const struct way *way, const char *after)
{
    printf("\"%s\": {\"packets\": %llu, \"bytes\": %llu, \"lost\": %llu, \"full\": %llu, "
           "\"refused\": %llu, \"most\": %llu, \"shortest\": %lld, \"latest\": %lld, "
           "\"span\": %lld}%s",
           name, (unsigned long long)way->packets, (unsigned long long)way->bytes,
           (unsigned long long)way->lost, (unsigned long long)way->full,
           (unsigned long long)way->refused, (unsigned long long)way->most,
           (long long)way->shortest, (long long)way->latest,
           (long long)(way->packets ? way->ended - way->began : 0), after);
}

/* Answer each line of input; return whether there is more to come. */
static int answer(const struct way *up, const struct way *down)
{
    char input[256];
    ssize_t size = read(0, input, sizeof input);
    for (ssize_t i = 0; i < size; i++) {
        if (input[i] == '\n') {
            printf("{");
            tell("up", up, ", ");
            tell("down", down, "}\n");
            fflush(stdout);
        }
    }
    return size > 0;
}

static void carry(struct way *up, struct way *down)
{
    struct pollfd wait[] = {{up->from, POLLIN, 0}, {down->from, POLLIN, 0}, {0, POLLIN, 0}};
    for (;;) {
        int64_t one = hand_over(up), other = hand_over(down);
        int64_t due = one && (!other || one < other) ? one : other;
        int64_t left = due ? due - now() : 0;
        struct timespec time = {left > 0 ? left / SECOND : 0, left > 0 ? left % SECOND : 0};
        if (ppoll(wait, 3, due ? &time : NULL, NULL) < 0 && errno != EINTR)
            fail("poll");
        if (wait[0].revents)
            take(up);
        if (wait[1].revents)
            take(down);
        if (wait[2].revents && !answer(up, down))
            return;
    }
}

int main(int count, char **words)
{
    if (count != 7) {
        fprintf(stderr, "line: six arguments, see the source\n");
        return 2;
    }
    delay = atoll(words[3]);
    rate = atoll(words[4]);
    queue = (uint64_t)atoll(words[5]);
    lost_per_million = (uint64_t)atoll(words[6]);
    int client = device_in(words[1]), server = device_in(words[2]);
    struct way up = {.from = client, .to = server, .chance = 88172645463325252ULL};
    struct way down = {.from = server, .to = client, .chance = 1442695040888963407ULL};
    up.ring = calloc(SLOTS, sizeof *up.ring);
    down.ring = calloc(SLOTS, sizeof *down.ring);
    if (!up.ring || !down.ring || rate <= 0)
        fail("arguments");
    prctl(PR_SET_TIMERSLACK, 1);
    setpriority(PRIO_PROCESS, 0, -15); /* a real line takes no turns with the programs */
    printf("ready\n");
    fflush(stdout);
    carry(&up, &down);
    return 0;
}
