/* Records what a process does to the files of a folder, for tmtp/tests/faults/power.py. Use it with LD_PRELOAD.

   FAULTS_ROOT  the folder; its -shm files are left out, since they mean nothing after a crash
   FAULTS_LOG   the file with the records: a header, the path, and what was written
   FAULTS_FAIL  while this file exists, the next sync of a file (no folder) with its text in the path fails, and removes it
   FAULTS_FULL  while this file exists, the disk is full: no file grows unless the database's reserve has been freed

   A write is recorded before it is done, and a sync when it begins and when it has ended. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 65536
#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

struct __attribute__((packed)) header { char op; uint32_t path; uint64_t at, size; };

static char *paths[FILES];
static const char *root, *failing, *full;
static char reserve[4096];
static int log_file = -1;
static uint64_t syncs;

static int real_open(const char *path, int flags, mode_t mode) {
    REAL(int, "open", const char *, int, ...);
    return real(path, flags, mode);
}

__attribute__((constructor)) static void begin(void) {
    root = getenv("FAULTS_ROOT");
    failing = getenv("FAULTS_FAIL");
    full = getenv("FAULTS_FULL");
    if (root) snprintf(reserve, sizeof reserve, "%s/mnm.sqlite3-reserve", root);
    if (root && getenv("FAULTS_LOG"))
        log_file = real_open(getenv("FAULTS_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int counts(const char *path) {
    return log_file >= 0 && path && !strncmp(path, root, strlen(root)) && !strstr(path, "-shm");
}

static char *path_of(int file) { return file >= 0 && file < FILES ? paths[file] : NULL; }

static void record(char op, const char *path, uint64_t at, uint64_t size, const void *data) {
    struct header header = {op, (uint32_t)strlen(path), at, size};
    struct iovec parts[] = {
        {&header, sizeof header}, {(void *)path, header.path}, {(void *)data, data ? size : 0}};
    int before = errno;
    if (writev(log_file, parts, 3) < 0) abort();
    errno = before;
}

static int is_there(const char *path) {
    int before = errno, found = faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    errno = before;
    return found;
}

static int is_full(void) { return full && is_there(full); }

/* Whether a write would make a file grow that cannot. */
static int is_too_much(int file, uint64_t end) {
    struct stat found;
    return is_full() && is_there(reserve) && !fstat(file, &found) && end > (uint64_t)found.st_size;
}

static int note_open(int file, const char *path, int flags, int was_there) {
    if (file < 0 || file >= FILES) return file;
    if (paths[file]) { free(paths[file]); paths[file] = NULL; }
    if (!counts(path)) return file;
    paths[file] = strdup(path);
    if (flags & O_CREAT && !was_there) record('C', path, 0, 0, NULL);
    if (flags & O_TRUNC && was_there) record('T', path, 0, 0, NULL);
    return file;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, #name, const char *, int, ...); \
        va_list rest; va_start(rest, flags); mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0; va_end(rest); \
        int was_there = counts(path) && is_there(path); \
        return note_open(real(path, flags, mode), path, flags, was_there); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(int, #name, int, const char *, int, ...); \
        va_list rest; va_start(rest, flags); mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0; va_end(rest); \
        int was_there = counts(path) && is_there(path); \
        return note_open(real(folder, path, flags, mode), path, flags, was_there); \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int file) {
    REAL(int, "close", int);
    if (path_of(file)) { free(paths[file]); paths[file] = NULL; }
    return real(file);
}

ssize_t write(int file, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    char *path = path_of(file);
    if (path) {
        struct stat found;
        off_t at = lseek(file, 0, SEEK_CUR);
        if (fcntl(file, F_GETFL) & O_APPEND && !fstat(file, &found)) at = found.st_size;
        if (is_too_much(file, (uint64_t)at + size)) { errno = ENOSPC; return -1; }
        record('W', path, (uint64_t)at, size, data);
    }
    return real(file, data, size);
}

#define PWRITE(name, offset) \
    ssize_t name(int file, const void *data, size_t size, offset at) { \
        REAL(ssize_t, #name, int, const void *, size_t, offset); \
        if (path_of(file)) { \
            if (is_too_much(file, (uint64_t)at + size)) { errno = ENOSPC; return -1; } \
            record('W', paths[file], (uint64_t)at, size, data); \
        } \
        return real(file, data, size, at); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(name, offset) \
    int name(int file, offset size) { \
        REAL(int, #name, int, offset); \
        if (path_of(file)) record('T', paths[file], (uint64_t)size, 0, NULL); \
        return real(file, size); \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define STATVFS(name, type) \
    int name(const char *path, struct type *found) { \
        REAL(int, #name, const char *, struct type *); \
        int result = real(path, found); \
        if (!result && is_full()) found->f_bavail = found->f_bfree = 0; \
        return result; \
    }
STATVFS(statvfs, statvfs)
STATVFS(statvfs64, statvfs64)

static int is_to_fail(int synced, const char *path) {
    char text[256];
    struct stat status;
    if (fstat(synced, &status) || !S_ISREG(status.st_mode)) return 0;
    int file = failing ? real_open(failing, O_RDONLY | O_CLOEXEC, 0) : -1, found;
    if (file < 0) return 0;
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    text[size > 0 ? size : 0] = 0;
    found = size > 0 && strstr(path, text) != NULL;
    if (found) unlink(failing);
    return found;
}

#define SYNC(name) \
    int name(int file) { \
        REAL(int, #name, int); \
        char *path = path_of(file); \
        if (!path) return real(file); \
        uint64_t number = __atomic_add_fetch(&syncs, 1, __ATOMIC_SEQ_CST); \
        record('S', path, number, 0, NULL); \
        if (is_to_fail(file, path)) { record('F', path, number, 0, NULL); errno = EIO; return -1; } \
        record('E', path, number, 0, NULL); \
        return 0; /* what is on the disk is decided when the power is cut */ \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    int result = real(path);
    if (!result && counts(path)) record('U', path, 0, 0, NULL);
    return result;
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    int result = real(from, to);
    if (!result && counts(to)) record('R', from, 0, strlen(to), to);
    return result;
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    int result = real(path, mode);
    if (!result && counts(path)) record('C', path, 1, 0, NULL);
    return result;
}
