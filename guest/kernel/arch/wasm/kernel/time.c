// SPDX-License-Identifier: GPL-2.0
#include <linux/clockchips.h>
#include <linux/clocksource.h>
#include <linux/delay.h>
#include <linux/init.h>
#include <linux/interrupt.h>
#include <linux/nsproxy.h>
#include <linux/sched/clock.h>
#include <linux/time_namespace.h>
#include <linux/timekeeping.h>
#include <asm/host.h>
#include "kernel.h"

static u64 wasm_clock_read(struct clocksource *cs)
{
	return host_clock_monotonic();
}

static struct clocksource wasm_clocksource = {
	.name	= "host",
	.rating	= 400,
	.read	= wasm_clock_read,
	.mask	= CLOCKSOURCE_MASK(64),
	.flags	= CLOCK_SOURCE_IS_CONTINUOUS,
};

static int wasm_timer_set(unsigned long delta, struct clock_event_device *dev)
{
	host_timer_set(delta);
	return 0;
}

static DEFINE_PER_CPU(struct clock_event_device, wasm_timer);

static irqreturn_t wasm_timer_interrupt(int irq, void *dev)
{
	struct clock_event_device *timer = dev;

	timer->event_handler(timer);
	return IRQ_HANDLED;
}

static void __init wasm_timer_init(void)
{
	struct clock_event_device *timer = this_cpu_ptr(&wasm_timer);

	timer->name = "host";
	timer->features = CLOCK_EVT_FEAT_ONESHOT;
	timer->rating = 400;
	timer->set_next_event = wasm_timer_set;
	timer->cpumask = cpumask_of(smp_processor_id());
	clockevents_config_and_register(timer, NSEC_PER_SEC, 1000, LONG_MAX);
	enable_percpu_irq(MACHINE_IRQ_TIMER, IRQ_TYPE_NONE);
}

void __init time_init(void)
{
	clocksource_register_hz(&wasm_clocksource, NSEC_PER_SEC);
	if (__request_percpu_irq(MACHINE_IRQ_TIMER, wasm_timer_interrupt,
				 IRQF_TIMER, "timer", &wasm_timer))
		panic("no timer interrupt");
	wasm_timer_init();
}

unsigned long long notrace sched_clock(void)
{
	return host_clock_monotonic();
}

/*
 * clock_gettime() of the clocks that programs read most. False if it has to be
 * made in full.
 */
bool wasm_read_clock(unsigned long clock, unsigned long at)
{
	struct timespec64 now;

	switch (clock) {
	case CLOCK_REALTIME:
		ktime_get_real_ts64(&now);
		break;
	case CLOCK_MONOTONIC:
		ktime_get_ts64(&now);
		timens_add_monotonic(&now);
		break;
	default:
		return false;
	}
	return wasm_put_timespec(at, &now);
}

void read_persistent_clock64(struct timespec64 *ts)
{
	*ts = ns_to_timespec64(host_clock_realtime());
}

void calibrate_delay(void)
{
	loops_per_jiffy = NSEC_PER_SEC / HZ;
}

void __ndelay(unsigned long ns)
{
	u64 end = host_clock_monotonic() + ns;

	while (host_clock_monotonic() < end)
		cpu_relax();
}

/* There is no page of clocks in user memory that could be wrong about a namespace's offsets. */
struct vdso_data *arch_get_vdso_data(void *vvar_page)
{
	return vvar_page;
}

int vdso_join_timens(struct task_struct *task, struct time_namespace *ns)
{
	return 0;
}
