/* System V IPC: shared memory, semaphores, messages; POSIX message queues and named semaphores. */
#include "process.h"
#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <time.h>

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
};

struct note {
	long type;
	char text[50];
};

static void shared_memory(void)
{
	size_t page = PAGE;
	int id = shmget(IPC_PRIVATE, 3 * page, IPC_CREAT | 0600);
	struct shmid_ds ds;

	SAY(id >= 0);
	char *p = shmat(id, NULL, 0), *ro = shmat(id, NULL, SHM_RDONLY);
	SAY(p != (void *)-1 && ro != (void *)-1 && p != ro);
	strcpy(p + page, "shared");
	printf("%s\n", ro + page);
	TOUCH(ro);
	IN_CHILD({
		strcpy(p, "child");
		char *mine = shmat(id, NULL, 0);
		strcpy(mine + 2 * page, "attached again");
		MUST(shmdt(mine) == 0);
	});
	printf("%s %s\n", p, p + 2 * page);
	SAY(shmctl(id, IPC_STAT, &ds));
	printf("%zu %d %o\n", (size_t)ds.shm_segsz / page, (int)ds.shm_nattch, ds.shm_perm.mode & 0777);
	SAY(shmdt(ro));
	SAY(shmdt(ro));
	SAY(shmctl(id, IPC_RMID, NULL));
	SAY(shmat(12345678, NULL, 0) == (void *)-1);
	strcpy(p, "removed, attached");
	puts(p);
	SAY(shmdt(p));
	SAY(shmctl(id, IPC_STAT, &ds));
	int key = 0x57a51;
	id = shmget(key, page, IPC_CREAT | IPC_EXCL | 0600);
	SAY(id >= 0);
	SAY(shmget(key, page, IPC_CREAT | IPC_EXCL | 0600));
	SAY(shmget(key, page, 0) == id);
	SAY(shmget(key, 2 * page, 0));
	SAY(shmctl(id, IPC_RMID, NULL));
	SAY(shmget(key, page, 0));
	SAY(shmget(key, 0, IPC_CREAT | 0600));
}

static void semaphores(void)
{
	union semun arg;
	unsigned short values[3] = { 1, 0, 5 };
	struct sembuf down = { 0, -1, SEM_UNDO }, up = { 0, 1, 0 }, zero = { 1, 0, IPC_NOWAIT };
	int id = semget(IPC_PRIVATE, 3, 0600);

	SAY(id >= 0);
	arg.array = values;
	SAY(semctl(id, 0, SETALL, arg));
	SAY(semctl(id, 2, GETVAL));
	SAY(semop(id, &zero, 1));
	SAY(semop(id, &down, 1));
	struct sembuf again = { 0, -1, IPC_NOWAIT };
	SAY(semop(id, &again, 1));
	struct timespec ts = { 0, 20000000 };
	again.sem_flg = 0;
	SAY(semtimedop(id, &again, 1, &ts));
	pid_t child;
	CHILD(child, {
		struct sembuf wait = { 0, -1, 0 };
		MUST(semop(id, &wait, 1) == 0);
	});
	pause_ms(20);
	SAY(semctl(id, 0, GETNCNT));
	up.sem_flg = 0;
	SAY(semop(id, &up, 1));
	puts(fate_of(child));
	/* undone at exit */
	arg.val = 1;
	SAY(semctl(id, 0, SETVAL, arg));
	IN_CHILD(MUST(semop(id, &down, 1) == 0); MUST(semctl(id, 0, GETVAL) == 0));
	SAY(semctl(id, 0, GETVAL));
	SAY(semctl(id, 0, GETPID) > 0);
	struct sembuf both[2] = { { 2, -5, IPC_NOWAIT }, { 1, -1, IPC_NOWAIT } };
	SAY(semop(id, both, 2));
	SAY(semctl(id, 2, GETVAL));
	SAY(semctl(id, 9, GETVAL));
	SAY(semctl(id, 0, IPC_RMID));
	SAY(semop(id, &up, 1));
}

static void messages(void)
{
	int id = msgget(IPC_PRIVATE, 0600);
	struct note n = { 1, "first" };

	SAY(id >= 0);
	SAY(msgsnd(id, &n, 6, 0));
	n = (struct note){ 3, "third type" };
	SAY(msgsnd(id, &n, 11, 0));
	n = (struct note){ 2, "second type" };
	SAY(msgsnd(id, &n, 12, 0));
	SAY(msgrcv(id, &n, sizeof n.text, 2, 0));
	puts(n.text);
	SAY(msgrcv(id, &n, sizeof n.text, -3, 0));
	puts(n.text);
	SAY(msgrcv(id, &n, 3, 0, IPC_NOWAIT));
	SAY(msgrcv(id, &n, 3, 0, IPC_NOWAIT | MSG_NOERROR));
	printf("%ld %.3s\n", n.type, n.text);
	SAY(msgrcv(id, &n, 3, 0, IPC_NOWAIT));
	pid_t child;
	CHILD(child, {
		struct note m;
		MUST(msgrcv(id, &m, sizeof m.text, 0, 0) == 5);
		MUST(!strcmp(m.text, "ping"));
		m.type = 9;
		MUST(msgsnd(id, &m, 5, 0) == 0);
	});
	pause_ms(10);
	n = (struct note){ 7, "ping" };
	SAY(msgsnd(id, &n, 5, 0));
	puts(fate_of(child));
	SAY(msgrcv(id, &n, sizeof n.text, 9, 0));
	n.type = 0;
	SAY(msgsnd(id, &n, 5, 0));
	SAY(msgctl(id, IPC_RMID, NULL));
	SAY(msgsnd(id, &n, 5, 0));
}

static void queues(void)
{
	struct mq_attr attr = { .mq_maxmsg = 4, .mq_msgsize = 64 };
	char buf[64];
	unsigned prio;

	mq_unlink("/wasmlinux-test");
	mqd_t q = mq_open("/wasmlinux-test", O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &attr);
	SAY(q != (mqd_t)-1);
	SAY(mq_send(q, "low", 4, 1));
	SAY(mq_send(q, "high", 5, 9));
	SAY(mq_send(q, "middle", 7, 5));
	SAY(mq_send(q, "high again", 11, 9));
	SAY(mq_send(q, "too many", 9, 9));
	for (int i = 0; i < 4; i++) {
		SAY(mq_receive(q, buf, sizeof buf, &prio));
		printf("%u %s\n", prio, buf);
	}
	SAY(mq_receive(q, buf, sizeof buf, &prio));
	SAY(mq_receive(q, buf, 5, &prio));
	SAY(mq_getattr(q, &attr));
	printf("%ld %ld %ld\n", (long)attr.mq_maxmsg, (long)attr.mq_msgsize, (long)attr.mq_curmsgs);
	SAY(mq_close(q));
	SAY(mq_unlink("/wasmlinux-test"));
	SAY(mq_unlink("/wasmlinux-test"));
}

static void named_semaphores(void)
{
	sem_unlink("/wasmlinux-test");
	sem_t *s = sem_open("/wasmlinux-test", O_CREAT | O_EXCL, 0600, 0);
	pid_t child;

	SAY(s != SEM_FAILED);
	SAY(sem_open("/wasmlinux-test", O_CREAT | O_EXCL, 0600, 0) == SEM_FAILED);
	CHILD(child, {
		sem_t *mine = sem_open("/wasmlinux-test", 0);
		MUST(mine != SEM_FAILED);
		pause_ms(10);
		sem_post(mine);
	});
	SAY(sem_wait(s));
	puts(fate_of(child));
	SAY(sem_trywait(s));
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	SAY(sem_timedwait(s, &ts));
	SAY(sem_close(s));
	SAY(sem_unlink("/wasmlinux-test"));
}

int main(void)
{
	LINES();
	shared_memory();
	semaphores();
	messages();
	queues();
	named_semaphores();
	return 0;
}
