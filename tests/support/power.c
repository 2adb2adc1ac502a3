/* A loss of power for one process, as an LD_PRELOAD library.
 *
 * It notes what a process does to files below MAILMILL_POWER_ROOT and was not synced since. On
 * SIGPWR it puts that back and kills the process, so that the next one finds what a disk may hold
 * after the power went: with MAILMILL_POWER_SEED=0 nothing of it, with another seed a random part
 * (4 KiB pages, lengths and names each for itself).
 *
 * What counts as synced: a file's data and length by fsync or fdatasync of it; a name (creat, link,
 * rename, unlink, mkdir) by fsync of a folder that it was changed in. sync_file_range syncs
 * nothing. A rename is whole or not at all, as journalling file systems promise. A folder whose name
 * was not synced goes with all that is in it.
 *
 * Not covered: pages torn in themselves, mmap, io_uring, copy_file_range, disks that lie about
 * fsync, and other processes' files. fsync itself is skipped: no power goes while a test runs.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096
#define MAGIC 0x6d696c6cUL

enum what { CREATED, LINKED, RENAMED, UNLINKED, MADE };

/* A change of names that no fsync of its folder has made durable. */
struct name {
    enum what what;
    char *from, *to, *kept;
    ino_t ino;
    struct name *before;
};

struct page { off_t at; ssize_t length; char bytes[PAGE]; struct page *next; };

/* A file with changes that were not synced. */
struct file {
    dev_t dev;
    ino_t ino;
    int fd;
    off_t size;
    struct page *pages;
    struct file *next;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct name *names;
static struct file *files;
static char root[PATH_MAX], keep[PATH_MAX];
static size_t root_length;
static uint64_t seed;
static unsigned kept_count;

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static void fatal(const char *why) {
    fprintf(stderr, "power.c: %s: %s\n", why, strerror(errno));
    _exit(99);
}

/* The absolute path, or "" where it is not below the root. */
static void resolve(int dirfd, const char *path, char *out) {
    char base[PATH_MAX] = "";
    if (path[0] != '/') {
        char link[64];
        snprintf(link, sizeof link, dirfd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dirfd);
        ssize_t length = readlink(link, base, sizeof base - 2);
        if (length < 0) fatal("readlink");
        base[length] = '/', base[length + 1] = 0;
    }
    if (snprintf(out, PATH_MAX, "%s%s", base, path) >= PATH_MAX) out[0] = 0;
    char *twice;
    while ((twice = strstr(out, "/./"))) memmove(twice, twice + 2, strlen(twice + 2) + 1);
    if (!root_length || strncmp(out, root, root_length) || out[root_length] != '/') out[0] = 0;
}

static int is_below(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || !root_length) return 0;
    path[length] = 0;
    return !strncmp(path, root, root_length) && path[root_length] == '/';
}

static ino_t inode(const char *path) {
    struct stat found;
    return lstat(path, &found) ? 0 : found.st_ino;
}

/* Whether `path` lies in `folder` itself. */
static int lies_in(const char *path, const char *folder) {
    const char *slash = path ? strrchr(path, '/') : NULL;
    size_t length = strlen(folder);
    return slash && (size_t)(slash - path) == length && !strncmp(path, folder, length);
}

static char *set_aside(const char *path) {
    char kept[PATH_MAX + 32];
    snprintf(kept, sizeof kept, "%s/%d-%u", keep, getpid(), kept_count++);
    return REAL(link)(path, kept) ? NULL : strdup(kept);
}

static void note(enum what what, const char *from, const char *to, char *kept, ino_t ino) {
    struct name *name = calloc(1, sizeof *name);
    if (!name) abort();
    *name = (struct name){what, from ? strdup(from) : NULL, strdup(to), kept, ino, names};
    names = name;
}

static void folder_synced(const char *folder) {
    for (struct name **at = &names; *at;) {
        struct name *name = *at;
        if (!lies_in(name->to, folder) && !lies_in(name->from, folder)) {
            at = &name->before;
            continue;
        }
        if (name->kept) REAL(unlink)(name->kept);
        *at = name->before;
        free(name->from), free(name->to), free(name->kept), free(name);
    }
}

/* What is noted of an open file; NULL where it is none of ours. */
static struct file *noted(int fd, int begin) {
    struct stat found;
    if (fstat(fd, &found) || !S_ISREG(found.st_mode)) return NULL;
    for (struct file *file = files; file; file = file->next)
        if (file->ino == found.st_ino && file->dev == found.st_dev) return file;
    if (!begin || !is_below(fd)) return NULL;
    struct file *file = calloc(1, sizeof *file);
    if (!file) abort();
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int own = REAL(open64)(link, O_RDWR | O_CLOEXEC);
    if (own < 0) fatal("open a file again");
    *file = (struct file){found.st_dev, found.st_ino, own, found.st_size, NULL, files};
    return files = file;
}

static void save(struct file *file, off_t from, off_t length) {
    for (off_t at = from / PAGE * PAGE; at < from + length; at += PAGE) {
        struct page *page = file->pages;
        while (page && page->at != at) page = page->next;
        if (page) continue;
        page = malloc(sizeof *page);
        if (!page) abort();
        page->at = at, page->length = pread(file->fd, page->bytes, PAGE, at), page->next = file->pages;
        file->pages = page;
    }
}

static void synced(struct file *file) {
    struct file **at = &files;
    while (*at != file) at = &(*at)->next;
    *at = file->next;
    while (file->pages) {
        struct page *page = file->pages;
        file->pages = page->next;
        free(page);
    }
    REAL(close)(file->fd);
    free(file);
}

static void about_to_write(int fd, off_t at, size_t length) {
    struct file *file = noted(fd, 1);
    if (!file) return;
    if (at < 0) {
        int append = fcntl(fd, F_GETFL) & O_APPEND;
        at = lseek(fd, 0, append ? SEEK_END : SEEK_CUR);
    }
    save(file, at, length);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    pthread_mutex_lock(&mutex);
    about_to_write(fd, -1, length);
    ssize_t done = REAL(write)(fd, bytes, length);
    pthread_mutex_unlock(&mutex);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    size_t length = 0;
    for (int at = 0; at < count; at++) length += parts[at].iov_len;
    pthread_mutex_lock(&mutex);
    about_to_write(fd, -1, length);
    ssize_t done = REAL(writev)(fd, parts, count);
    pthread_mutex_unlock(&mutex);
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    pthread_mutex_lock(&mutex);
    about_to_write(fd, at, length);
    ssize_t done = REAL(pwrite64)(fd, bytes, length, at);
    pthread_mutex_unlock(&mutex);
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    return pwrite64(fd, bytes, length, at);
}

int ftruncate64(int fd, off64_t length) {
    pthread_mutex_lock(&mutex);
    struct file *file = noted(fd, 1);
    struct stat found;
    if (file && !fstat(fd, &found) && found.st_size > length) save(file, length, found.st_size - length);
    int done = REAL(ftruncate64)(fd, length);
    pthread_mutex_unlock(&mutex);
    return done;
}

int ftruncate(int fd, off_t length) {
    return ftruncate64(fd, length);
}

int fsync(int fd) {
    struct stat found;
    pthread_mutex_lock(&mutex);
    struct file *file = noted(fd, 0);
    if (file) synced(file);
    if (!fstat(fd, &found) && S_ISDIR(found.st_mode)) {
        char link[64], path[PATH_MAX];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof path - 1);
        if (length > 0) path[length] = 0, folder_synced(path);
    }
    pthread_mutex_unlock(&mutex);
    return 0;
}

int fdatasync(int fd) {
    return fsync(fd);
}

static int open_noted(int dirfd, const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX];
    resolve(dirfd, path, whole);
    if (!whole[0] || !(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE)
        return REAL(openat64)(dirfd, path, flags, mode);
    pthread_mutex_lock(&mutex);
    struct stat before;
    int was = !lstat(whole, &before);
    if (was && flags & O_TRUNC && S_ISREG(before.st_mode)) {
        int old = REAL(open64)(whole, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        struct file *file = old < 0 ? NULL : noted(old, 1);
        if (file) save(file, 0, before.st_size);
        if (old >= 0) REAL(close)(old);
    }
    int fd = REAL(openat64)(dirfd, path, flags, mode);
    if (fd >= 0 && !was) note(CREATED, NULL, whole, NULL, inode(whole));
    int error = errno;
    pthread_mutex_unlock(&mutex);
    errno = error;
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & O_CREAT) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); }

int open64(const char *path, int flags, ...) { MODE(flags) return open_noted(AT_FDCWD, path, flags, mode); }
int open(const char *path, int flags, ...) { MODE(flags) return open_noted(AT_FDCWD, path, flags, mode); }
int openat64(int dirfd, const char *path, int flags, ...) { MODE(flags) return open_noted(dirfd, path, flags, mode); }
int openat(int dirfd, const char *path, int flags, ...) { MODE(flags) return open_noted(dirfd, path, flags, mode); }

static int rename_noted(int fromfd, const char *from, int tofd, const char *to, unsigned flags) {
    char old[PATH_MAX], new[PATH_MAX];
    resolve(fromfd, from, old), resolve(tofd, to, new);
    pthread_mutex_lock(&mutex);
    ino_t ino = old[0] ? inode(old) : 0;
    char *kept = new[0] && ino && inode(new) ? set_aside(new) : NULL;
    int done = syscall(SYS_renameat2, fromfd, from, tofd, to, flags, MAGIC);
    int error = errno;
    if (!done && old[0] && new[0]) note(RENAMED, old, new, kept, ino);
    else if (kept) REAL(unlink)(kept), free(kept);
    pthread_mutex_unlock(&mutex);
    errno = error;
    return done;
}

int rename(const char *from, const char *to) { return rename_noted(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int fromfd, const char *from, int tofd, const char *to) { return rename_noted(fromfd, from, tofd, to, 0); }
int renameat2(int fromfd, const char *from, int tofd, const char *to, unsigned flags) { return rename_noted(fromfd, from, tofd, to, flags); }

int linkat(int fromfd, const char *from, int tofd, const char *to, int flags) {
    char new[PATH_MAX];
    resolve(tofd, to, new);
    pthread_mutex_lock(&mutex);
    int done = REAL(linkat)(fromfd, from, tofd, to, flags);
    int error = errno;
    if (!done && new[0]) note(LINKED, NULL, new, NULL, inode(new));
    pthread_mutex_unlock(&mutex);
    errno = error;
    return done;
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int dirfd, const char *path, int flags) {
    char whole[PATH_MAX];
    resolve(dirfd, path, whole);
    pthread_mutex_lock(&mutex);
    char *kept = whole[0] && !flags ? set_aside(whole) : NULL;
    int done = REAL(unlinkat)(dirfd, path, flags);
    int error = errno;
    if (!done && kept) note(UNLINKED, NULL, whole, kept, inode(kept));
    else if (kept) REAL(unlink)(kept), free(kept);
    pthread_mutex_unlock(&mutex);
    errno = error;
    return done;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int mkdir(const char *path, mode_t mode) {
    char whole[PATH_MAX];
    resolve(AT_FDCWD, path, whole);
    pthread_mutex_lock(&mutex);
    int done = REAL(mkdir)(path, mode);
    int error = errno;
    if (!done && whole[0]) note(MADE, NULL, whole, NULL, inode(whole));
    pthread_mutex_unlock(&mutex);
    errno = error;
    return done;
}

/* Whether this change is lost. splitmix64. */
static int is_lost(void) {
    if (!seed) return 1;
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (z ^ z >> 31) & 1;
}

static void lose_data(struct file *file) {
    struct stat found;
    if (fstat(file->fd, &found)) return;
    int length_lost = is_lost();
    for (struct page *page = file->pages; page; page = page->next) {
        if (!is_lost()) continue;
        char zeros[PAGE] = {0};
        memcpy(zeros, page->bytes, page->length > 0 ? page->length : 0);
        off_t end = length_lost ? file->size : found.st_size;
        off_t length = end - page->at < PAGE ? end - page->at : PAGE;
        if (length > 0) REAL(pwrite64)(file->fd, zeros, length, page->at);
    }
    REAL(ftruncate64)(file->fd, length_lost ? file->size : found.st_size);
}

static void lose_name(struct name *name) {
    char aside[PATH_MAX + 32];
    switch (name->what) {
    case CREATED:
    case LINKED:
        if (inode(name->to) == name->ino) REAL(unlinkat)(AT_FDCWD, name->to, 0);
        break;
    case RENAMED:
        if (inode(name->to) != name->ino || inode(name->from)) break;
        syscall(SYS_renameat2, AT_FDCWD, name->to, AT_FDCWD, name->from, 0, MAGIC);
        if (name->kept) REAL(linkat)(AT_FDCWD, name->kept, AT_FDCWD, name->to, 0);
        break;
    case UNLINKED:
        if (!inode(name->to)) REAL(linkat)(AT_FDCWD, name->kept, AT_FDCWD, name->to, 0);
        break;
    case MADE:
        if (inode(name->to) != name->ino) break;
        snprintf(aside, sizeof aside, "%s/%d-%u", keep, getpid(), kept_count++);
        syscall(SYS_renameat2, AT_FDCWD, name->to, AT_FDCWD, aside, 0, MAGIC);
        break;
    }
}

/* Waits for the power to go. */
static void *wait_for_loss(void *unused) {
    sigset_t power;
    int got;
    (void)unused;
    sigemptyset(&power);
    sigaddset(&power, SIGPWR);
    while (sigwait(&power, &got)) {}
    pthread_mutex_lock(&mutex);
    for (struct file *file = files; file; file = file->next) lose_data(file);
    for (struct name *name = names; name; name = name->before)
        if (is_lost()) lose_name(name);
    kill(getpid(), SIGKILL);
    for (;;) pause();
    return NULL;
}

/* Some libraries make system calls without libc: their renameat2 comes here. */
static void on_trap(int number, siginfo_t *info, void *context) {
    (void)number, (void)info;
    int error = errno;
#if defined(__x86_64__)
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    int done = rename_noted(r[REG_RDI], (char *)r[REG_RSI], r[REG_RDX], (char *)r[REG_R10], r[REG_R8]);
    r[REG_RAX] = done ? -errno : 0;
#elif defined(__aarch64__)
    unsigned long long *r = ((ucontext_t *)context)->uc_mcontext.regs;
    int done = rename_noted(r[0], (char *)r[1], r[2], (char *)r[3], r[4]);
    r[0] = done ? -errno : 0;
#else
#error "power.c knows x86-64 and arm64"
#endif
    errno = error;
}

static void trap_renames(void) {
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
    if (sigaction(SIGSYS, &action, NULL)) fatal("sigaction");
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MAGIC, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) fatal("no_new_privs");
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) fatal("seccomp");
}

__attribute__((constructor)) static void begin(void) {
    const char *where = getenv("MAILMILL_POWER_ROOT"), *number = getenv("MAILMILL_POWER_SEED");
    if (!where || !realpath(where, root)) return;
    root_length = strlen(root);
    seed = number ? strtoull(number, NULL, 10) : 0;
    snprintf(keep, sizeof keep, "%.*s/.power", (int)(sizeof keep - 16), root);
    REAL(mkdir)(keep, 0700);
    sigset_t power;
    sigemptyset(&power);
    sigaddset(&power, SIGPWR);
    /* All threads to come inherit this: only the one that waits hears it. */
    if (pthread_sigmask(SIG_BLOCK, &power, NULL)) fatal("sigmask");
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_for_loss, NULL)) fatal("thread");
    trap_renames();
}
