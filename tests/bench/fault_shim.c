/* Makes one call of the C library fail, on files of runs, in every process that this is preloaded into.

   FAULT_PREFIX: the folder of the runs. A call on FAULT_PREFIX/<run>/<name> is logged to FAULT_LOG as "call name", with
   digits and random letters in the name written as #. The call FAULT_CALL on FAULT_NAME fails with FAULT_ERRNO at its FAULT_AT-th time,
   counted over all processes in the file FAULT_COUNTER; with FAULT_LASTING, from then on. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *prefix, *fail_call, *fail_name;
static long fail_at;
static int fail_errno, is_lasting, log_fd = -1;
static volatile long *counter;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void read_environment(void) {
    const char *log = getenv("FAULT_LOG"), *count = getenv("FAULT_COUNTER"), *at = getenv("FAULT_AT");
    if (!(prefix = getenv("FAULT_PREFIX"))) return;
    if (log) log_fd = REAL(open)(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    fail_call = getenv("FAULT_CALL"), fail_name = getenv("FAULT_NAME");
    is_lasting = getenv("FAULT_LASTING") != NULL;
    if (!at || !count || !fail_call || !fail_name) { fail_call = NULL; return; }
    fail_at = atol(at), fail_errno = atoi(getenv("FAULT_ERRNO"));
    int fd = REAL(open)(count, O_RDWR | O_CLOEXEC);
    counter = mmap(NULL, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REAL(close)(fd);
    if (counter == MAP_FAILED) abort();
}

/* Whether this call is to fail; sets errno. */
static int fails(const char *call, const char *path) {
    char name[PATH_MAX], line[PATH_MAX + 64];
    size_t length = prefix ? strlen(prefix) : 0, used = 0;
    int saved = errno;
    if (!length || strncmp(path, prefix, length) || path[length] != '/') return 0;
    const char *rest = strchr(path + length + 1, '/');
    for (rest = rest ? rest + 1 : ""; *rest && used < sizeof name - 8; rest++) {
        if (!strncmp(rest, ".tmp", 4) && strlen(rest) == 10) { /* a random name of safetensors */
            strcpy(name + used, ".tmp#"), used += 5;
            break;
        }
        int is_digit = *rest >= '0' && *rest <= '9';
        if (!is_digit) name[used++] = *rest;
        else if (!used || name[used - 1] != '#') name[used++] = '#';
    }
    name[used] = 0;
    if (log_fd >= 0) {
        int size = snprintf(line, sizeof line, "%s %s\n", call, name);
        if (REAL(write)(log_fd, line, size) < 0) { /* the log is for counting only */ }
    }
    errno = saved;
    if (!fail_call || strcmp(call, fail_call) || strcmp(name, fail_name)) return 0;
    long count = __sync_add_and_fetch(counter, 1);
    if (count != fail_at && !(is_lasting && count > fail_at)) return 0;
    errno = fail_errno;
    return 1;
}

static int fails_at(const char *call, int folder, const char *path) {
    char link[64], full[2 * PATH_MAX];
    if (path[0] == '/') return fails(call, path);
    if (folder == AT_FDCWD) {
        if (!getcwd(full, PATH_MAX)) return 0;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t size = readlink(link, full, PATH_MAX);
        if (size < 0) return 0;
        full[size] = 0;
    }
    strcat(full, "/");
    strncat(full, path, PATH_MAX - 2);
    return fails(call, full);
}

static int fails_on(const char *call, int fd) {
    char link[64], path[PATH_MAX];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = prefix ? readlink(link, path, sizeof path - 1) : -1;
    errno = saved;
    if (size < 0) return 0;
    path[size] = 0;
    return fails(call, path);
}

#define OPEN(name)                                                       \
    int name(const char *path, int flags, ...) {                         \
        va_list rest;                                                    \
        va_start(rest, flags);                                           \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                    \
        if (fails_at("open", AT_FDCWD, path)) return -1;                 \
        return REAL(name)(path, flags, mode);                            \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                     \
    int name(int folder, const char *path, int flags, ...) {             \
        va_list rest;                                                    \
        va_start(rest, flags);                                           \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                    \
        if (fails_at("open", folder, path)) return -1;                   \
        return REAL(name)(folder, path, flags, mode);                    \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *data, size_t size) {
    return fails_on("write", fd) ? -1 : REAL(write)(fd, data, size);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return fails_on("write", fd) ? -1 : REAL(writev)(fd, parts, count);
}
int fsync(int fd) { return fails_on("fsync", fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails_on("fsync", fd) ? -1 : REAL(fdatasync)(fd); }
int rename(const char *from, const char *to) {
    return fails_at("rename", AT_FDCWD, to) ? -1 : REAL(rename)(from, to);
}
int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    return fails_at("rename", to_folder, to) ? -1 : REAL(renameat)(from_folder, from, to_folder, to);
}
int mkdir(const char *path, mode_t mode) { return fails_at("mkdir", AT_FDCWD, path) ? -1 : REAL(mkdir)(path, mode); }
int posix_fallocate(int fd, off_t from, off_t size) {
    return fails_on("reserve", fd) ? errno : REAL(posix_fallocate)(fd, from, size);
}
int posix_fallocate64(int fd, off64_t from, off64_t size) {
    return fails_on("reserve", fd) ? errno : REAL(posix_fallocate64)(fd, from, size);
}
