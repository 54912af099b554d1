/*
 * Mutexes of all kinds, condition variables, read-write locks, barriers, semaphores, spin locks;
 * between processes too.
 */
#include "process.h"
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long long counter;
static int turn;

#define NAME(call) do { int e_ = (call); printf("%s = %s\n", #call, ename(e_)); } while (0)

static void *adds(void *arg)
{
	for (int i = 0; i < 5000; i++) {
		pthread_mutex_lock(&mutex);
		long long c = counter;
		if (i % 100 == 0)
			sched_yield();
		counter = c + 1;
		pthread_mutex_unlock(&mutex);
	}
	return arg;
}

static void *takes_turns(void *arg)
{
	int me = (int)(intptr_t)arg;

	for (int i = 0; i < 500; i++) {
		pthread_mutex_lock(&mutex);
		while (turn % 4 != me)
			pthread_cond_wait(&cond, &mutex);
		turn++;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static pthread_mutex_t *tried;

static void *tries(void *arg)
{
	(void)arg;
	int e = pthread_mutex_trylock(tried);
	if (!e)
		pthread_mutex_unlock(tried);
	return (void *)(intptr_t)e;
}

static void *unlocks(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)pthread_mutex_unlock(tried);
}

static void *locks_and_dies(void *arg)
{
	MUST(pthread_mutex_lock(tried) == 0);
	return arg;
}

static int in_thread(void *(*f)(void *))
{
	pthread_t t;
	void *r;

	MUST(pthread_create(&t, NULL, f, NULL) == 0);
	pthread_join(t, &r);
	return (int)(intptr_t)r;
}

static void kinds(void)
{
	int kind[] = { PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_RECURSIVE };
	const char *names[] = { "normal", "errorcheck", "recursive" };

	for (int i = 0; i < 3; i++) {
		pthread_mutexattr_t attr;
		pthread_mutex_t m;
		struct timespec ts;
		puts(names[i]);
		pthread_mutexattr_init(&attr);
		NAME(pthread_mutexattr_settype(&attr, kind[i]));
		NAME(pthread_mutex_init(&m, &attr));
		NAME(pthread_mutex_lock(&m));
		NAME(pthread_mutex_trylock(&m));
		if (i)
			NAME(pthread_mutex_lock(&m));
		tried = &m;
		NAME(in_thread(tries));
		if (i)
			NAME(in_thread(unlocks));
		clock_gettime(CLOCK_REALTIME, &ts);
		ts.tv_nsec += 10000000;
		if (ts.tv_nsec >= 1000000000) {
			ts.tv_nsec -= 1000000000;
			ts.tv_sec++;
		}
		NAME(pthread_mutex_timedlock(&m, &ts));
		NAME(pthread_mutex_unlock(&m));
		NAME(in_thread(tries));
		if (i)
			NAME(pthread_mutex_unlock(&m));
		if (i == 2) {
			NAME(pthread_mutex_unlock(&m));
			NAME(pthread_mutex_unlock(&m));
			NAME(pthread_mutex_unlock(&m));
		}
		NAME(in_thread(tries));
	}
}

static void robust(void)
{
	pthread_mutexattr_t attr;
	pthread_mutex_t *m = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	pthread_mutexattr_init(&attr);
	NAME(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
	NAME(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
	NAME(pthread_mutex_init(m, &attr));
	tried = m;
	in_thread(locks_and_dies);
	NAME(pthread_mutex_lock(m));
	NAME(pthread_mutex_consistent(m));
	NAME(pthread_mutex_unlock(m));
	NAME(pthread_mutex_lock(m));
	NAME(pthread_mutex_unlock(m));
	/* a process dies with it, by exit and by a signal */
	IN_CHILD(MUST(pthread_mutex_lock(m) == 0));
	NAME(pthread_mutex_lock(m));
	NAME(pthread_mutex_consistent(m));
	NAME(pthread_mutex_unlock(m));
	IN_CHILD(MUST(pthread_mutex_lock(m) == 0); kill(getpid(), SIGKILL));
	NAME(pthread_mutex_trylock(m));
	/* unlocked without having been made consistent */
	NAME(pthread_mutex_unlock(m));
	NAME(pthread_mutex_lock(m));
	/* while another waits */
	pthread_mutex_destroy(m);
	NAME(pthread_mutex_init(m, &attr));
	pid_t child;
	CHILD(child, {
		MUST(pthread_mutex_lock(m) == 0);
		*(volatile int *)((char *)m + 2000) = 1;
		pause_ms(20);
		_exit(3);
	});
	while (!*(volatile int *)((char *)m + 2000))
		usleep(500);
	NAME(pthread_mutex_lock(m));
	puts(fate_of(child));
}

static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static int readers, writers, most;

static void *reads_writes(void *arg)
{
	uint64_t seed = (uintptr_t)arg;

	for (int i = 0; i < 300; i++) {
		if (next_random(&seed) % 5) {
			pthread_rwlock_rdlock(&rw);
			int n = __atomic_add_fetch(&readers, 1, __ATOMIC_SEQ_CST);
			MUST(!writers);
			if (n > most)
				most = n;
			sched_yield();
			__atomic_sub_fetch(&readers, 1, __ATOMIC_SEQ_CST);
		} else {
			pthread_rwlock_wrlock(&rw);
			MUST(!readers && !writers);
			writers = 1;
			sched_yield();
			writers = 0;
		}
		pthread_rwlock_unlock(&rw);
	}
	return NULL;
}

static void *waits_for_rw(void *arg)
{
	struct timespec ts;

	(void)arg;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (void *)(intptr_t)pthread_rwlock_timedwrlock(&rw, &ts);
}

static pthread_barrier_t barrier;
static int serial, phase[8];

static void *in_phases(void *arg)
{
	int me = (int)(intptr_t)arg;

	for (int i = 0; i < 50; i++) {
		phase[me] = i;
		if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
			serial++;
		for (int k = 0; k < 8; k++)
			MUST(phase[k] == i);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static sem_t items, room;
static int queue[5], head, tail;

static void *produces(void *arg)
{
	for (int i = 1; i <= 1000; i++) {
		sem_wait(&room);
		pthread_mutex_lock(&mutex);
		queue[head++ % 5] = i;
		pthread_mutex_unlock(&mutex);
		sem_post(&items);
	}
	return arg;
}

static void *consumes(void *arg)
{
	for (int i = 1; i <= 1000; i++) {
		sem_wait(&items);
		pthread_mutex_lock(&mutex);
		counter += queue[tail++ % 5];
		pthread_mutex_unlock(&mutex);
		sem_post(&room);
	}
	return arg;
}

static void all(int n, void *(*f)(void *))
{
	pthread_t t[16];

	for (int i = 0; i < n; i++)
		MUST(pthread_create(&t[i], NULL, f, (void *)(intptr_t)i) == 0);
	for (int i = 0; i < n; i++)
		MUST(pthread_join(t[i], NULL) == 0);
}

struct shared {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	sem_t sem;
	pthread_barrier_t barrier;
	int value;
};

static void between_processes(void)
{
	struct shared *s = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t ma;
	pthread_condattr_t ca;
	pthread_barrierattr_t ba;
	pid_t children[4];

	pthread_mutexattr_init(&ma);
	pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED);
	pthread_condattr_init(&ca);
	pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED);
	pthread_barrierattr_init(&ba);
	pthread_barrierattr_setpshared(&ba, PTHREAD_PROCESS_SHARED);
	NAME(pthread_mutex_init(&s->mutex, &ma));
	NAME(pthread_cond_init(&s->cond, &ca));
	NAME(sem_init(&s->sem, 1, 0));
	NAME(pthread_barrier_init(&s->barrier, &ba, 5));
	for (int c = 0; c < 4; c++)
		CHILD(children[c], {
			pthread_barrier_wait(&s->barrier);
			for (int i = 0; i < 200; i++) {
				pthread_mutex_lock(&s->mutex);
				while (s->value % 4 != c)
					pthread_cond_wait(&s->cond, &s->mutex);
				s->value++;
				pthread_cond_broadcast(&s->cond);
				pthread_mutex_unlock(&s->mutex);
				sem_post(&s->sem);
			}
		});
	pthread_barrier_wait(&s->barrier);
	for (int i = 0; i < 800; i++)
		MUST(sem_wait(&s->sem) == 0);
	for (int c = 0; c < 4; c++)
		puts(fate_of(children[c]));
	SAY(s->value);
	NAME(sem_trywait(&s->sem) == -1 ? errno : 0);
}

int main(void)
{
	struct timespec ts;

	LINES();
	all(8, adds);
	SAY(counter);
	all(4, takes_turns);
	SAY(turn);
	kinds();
	robust();
	all(8, reads_writes);
	SAY(most > 1);
	NAME(pthread_rwlock_rdlock(&rw));
	NAME(pthread_rwlock_tryrdlock(&rw));
	NAME(pthread_rwlock_trywrlock(&rw));
	pthread_rwlock_unlock(&rw);
	pthread_rwlock_unlock(&rw);
	NAME(pthread_rwlock_wrlock(&rw));
	NAME(pthread_rwlock_tryrdlock(&rw));
	NAME(in_thread(waits_for_rw));
	pthread_rwlock_unlock(&rw);
	pthread_barrier_init(&barrier, NULL, 8);
	all(8, in_phases);
	SAY(serial);
	counter = 0;
	sem_init(&items, 0, 0);
	sem_init(&room, 0, 5);
	pthread_t p, c;
	pthread_create(&p, NULL, produces, NULL);
	pthread_create(&c, NULL, consumes, NULL);
	pthread_join(p, NULL);
	pthread_join(c, NULL);
	SAY(counter);
	int value;
	sem_getvalue(&room, &value);
	SAY(value);
	/* a condition that never comes */
	pthread_condattr_t ca;
	pthread_cond_t monotonic;
	pthread_condattr_init(&ca);
	NAME(pthread_condattr_setclock(&ca, CLOCK_MONOTONIC));
	pthread_cond_init(&monotonic, &ca);
	pthread_mutex_lock(&mutex);
	clock_gettime(CLOCK_REALTIME, &ts);
	NAME(pthread_cond_timedwait(&cond, &mutex, &ts));
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += 5000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	NAME(pthread_cond_timedwait(&monotonic, &mutex, &ts));
	pthread_mutex_unlock(&mutex);
	pthread_spinlock_t spin;
	pthread_spin_init(&spin, 0);
	NAME(pthread_spin_lock(&spin));
	NAME(pthread_spin_trylock(&spin));
	NAME(pthread_spin_unlock(&spin));
	between_processes();
	return 0;
}
