/** Functions that a reproducer has where it needs them. */

export const MEMORY = `/* Pages that lie as the recorded ones did: at a multiple of align, and so far on. The page behind them is not there. */
static char *memory(size_t bytes, size_t align, size_t on)
{
	size_t room = bytes + align + 4096;
	char *all = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *at;

	if (all == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	at = (char *)(((uintptr_t)all + align - 1) / align * align + on);
	if ((size_t)(at - all) + bytes + 4096 > room)
		at -= align;
	if (mprotect(at, bytes, PROT_READ | PROT_WRITE)) {
		perror("mprotect");
		exit(2);
	}
	return at;
}`;

export const HELPERS: Readonly<Record<string, string>> = {
  nowhere: `/* Nothing is there, and the compiler does not know. */
static char *volatile nowhere;`,
  page_end: `/* A copy whose last byte is the last of a page; the next page is not there. */
static void *page_end(const void *from, size_t bytes)
{
	size_t pages = (bytes + 4095) / 4096 * 4096;
	char *at = mmap(NULL, pages + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || munmap(at + pages, 4096)) {
		perror("mmap");
		exit(2);
	}
	return memcpy(at + pages - bytes, from, bytes);
}`,
  await_event: `/* What came at once in the recording may take a moment. */
static void await_event(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	poll(&p, 1, 5000);
}`,
  file_fd: `/* A file of zeros in the place of one that the program was given. */
static int file_of(off_t bytes)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, bytes)) {
		perror("memfd_create");
		exit(2);
	}
	return fd;
}`,
  socket_pair: `static void socket_pair(int *one, int *other)
{
	int both[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both)) {
		perror("socketpair");
		exit(2);
	}
	*one = both[0];
	*other = both[1];
}`,
  send_fd: `static int send_fd(int to, int fd)
{
	char byte = 0, room[CMSG_SPACE(sizeof(fd))] = { 0 };
	struct iovec data = { &byte, 1 };
	struct msghdr m = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return (int)sendmsg(to, &m, 0);
}`,
  receive_fd: `static int receive_fd(int from)
{
	char byte, room[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec data = { &byte, 1 };
	struct msghdr m = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	struct cmsghdr *c;
	int fd;

	if (recvmsg(from, &m, MSG_CMSG_CLOEXEC) < 0)
		return -1;
	c = CMSG_FIRSTHDR(&m);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}`,
};

/** Calls begin in the recorded order. */
export const TURNS = `static void turn(int n)
{
	while (atomic_load(&shared->turn) != n)
		usleep(50);
}

static void done(int n)
{
	atomic_store(&shared->turn, n + 1);
}`;

export const RETURNED = `/* A call during which others were made has returned. */
static void returned(int n)
{
	atomic_store(&shared->returned[n], 1);
}`;

export const AWAIT_RETURN = `static void await_return(int n)
{
	while (!atomic_load(&shared->returned[n]))
		usleep(50);
}`;

/** The headers that functions need. */
export function includes(text: string, helpers: ReadonlySet<string>, several: boolean, first: readonly string[]): string {
  const has = (...names: string[]): boolean => names.some((n) => text.includes(n) || helpers.has(n));
  const rows: readonly (readonly [boolean, string])[] = [
    [true, 'errno.h'],
    [true, 'fcntl.h'],
    [has('await_event'), 'poll.h'],
    [has('pthread_'), 'pthread.h'],
    [several, 'stdatomic.h'],
    [true, 'stdint.h'],
    [true, 'stdio.h'],
    [true, 'stdlib.h'],
    [true, 'string.h'],
    [has('eventfd('), 'sys/eventfd.h'],
    [true, 'sys/ioctl.h'],
    [true, 'sys/mman.h'],
    [has('send_fd', 'receive_fd', 'socket_pair'), 'sys/socket.h'],
    [has('send_fd', 'receive_fd', 'socket_pair'), 'sys/uio.h'],
    [has('reap('), 'sys/wait.h'],
    [true, 'unistd.h'],
    [true, 'linux/types.h'],
    [true, 'linux/version.h'],
  ];
  return ['#define _GNU_SOURCE', ...rows.filter(([yes]) => yes).map(([, name]) => `#include <${name}>`), ...first].join('\n');
}
