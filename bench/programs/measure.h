/*
 * Measuring: the best of several batches is what a thing costs; the rest is what else the machine
 * does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <time.h>

static inline double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

/*
 * Prints "NAME VALUE": nanoseconds for one of `n` rounds of `body`, the least of `batches` batches.
 * A system on which that would take longer than a second, as a first try of a hundredth of the
 * rounds tells, does fewer rounds.
 */
#define MEASURE(name, batches, n, body) do { \
		double least_ = 1e300; \
		int rounds_ = (n) / 100 + 1; \
		for (int b_ = 0; b_ <= (batches); b_++) { \
			double t0_ = now_ns(); \
			for (int i_ = 0; i_ < rounds_; i_++) { \
				body; \
			} \
			double t_ = (now_ns() - t0_) / rounds_; \
			if (t_ < least_) \
				least_ = t_; \
			if (b_ == 0) \
				rounds_ = t_ * (n) * (batches) < 1e9 ? (n) : (int)(1e9 / (t_ * (batches))) + 1; \
		} \
		printf("%s %.3f\n", name, least_); \
		fflush(stdout); \
	} while (0)

#define NEED(cond) do { \
		if (!(cond)) { \
			perror(#cond); \
			exit(1); \
		} \
	} while (0)
