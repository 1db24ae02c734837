/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * irr-rerun: issues the calls of a plan again, and records them into a spool, of which `iommufd-rr recover` makes a trace.
 * It needs nothing but a kernel. One process, this one, watches the others and issues nothing itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "irr.h"
#include "irr_ioctl.h"
#include "rerun.h"

enum { DONE = 0, DIFFERS = 1, WRONG = 2, HUNG = 3 };

#define WATCH_NS 5000000L
#define DYING_NS UINT64_C(2000000000) /* how long those that were killed are waited for */

struct options options;

static const char usage[] =
	"usage: " PROGRAM " [--check] [--mmio] [--vfio] [--durable] [--verbose] [--limit SECONDS] PLAN -o SPOOL\n"
	"Issues the calls of PLAN again and records them into SPOOL; iommufd-rr recover SPOOL -o TRACE makes a trace of it.\n"
	"  --check    look at PLAN and issue nothing\n"
	"  --mmio     also loads and stores of mapped regions\n"
	"  --vfio     do not ask before VFIO devices, real hardware, are touched\n"
	"  --durable  write SPOOL to the disk before every call\n"
	"  --verbose  name every call on standard error before it is made\n"
	"  --limit    what a call may take longer than it took in the recording, in seconds\n"
	"exit status: 0 every call ended as in the recording, 1 some did not, 2 wrong use or a bad plan, 3 a call did not return\n";

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	fprintf(stderr, PROGRAM ": ");
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(WRONG);
}

/* "event 63: ioctl 0x3b90" */
static const char *step_name(uint32_t index)
{
	static __thread char text[96];
	const struct irr_plan_step *s = &plan.steps[index];
	int n = snprintf(text, sizeof text, "event %llu: %s", (unsigned long long)s->seq, kind_name(s->kind));
	if (s->kind == IRR_KIND_IOCTL)
		snprintf(text + n, sizeof text - (size_t)n, " 0x%x", s->request);
	return text;
}

static const char *error_name(int error)
{
	const char *name = error ? strerrorname_np(error) : "no error";
	return name ? name : "an unknown error";
}

void before_call(const struct irr_plan_step *s)
{
	if (options.verbose) {
		char line[160];
		int n = snprintf(line, sizeof line, PROGRAM ": [%d] %s\n", (int)getpid(), step_name((uint32_t)(s - plan.steps)));
		irr_sys(SYS_write, 2, (long)line, n, 0, 0, 0);
	}
	if (!options.durable)
		return;
	long fd = irr_sys(SYS_openat, AT_FDCWD, (long)options.spool, O_RDWR | O_CLOEXEC, 0, 0, 0);
	irr_sys(SYS_fdatasync, fd, 0, 0, 0, 0, 0);
	irr_sys(SYS_close, fd, 0, 0, 0, 0, 0);
}

/* ---- one process of the plan ---- */

struct thread {
	uint32_t process, index, from;
};

static void *thread_run(void *arg)
{
	struct thread t = *(struct thread *)arg;
	free(arg);
	for (uint32_t i = t.from; i < plan.n_steps; i++)
		if (plan.steps[i].process == t.process && plan.steps[i].thread == t.index)
			issue(i, turn_enter(i));
	return NULL;
}

static char *limit_text(void)
{
	static char text[32];
	snprintf(text, sizeof text, "%.3f", plan.head->limit_ms / 1000.0);
	return text;
}

static void run_from(uint32_t process, uint32_t from);

/* Runs the steps of a process in this one, which does not return from it. */
void process_run(uint32_t process)
{
	const struct irr_plan_process *p = &plan.processes[process];
	foreign_files(process, false);
	atomic_store(&tables.pid[process], (uint32_t)getpid());
	atomic_store(&tables.value[plan.processes[process].symbol], (uint64_t)getpid());
	run_from(process, p->fork_step < 0 ? 0 : (uint32_t)p->fork_step + 1);
}

/* Its steps from one on, in the threads that they are of. Does not return. */
static void run_from(uint32_t process, uint32_t from)
{
	const struct irr_plan_process *p = &plan.processes[process];
	bool *used = calloc(p->threads + 1ul, sizeof *used);
	pthread_attr_t attr;
	if (!used)
		irr_sys(SYS_exit_group, 1, 0, 0, 0, 0, 0);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	for (uint32_t i = from; i < plan.n_steps; i++)
		if (plan.steps[i].process == process)
			used[plan.steps[i].thread] = true;
	for (uint32_t t = 1; t < p->threads; t++) {
		pthread_t id;
		struct thread *arg = malloc(sizeof *arg);
		if (!used[t] || !arg)
			continue;
		*arg = (struct thread){ process, t, from };
		if (pthread_create(&id, &attr, thread_run, arg) != 0)
			irr_sys(SYS_exit_group, 1, 0, 0, 0, 0, 0);
	}
	struct thread *arg = malloc(sizeof *arg);
	*arg = (struct thread){ process, 0, from };
	thread_run(arg);
	wait_for_end();
	irr_sys(SYS_exit_group, 0, 0, 0, 0, 0, 0);
}

long execute(uint32_t process, uint32_t step)
{
	char where[80];
	snprintf(where, sizeof where, "%u:%d:%u:%u", shared->watcher, shared->fd, process, step);
	char *const argv[] = { PROGRAM, "--continue", where, options.durable ? "--durable" : "--mmio", options.verbose ? "--verbose" : "--mmio", "--limit",
			       limit_text(), (char *)options.plan, "-o", (char *)options.spool, NULL };
	char *const env[] = { NULL };
	return irr_sys(SYS_execve, (long)"/proc/self/exe", (long)argv, (long)env, 0, 0, 0);
}

/* The other end of it. */
static void go_on(const char *where)
{
	uint32_t watcher, process, step;
	int fd;
	if (sscanf(where, "%u:%d:%u:%u", &watcher, &fd, &process, &step) != 4 || process >= plan.n_processes || step >= plan.n_steps)
		fail("--continue is for its own use");
	if (!irr_spool_open(options.spool) || !shared_attach(watcher, fd))
		fail("the session of process %u is gone", watcher);
	irr_copy_init();
	irr_ioctl_init();
	atomic_store(&irr_self->pid, (uint32_t)getpid());
	turn_executed();
	run_from(process, step + 1);
}

/* A process that nobody forks. */
static bool launch(uint32_t process)
{
	pid_t child = fork();
	if (child == 0) {
		atomic_store(&irr_self->pid, (uint32_t)getpid());
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		regions_of_image(plan.processes[process].image);
		process_run(process);
	}
	atomic_store(&tables.pid[process], child > 0 ? (uint32_t)child : 0);
	return child > 0;
}

/* ---- watching ---- */

static void kill_all(void)
{
	atomic_store(&shared->given_up, 1);
	for (uint32_t i = 0; i < plan.n_processes; i++) {
		uint32_t pid = atomic_load(&tables.pid[i]);
		if (pid && !process_gone(pid))
			kill((pid_t)pid, SIGKILL);
	}
	/* One that hangs inside the kernel does not die: it is left alone. */
	for (uint64_t until = now_ns() + DYING_NS; now_ns() < until;) {
		struct timespec t = { .tv_nsec = WATCH_NS };
		pid_t pid = waitpid(-1, NULL, WNOHANG);
		if (pid < 0)
			return;
		if (pid == 0)
			nanosleep(&t, NULL);
	}
}

static uint64_t limit_of(uint32_t step) { return plan.head->limit_ms * UINT64_C(1000000) + plan.steps[step].took; }

/* A call that does not return. -1 none */
static int64_t hanging(void)
{
	for (unsigned i = 0; i < FLIGHTS; i++) {
		struct flight *f = &shared->flight[i];
		uint32_t step = atomic_load(&f->step);
		if (step && now_ns() - atomic_load(&f->since) > limit_of(step - 1) && atomic_load(&f->step) == step)
			return step - 1;
	}
	return -1;
}

/* Waits for the end. Returns the exit status. */
static int watch(void)
{
	uint64_t progress = now_ns();
	uint32_t last = 0;
	for (;;) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (turns_done())
			return DONE;
		int64_t step = hanging();
		if (step >= 0) {
			fprintf(stderr, PROGRAM ": %s did not return within %.1f seconds; given up\n", step_name((uint32_t)step), (double)limit_of((uint32_t)step) / 1e9);
			return HUNG;
		}
		uint32_t turn = atomic_load(&shared->turn);
		if (turn != last)
			progress = now_ns();
		last = turn;
		if (turn < plan.n_steps) {
			uint32_t pid = atomic_load(&tables.pid[plan.steps[turn].process]);
			if (pid && process_gone(pid) && atomic_load(&shared->turn) == turn) {
				fprintf(stderr, PROGRAM ": the process of %s is gone; given up\n", step_name(turn));
				return HUNG;
			}
			if (now_ns() - progress > 2 * limit_of(turn)) {
				fprintf(stderr, PROGRAM ": %s is not reached; given up\n", step_name(turn));
				return HUNG;
			}
		}
		struct timespec t = { .tv_nsec = WATCH_NS };
		nanosleep(&t, NULL);
	}
}

static int told(int status)
{
	uint32_t differ = atomic_load(&shared->differ), skipped = atomic_load(&shared->skipped), first = atomic_load(&shared->first_differ);
	fprintf(stderr, PROGRAM ": issued %u of %u steps", atomic_load(&shared->issued), plan.n_steps);
	if (skipped)
		fprintf(stderr, ", %u could not be issued", skipped);
	if (differ && first) {
		int recorded = plan.steps[first - 1].error;
		fprintf(stderr, "; %u ended otherwise than in the recording, first %s: %s instead of ", differ, step_name(first - 1), error_name(atomic_load(&shared->first_error)));
		fprintf(stderr, "%s", error_name(recorded));
	}
	fputc('\n', stderr);
	uint64_t lost = 0;
	for (unsigned i = 0; i < 4; i++)
		lost += atomic_load(&irr_spool->lost[i]);
	if (lost)
		fprintf(stderr, PROGRAM ": %llu calls were not issued, for there was no room to record them\n", (unsigned long long)lost);
	return status == DONE && (differ || skipped || lost) ? DIFFERS : status;
}

/* ---- arguments ---- */

/* Real hardware is touched only if somebody says so. */
static void ask_for_vfio(bool allowed)
{
	if (!(plan.does & IRR_PLAN_VFIO) || allowed)
		return;
	if (!isatty(0) || !isatty(2))
		fail("the plan touches VFIO devices, real hardware; --vfio if it is meant to");
	fprintf(stderr, "The plan touches VFIO devices, real hardware. Go on? [y/N] ");
	char answer[16];
	if (!fgets(answer, sizeof answer, stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
		fail("nothing was issued");
}

/* A session of iommufd on a kernel that has none would fail from its first call on. */
static void look_for_iommufd(void)
{
	if (!plan.needs_iommufd || access("/dev/iommu", F_OK) == 0)
		return;
	fail("/dev/iommu: %m: this kernel has no iommufd (CONFIG_IOMMUFD, module iommufd); issue the plan where there is one");
}

static void spool_at(const char *given)
{
	static char path[PATH_MAX];
	char folder[PATH_MAX];
	if (access(given, F_OK) == 0)
		fail("%s exists already", given);
	if (given[0] == '/')
		snprintf(path, sizeof path, "%s", given);
	else if (getcwd(folder, sizeof folder) == NULL || (size_t)snprintf(path, sizeof path, "%s/%s", folder, given) >= sizeof path)
		fail("%s: its path is too long", given);
	options.spool = path;
	if (!irr_spool_open(path))
		fail("%s: cannot be made: a file that can be mapped shared is needed (on 9p and some network file systems none can)", given);
}

static void room_for_files(void)
{
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "output", required_argument, NULL, 'o' }, { "check", no_argument, NULL, 'c' },     { "mmio", no_argument, NULL, 'm' },
		{ "vfio", no_argument, NULL, 'v' },	    { "durable", no_argument, NULL, 'd' },   { "verbose", no_argument, NULL, 'V' },
		{ "limit", required_argument, NULL, 'l' },  { "help", no_argument, NULL, 'h' },	     { "continue", required_argument, NULL, 'C' }, { 0 },
	};
	const char *output = NULL, *where = NULL;
	bool check = false, vfio = false;
	double limit = 0;
	for (int o; (o = getopt_long(argc, argv, "o:h", longs, NULL)) != -1;) {
		switch (o) {
		case 'o':
			output = optarg;
			break;
		case 'c':
			check = true;
			break;
		case 'm':
			options.mmio = true;
			break;
		case 'v':
			vfio = true;
			break;
		case 'd':
			options.durable = true;
			break;
		case 'V':
			options.verbose = true;
			break;
		case 'l': {
			char *end;
			limit = strtod(optarg, &end);
			if (*end || !(limit > 0 && limit <= 86400))
				fail("--limit: seconds, more than 0 and at most 86400");
			break;
		}
		case 'C':
			where = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return WRONG;
		}
	}
	if (optind + 1 != argc || (!check && !output)) {
		fputs(usage, stderr);
		return WRONG;
	}
	const char *path = argv[optind], *wrong = plan_load(path);
	if (wrong)
		fail("%s: %s", path, wrong);
	if (check) {
		printf("%s: %u steps, %u processes, recorded on Linux %.63s\n", path, plan.n_steps, plan.n_processes, plan.head->kernel);
		return DONE;
	}
	if (limit > 0)
		plan_limit((uint32_t)(limit * 1000) ? (uint32_t)(limit * 1000) : 1);
	options.plan = realpath(path, NULL);
	if (where) {
		options.spool = output;
		go_on(where);
	}
	if ((plan.does & IRR_PLAN_MMIO) && !options.mmio)
		fail("the plan has loads and stores of mapped regions; --mmio if they are meant to be made");
	look_for_iommufd();
	ask_for_vfio(vfio);
	spool_at(output);
	if (!shared_make())
		fail("no memory for %u steps", plan.n_steps);
	room_for_files();
	irr_copy_init();
	irr_ioctl_init();
	atomic_store(&irr_self->pid, (uint32_t)getpid());
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	foreign_files(0, true);
	for (uint32_t i = 0; i < plan.n_processes; i++)
		if (plan.processes[i].parent < 0 && !launch(i))
			fail("cannot start a process: %m");
	int status = watch();
	kill_all();
	return told(status);
}
