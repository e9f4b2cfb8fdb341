"""rules.py - what the checks of tests/tidy hold the tree to, as tables.

LAYERS says which modules a module may include. ALLOWED lists the exceptions to every other rule,
each with its reason; an exception that nothing needs any more is itself a failure.
"""

# module: the other modules whose headers it may include; its tests may also use TEST_LAYERS.
_BASE = ["base"]
_CONFIG = _BASE + ["config"]
_FIBER = _BASE + ["fiber"]
_LOOP = _FIBER + ["loop"]
_WIRE = _LOOP + ["wire"]
_RPC = _WIRE + ["proto", "rpc"]
_KV = _RPC + ["kv"]
_CLIENT = _RPC + ["client"]
_CLUSTER = _KV + ["client", "cluster"]
_ROLE = _CLUSTER + ["config"]
_ROLES = ["mgmtd", "meta", "storage", "fuse", "usrbio", "monitor", "admin", "placement",
          "entrypoint", "doctor"]

LAYERS = {
    "base": [],
    "config": _BASE,
    "fiber": _BASE,
    "loop": _FIBER,
    "wire": _LOOP,
    "proto": _WIRE + ["rpc"],
    "rpc": _WIRE,
    "kv": _RPC,
    "client": _RPC,
    "cluster": _CLUSTER,
    "placement": _BASE,
    "doctor": _LOOP,
    "entrypoint": _LOOP + ["config"],
    "mgmtd": _ROLE,
    "meta": _ROLE,
    "storage": _ROLE,
    "usrbio": _ROLE,
    "monitor": _ROLE,
    "fuse": _ROLE + ["usrbio"],
    "admin": _ROLE + ["placement"],
    "supervisor": _ROLE + ["admin"],
    "main": _ROLE + _ROLES + ["supervisor"],
}
TEST_LAYERS = {}

# Calls that reach the machine past the seam of src/loop: time, chance, sockets, files, threads.
SEAM_CALLS = """
    time clock clock_gettime clock_settime gettimeofday
    rand srand rand_r random srandom drand48 lrand48 getrandom getentropy
    socket socketpair bind listen accept accept4 connect send sendto sendmsg recv recvfrom recvmsg
    shutdown setsockopt getsockopt getaddrinfo getsockname getpeername
    open open64 openat creat read write pread pwrite readv writev preadv pwritev preadv2 pwritev2
    close fsync fdatasync sync syncfs fallocate posix_fallocate ftruncate truncate flock lockf fcntl
    ioctl fopen fdopen freopen opendir fdopendir readdir stat lstat fstat fstatat statfs statvfs
    fstatfs fstatvfs access mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2
    link symlink readlink chmod fchmod chown fchown lchown utimensat futimens mkstemp mkdtemp
    mkfifo mknod mount umount umount2 mmap munmap mprotect madvise msync memfd_create shm_open
    shm_unlink
    poll ppoll select pselect epoll_create epoll_create1 epoll_wait epoll_ctl eventfd timerfd_create
    signalfd signal sigaction sigprocmask kill raise alarm setitimer
    sleep usleep nanosleep clock_nanosleep sched_yield
    fork vfork clone execv execve execvp execvpe execl execlp execle fexecve posix_spawn
    waitpid wait wait4 system popen getpid getppid gethostname getenv secure_getenv setenv putenv
    syscall
""".split()
SEAM_PATTERNS = [r"pthread_\w+", r"sem_\w+", r"io_uring_\w+", r"thrd_\w+", r"mtx_\w+"]

# Calls that nobody makes: unbounded copies, numbers without errors, hidden state, stack growth.
BANNED_CALLS = """
    strcpy strcat strncat strncpy sprintf vsprintf gets strtok atoi atol atoll atof
    localtime gmtime ctime asctime mktemp tmpnam tempnam alloca setjmp longjmp
    strerror
""".split()

# (check, file pattern, what: a name or "*", reason)
ALLOWED = [
    ("seam", "src/loop/*.c", "*", "the back ends of the seam and its front doors"),
    ("seam", "src/fiber/*.c", "*", "stacks are mapped memory"),
    ("seam", "src/kv/embedded_*.c", "*", "locks and processes that share a store on a real host"),
    ("seam", "src/kv/base_lmdb.c", "statfs", "LMDB needs a local file system"),
    ("seam", "src/kv/embedded_test_world.h", "*", "real processes, for the tests of the above"),
    ("seam", "src/storage/chunk_world.c", "getpid", "a directory of its own for a test"),
    ("seam", "src/supervisor/*.c", "*", "a process manager: it never runs on a loop"),
    ("seam", "src/doctor/*.c", "*", "looks at the host itself, and no loop runs"),
    ("seam", "src/fuse/mount_point.c", "*", "the kernel's side of a mount, before it is served"),
    ("seam", "src/main*.c", "*", "a process before its loop runs, and its signals"),
    ("seam", "src/kv/embedded_host.c", "*", "locks and processes of the host, which only it has"),
    ("seam", "src/kv/base_lmdb.c", "statfs", "the file system that LMDB is to map"),
    ("seam", "src/kv/*test*", "*", "a test of processes: forks, signals, raw sockets"),
    ("seam", "src/base/log.c", "write", "the default sink of a log is standard error"),
    ("thread-locals", "src/fiber/fiber.c", "*", "fiber_self() is known without an argument"),
    ("layers", "src/admin/cmd_cluster.c", "meta/meta.h", "init-cluster, as bootstrap"),
    ("layers", "src/admin/cmd_meta.c", "meta/meta.h", "a store that is loaded skips inode ids"),
    ("layers", "src/admin/fsck.h", "meta/tree_check.h", "fsck reads what meta keeps in the store"),
    ("seam", "src/admin/cmd_data.c", "fopen", "local files of whoever types the command"),
    ("seam", "src/admin/cmd_checksum.c", "fopen", "local files of whoever types the command"),
    ("layers", "src/admin/bootstrap.c", "meta/meta.h", "the root directory is made by meta's code"),
    ("columns", "src/base/error_table.h", "*", "one row for each status code"),
    ("columns", "tests/posix/*.py", "*", "a row of a table of calls stays one row"),
    ("banned", "src/base/old_glibc.h", "strerror", "glibc 2.31 has no other name for these texts"),
    ("typedefs", "src/wire/wire.h", "*", "a field's type is looked up by pasting its name"),
    ("globals", "fiber", "current_sched", "fiber_self() is known without an argument"),
]
