// SPDX-License-Identifier: GPL-2.0
/*
 * hvc0: kernel messages and /dev/console. There is no input: what programs
 * read comes by streams.
 */
#include <linux/console.h>
#include <linux/init.h>
#include <linux/err.h>
#include <asm/host.h>
#include "../../../drivers/tty/hvc/hvc_console.h"

static ssize_t hvc_wasm_put_chars(u32 vtermno, const u8 *buf, size_t count)
{
	host_console_write(buf, count);
	return count;
}

static ssize_t hvc_wasm_get_chars(u32 vtermno, u8 *buf, size_t count)
{
	return 0;
}

/* As if input came by interrupt: khvcd does not poll for it. */
static int hvc_wasm_notifier_add(struct hvc_struct *hp, int irq)
{
	hp->irq_requested = 1;
	return 0;
}

static void hvc_wasm_notifier_del(struct hvc_struct *hp, int irq)
{
}

static const struct hv_ops hvc_wasm_ops = {
	.get_chars	= hvc_wasm_get_chars,
	.put_chars	= hvc_wasm_put_chars,
	.notifier_add	= hvc_wasm_notifier_add,
	.notifier_del	= hvc_wasm_notifier_del,
	.notifier_hangup = hvc_wasm_notifier_del,
};

static int __init hvc_wasm_console_init(void)
{
	hvc_instantiate(0, 0, &hvc_wasm_ops);
	add_preferred_console("hvc", 0, NULL);
	return 0;
}
console_initcall(hvc_wasm_console_init);

static int __init hvc_wasm_init(void)
{
	return PTR_ERR_OR_ZERO(hvc_alloc(0, 0, &hvc_wasm_ops, 256));
}
device_initcall(hvc_wasm_init);
