// SPDX-License-Identifier: GPL-2.0
/*
 * Boot: the host calls boot() in the first kernel instance.
 */
#include <linux/console.h>
#include <linux/init.h>
#include <linux/initrd.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/panic.h>
#include <linux/random.h>
#include <linux/reboot.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/start_kernel.h>
#include <asm/host.h>
#include <asm/pgtable.h>
#include <asm/sections.h>
#include <asm/setup.h>

struct boot_info boot_info __section(".data") = {
	.version	= MACHINE_VERSION,
	.page_shift	= PAGE_SHIFT,
	.pgdir_shift	= PGDIR_SHIFT,
};

struct task_struct *wasm_current = &init_task;

extern char __heap_base[];	/* of the linker: end of data and .bss */

static void wasm_early_write(struct console *con, const char *s, unsigned int n)
{
	host_console_write(s, n);
}

static struct console early_console_wasm __initdata = {
	.name	= "early",
	.write	= wasm_early_write,
	.flags	= CON_PRINTBUFFER | CON_BOOT,
	.index	= -1,
};

void __init setup_arch(char **cmdline_p)
{
	phys_addr_t end = PAGE_ALIGN(__pa(__heap_base));

	*cmdline_p = boot_command_line;
	strscpy(boot_command_line, boot_info.cmdline, COMMAND_LINE_SIZE);
	parse_early_param();
	/* after the level of messages is known */
	register_console(&early_console_wasm);

	add_bootloader_randomness(boot_info.seed, sizeof(boot_info.seed));
	memzero_explicit(boot_info.seed, sizeof(boot_info.seed));

	memblock_add(0, boot_info.memory_size);
	memblock_reserve(0, end);
#ifdef CONFIG_BLK_DEV_INITRD
	if (boot_info.initrd_size) {
		memblock_reserve(boot_info.initrd_start,
				 boot_info.initrd_size);
		initrd_start = boot_info.initrd_start;
		initrd_end = initrd_start + boot_info.initrd_size;
	}
#endif
	setup_initial_init_mm(_stext, _etext, _edata, __heap_base);
	paging_init();
}

HOST_EXPORT(boot)
void __init wasm_boot(void)
{
	start_kernel();
}

/* A panic ends here too, by way of emergency_restart(). */
void machine_restart(char *cmd)
{
	bool panicked = atomic_read(&panic_cpu) != PANIC_CPU_INVALID;

	host_power_off(panicked ? MACHINE_POWER_PANIC : MACHINE_POWER_REBOOT);
}

void machine_halt(void)
{
	host_power_off(MACHINE_POWER_HALT);
}

void machine_power_off(void)
{
	host_power_off(MACHINE_POWER_OFF);
}

/* kernel_power_off() halts instead if there is no such function */
void (*pm_power_off)(void) = machine_power_off;

static int c_show(struct seq_file *m, void *v)
{
	seq_puts(m, "processor\t: 0\nmodel name\t: WebAssembly\n\n");
	return 0;
}

static void *c_start(struct seq_file *m, loff_t *pos)
{
	return *pos ? NULL : (void *)1;
}

static void *c_next(struct seq_file *m, void *v, loff_t *pos)
{
	++*pos;
	return NULL;
}

static void c_stop(struct seq_file *m, void *v)
{
}

const struct seq_operations cpuinfo_op = {
	.start	= c_start,
	.next	= c_next,
	.stop	= c_stop,
	.show	= c_show,
};
