/* Counts what a change does to the files of one site, and makes one call, or all from one on, go
 * wrong. It is loaded into every program that the server starts for a change (LD_PRELOAD), and all
 * of them share one count: a file that is mapped into each.
 *
 * Only calls on files below the site count; pipes, terminals and the rest of the machine do not.
 * What stdio writes by itself is seen where it is flushed and closed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MOST 16384
#define SHUTDOWN _IOR('X', 125, uint32_t)

enum { COUNT, KILL, ERRNO, POWER };
enum { CHANGES = 1, READS = 2, PROGRAMS = 4 };

struct entry {
    char what[16];
    char program[16];
    int32_t session;
    int32_t pad;
    int64_t at; /* CLOCK_MONOTONIC, nanoseconds */
};

/* The layout is read and written by calls.py. */
struct shared {
    _Atomic uint32_t count;
    uint32_t action;
    uint32_t first;
    uint32_t last;
    int32_t error;
    uint32_t kinds;
    uint32_t flags; /* of the shutdown */
    _Atomic uint32_t met;
    char site[512];
    struct entry entries[MOST];
};

static struct shared *state;

static int below(const char *path) {
    size_t n = strlen(state->site);
    return strncmp(path, state->site, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static int link_is_below(const char *link) {
    char path[PATH_MAX];
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (n < 0)
        return 0;
    path[n] = 0;
    return below(path);
}

/* Whether a path, next to an open directory or the working one, is the site's. */
static int ours(int dir, const char *path) {
    char link[64];
    if (!state || !path)
        return 0;
    if (path[0] == '/')
        return below(path);
    if (dir == AT_FDCWD)
        return link_is_below("/proc/self/cwd");
    snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    return link_is_below(link);
}

static int ours_fd(int fd) {
    char link[64];
    if (!state || fd < 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return link_is_below(link);
}

static void strike(void) {
    int fd;
    switch (state->action) {
    case POWER:
        fd = syscall(SYS_openat, AT_FDCWD, state->site, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || syscall(SYS_ioctl, fd, SHUTDOWN, &state->flags) != 0)
            _exit(123);
        /* fall through */
    case KILL:
        kill(0, SIGKILL);
        pause();
    }
}

/* Count a call. Whether it must fail now, with errno set. */
static int hit(uint32_t kind, const char *what) {
    struct timespec now;
    uint32_t n;
    int before = errno;
    if (!state || !(state->kinds & kind))
        return 0;
    n = atomic_fetch_add(&state->count, 1) + 1;
    if (n <= MOST) {
        struct entry *entry = &state->entries[n - 1];
        clock_gettime(CLOCK_MONOTONIC, &now);
        strncpy(entry->what, what, sizeof entry->what - 1);
        strncpy(entry->program, program_invocation_short_name, sizeof entry->program - 1);
        entry->session = getsid(0);
        entry->at = now.tv_sec * 1000000000LL + now.tv_nsec;
    }
    errno = before;
    if (state->action == COUNT || n < state->first || n > state->last)
        return 0;
    atomic_store(&state->met, n);
    if (state->action == ERRNO) {
        if (kind == PROGRAMS)
            return 0;
        errno = state->error;
        return 1;
    }
    strike();
    return 0;
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("OPSNB_TEST_CALLS");
    void *map;
    int fd;
    if (!path || (fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC)) < 0)
        return;
    map = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        return;
    state = map;
    hit(PROGRAMS, "exec");
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* A function of (type arg, ...), and when it counts. */
#define WRAP(kind, type, failed, name, declared, given, counts)                                     \
    type name declared {                                                                            \
        static __typeof__(&name) real;                                                              \
        if (!real)                                                                                  \
            real = REAL(name);                                                                      \
        if ((counts) && hit(kind, #name))                                                           \
            return failed;                                                                          \
        return real given;                                                                          \
    }

#define AT AT_FDCWD
WRAP(CHANGES, int, -1, rename, (const char *a, const char *b), (a, b), ours(AT, a) || ours(AT, b))
WRAP(CHANGES, int, -1, renameat, (int d, const char *a, int e, const char *b), (d, a, e, b),
     ours(d, a) || ours(e, b))
WRAP(CHANGES, int, -1, renameat2, (int d, const char *a, int e, const char *b, unsigned f),
     (d, a, e, b, f), ours(d, a) || ours(e, b))
WRAP(CHANGES, int, -1, link, (const char *a, const char *b), (a, b), ours(AT, b))
WRAP(CHANGES, int, -1, linkat, (int d, const char *a, int e, const char *b, int f), (d, a, e, b, f),
     ours(e, b))
WRAP(CHANGES, int, -1, symlink, (const char *a, const char *b), (a, b), ours(AT, b))
WRAP(CHANGES, int, -1, symlinkat, (const char *a, int d, const char *b), (a, d, b), ours(d, b))
WRAP(CHANGES, int, -1, unlink, (const char *a), (a), ours(AT, a))
WRAP(CHANGES, int, -1, unlinkat, (int d, const char *a, int f), (d, a, f), ours(d, a))
WRAP(CHANGES, int, -1, rmdir, (const char *a), (a), ours(AT, a))
WRAP(CHANGES, int, -1, mkdir, (const char *a, mode_t m), (a, m), ours(AT, a))
WRAP(CHANGES, int, -1, mkdirat, (int d, const char *a, mode_t m), (d, a, m), ours(d, a))
WRAP(CHANGES, int, -1, chmod, (const char *a, mode_t m), (a, m), ours(AT, a))
WRAP(CHANGES, int, -1, fchmod, (int d, mode_t m), (d, m), ours_fd(d))
WRAP(CHANGES, int, -1, fchmodat, (int d, const char *a, mode_t m, int f), (d, a, m, f), ours(d, a))
WRAP(CHANGES, int, -1, utimensat, (int d, const char *a, const struct timespec t[2], int f),
     (d, a, t, f), ours(d, a))
WRAP(CHANGES, int, -1, futimens, (int d, const struct timespec t[2]), (d, t), ours_fd(d))
WRAP(CHANGES, int, -1, ftruncate, (int d, off_t n), (d, n), ours_fd(d))
WRAP(CHANGES, int, -1, fsync, (int d), (d), ours_fd(d))
WRAP(CHANGES, int, -1, fdatasync, (int d), (d), ours_fd(d))
WRAP(CHANGES, int, -1, syncfs, (int d), (d), ours_fd(d))
WRAP(CHANGES, ssize_t, -1, write, (int d, const void *b, size_t n), (d, b, n), ours_fd(d))
WRAP(CHANGES, ssize_t, -1, copy_file_range, (int d, off_t *a, int e, off_t *b, size_t n, unsigned f),
     (d, a, e, b, n, f), ours_fd(e))
WRAP(CHANGES, int, EOF, fflush, (FILE * s), (s), s &&ours_fd(fileno(s)))
WRAP(CHANGES, int, EOF, fclose, (FILE * s), (s), s &&ours_fd(fileno(s)))
WRAP(READS, ssize_t, -1, read, (int d, void *b, size_t n), (d, b, n), ours_fd(d))
WRAP(READS, DIR *, NULL, opendir, (const char *a), (a), ours(AT, a))
WRAP(READS, DIR *, NULL, fdopendir, (int d), (d), ours_fd(d))
WRAP(READS, int, -1, stat, (const char *a, struct stat *s), (a, s), ours(AT, a))
WRAP(READS, int, -1, lstat, (const char *a, struct stat *s), (a, s), ours(AT, a))
WRAP(READS, int, -1, fstatat, (int d, const char *a, struct stat *s, int f), (d, a, s, f),
     ours(d, a))
WRAP(READS, ssize_t, -1, readlink, (const char *a, char *b, size_t n), (a, b, n), ours(AT, a))
WRAP(READS, ssize_t, -1, readlinkat, (int d, const char *a, char *b, size_t n), (d, a, b, n),
     ours(d, a))

static uint32_t opened(int flags) {
    return flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR) ? CHANGES : READS;
}

#define OPEN(name)                                                                                  \
    int name(const char *path, int flags, ...) {                                                    \
        static int (*real)(const char *, int, ...);                                                 \
        va_list rest;                                                                               \
        mode_t mode;                                                                                \
        va_start(rest, flags);                                                                      \
        mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                            \
        va_end(rest);                                                                               \
        if (!real)                                                                                  \
            real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name);                        \
        if (ours(AT, path) && hit(opened(flags), "open"))                                           \
            return -1;                                                                              \
        return real(path, flags, mode);                                                             \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                                \
    int name(int dir, const char *path, int flags, ...) {                                           \
        static int (*real)(int, const char *, int, ...);                                            \
        va_list rest;                                                                               \
        mode_t mode;                                                                                \
        va_start(rest, flags);                                                                      \
        mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                            \
        va_end(rest);                                                                               \
        if (!real)                                                                                  \
            real = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, #name);                   \
        if (ours(dir, path) && hit(opened(flags), "openat"))                                        \
            return -1;                                                                              \
        return real(dir, path, flags, mode);                                                        \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                                                 \
    FILE *name(const char *path, const char *mode) {                                                \
        static FILE *(*real)(const char *, const char *);                                           \
        if (!real)                                                                                  \
            real = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, #name);                \
        if (ours(AT, path) && hit(mode[0] == 'r' && !strchr(mode, '+') ? READS : CHANGES, "fopen")) \
            return NULL;                                                                            \
        return real(path, mode);                                                                    \
    }
FOPEN(fopen)
FOPEN(fopen64)
