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

struct options options;

static const char usage[] =
	"usage: " PROGRAM " [--check] [--mmio] [--vfio] [--durable] [--verbose] [--limit SECONDS] PLAN -o SPOOL\n"
	"Issues the calls of PLAN again and records them into SPOOL; iommufd-rr recover SPOOL -o TRACE makes a trace of it.\n"
	"  --check    look at PLAN and issue nothing\n"
	"  --mmio     also loads and stores of mapped regions\n"
	"  --vfio     do not ask before VFIO devices, real hardware, are touched\n"
	"  --durable  SPOOL is on its disk, synced, before every call: it survives a panic\n"
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

void before_call(const struct irr_plan_step *s)
{
	if (options.durable)
		durable_before_call();
	if (!options.verbose)
		return;
	char line[160];
	int n = snprintf(line, sizeof line, PROGRAM ": [%d] %s\n", (int)getpid(), step_name((uint32_t)(s - plan.steps)));
	irr_sys(SYS_write, 2, (long)line, n, 0, 0, 0);
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
	const char *wrong = options.durable ? durable_make(path) : NULL;
	if (wrong)
		fail("%s: %s", given, wrong);
	if (!options.durable && !irr_spool_open(path))
		fail("%s: cannot be made: a file that can be mapped shared is needed (on 9p and some network file systems none can; --durable does without)", given);
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
