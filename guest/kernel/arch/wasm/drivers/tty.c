// SPDX-License-Identifier: GPL-2.0
/*
 * ttyW0, ttyW1, ...: terminals of the host, each behind a stream of the machine
 * (MACHINE_TERMINAL_STREAM and those that follow). The host buffers what is
 * written; a line collects only the small pieces of one write, so nothing is lost
 * when it is hung up. The end of the stream is the loss of the carrier.
 */
#include <linux/init.h>
#include <linux/interrupt.h>
#include <linux/spinlock.h>
#include <linux/tty.h>
#include <linux/tty_driver.h>
#include <linux/tty_flip.h>
#include <linux/workqueue.h>
#include <asm/host.h>

/* Bytes that are taken from the host at once */
#define CHUNK		256
/* Bytes of processed output that are handed to the host at once */
#define OUTPUT		2048

struct line {
	struct tty_port port;
	unsigned int stream;
	spinlock_t lock;		/* the reading side, and throttled */
	bool throttled;
	struct delayed_work retry;	/* there was no memory for what came */

	spinlock_t out_lock;		/* the writing side: what follows */
	unsigned int room;		/* the host takes at least so much */
	unsigned int used;		/* of out, never more than room */
	bool closed;			/* the host reads no more */
	u8 out[OUTPUT];
};

static struct line lines[MACHINE_TERMINAL_LINES];

/* Takes what has come as far as there is room for it, and notices the end. */
static void ttyw_receive(struct line *line)
{
	unsigned long flags;
	u8 buf[CHUNK];
	int n = MACHINE_STREAM_AGAIN;

	spin_lock_irqsave(&line->lock, flags);
	while (!line->throttled && tty_port_initialized(&line->port)) {
		/* What is taken from the host must find room. */
		int room = tty_buffer_request_room(&line->port, sizeof(buf));

		if (!room) {
			schedule_delayed_work(&line->retry, 1);
			break;
		}
		n = host_stream_read(line->stream, buf, min_t(int, room, CHUNK));
		if (n <= 0)
			break;
		tty_insert_flip_string(&line->port, buf, n);
		tty_flip_buffer_push(&line->port);
	}
	spin_unlock_irqrestore(&line->lock, flags);
	if (n == 0 || n == MACHINE_STREAM_NONE)
		tty_port_tty_hangup(&line->port, false);
}

static void ttyw_retry(struct work_struct *work)
{
	ttyw_receive(container_of(to_delayed_work(work), struct line, retry));
}

static irqreturn_t ttyw_interrupt(int irq, void *dev)
{
	struct line *line;
	int state;

	for (line = lines; line < lines + MACHINE_TERMINAL_LINES; line++) {
		if (!tty_port_initialized(&line->port))
			continue;
		ttyw_receive(line);
		state = host_stream_poll(line->stream);
		/* Nobody may read what came before the end. */
		if (state < 0 || (line->throttled && (state & MACHINE_STREAM_READ_END)))
			tty_port_tty_hangup(&line->port, false);
		else if (state & MACHINE_STREAM_WRITABLE)
			tty_port_tty_wakeup(&line->port);
	}
	return IRQ_HANDLED;
}

static int ttyw_activate(struct tty_port *port, struct tty_struct *tty)
{
	struct line *line = container_of(port, struct line, port);

	if (host_stream_poll(line->stream) < 0)
		return -ENXIO;
	line->throttled = false;
	line->room = 0;
	line->used = 0;
	line->closed = false;
	return 0;
}

static const struct tty_port_operations ttyw_port_ops = {
	.activate	= ttyw_activate,
};

static int ttyw_open(struct tty_struct *tty, struct file *file)
{
	struct line *line = &lines[tty->index];
	int err = tty_port_open(&line->port, tty, file);

	/* What came before was told to nobody. */
	if (!err)
		ttyw_receive(line);
	return err;
}

static void ttyw_close(struct tty_struct *tty, struct file *file)
{
	tty_port_close(&lines[tty->index].port, tty, file);
}

static void ttyw_hangup(struct tty_struct *tty)
{
	tty_port_hangup(&lines[tty->index].port);
}

/* Hands over what was collected: there is room for it. */
static void ttyw_flush(struct line *line)
{
	if (line->used)
		host_stream_write(line->stream, line->out, line->used);
	line->room -= line->used;
	line->used = 0;
}

/*
 * Makes sure of room for so many bytes besides what is collected, if the host has
 * it; it sends an interrupt when it has more than it said. Returns what there is.
 */
static unsigned int ttyw_make_room(struct line *line, unsigned int wanted)
{
	if (line->room - line->used < wanted) {
		int state;

		ttyw_flush(line);
		state = host_stream_poll(line->stream);
		line->room = state < 0 ? 0 : state >> MACHINE_STREAM_ROOM_SHIFT;
		line->closed = state < 0 || (state & MACHINE_STREAM_WRITE_END);
	}
	return line->room - line->used;
}

/* The line discipline writes each end of a line by itself, and calls flush_chars at the end. */
static bool ttyw_is_collected(struct tty_struct *tty)
{
	return O_OPOST(tty) && tty->ldisc->ops->num == N_TTY;
}

static ssize_t ttyw_write(struct tty_struct *tty, const u8 *buf, size_t count)
{
	struct line *line = &lines[tty->index];
	ssize_t n;

	spin_lock(&line->out_lock);
	if (ttyw_is_collected(tty) && count <= OUTPUT) {
		n = min_t(size_t, count, ttyw_make_room(line, count));
		if (OUTPUT - line->used < n)
			ttyw_flush(line);
		memcpy(line->out + line->used, buf, n);
		line->used += n;
		if (line->closed)
			n = -EIO;
	} else {
		ttyw_flush(line);
		line->room = 0;
		n = host_stream_write(line->stream, buf, count);
		if (n == MACHINE_STREAM_AGAIN)
			n = 0;
		else if (n < 0)
			n = -EIO;
	}
	spin_unlock(&line->out_lock);
	return n;
}

static void ttyw_flush_chars(struct tty_struct *tty)
{
	struct line *line = &lines[tty->index];

	spin_lock(&line->out_lock);
	ttyw_flush(line);
	spin_unlock(&line->out_lock);
}

static unsigned int ttyw_write_room(struct tty_struct *tty)
{
	struct line *line = &lines[tty->index];
	unsigned int room;

	spin_lock(&line->out_lock);
	room = ttyw_make_room(line, OUTPUT);
	spin_unlock(&line->out_lock);
	return room;
}

static void ttyw_throttle(struct tty_struct *tty)
{
	struct line *line = &lines[tty->index];
	unsigned long flags;

	spin_lock_irqsave(&line->lock, flags);
	line->throttled = true;
	spin_unlock_irqrestore(&line->lock, flags);
}

static void ttyw_unthrottle(struct tty_struct *tty)
{
	struct line *line = &lines[tty->index];
	unsigned long flags;

	spin_lock_irqsave(&line->lock, flags);
	line->throttled = false;
	spin_unlock_irqrestore(&line->lock, flags);
	ttyw_receive(line);
}

static const struct tty_operations ttyw_ops = {
	.open		= ttyw_open,
	.close		= ttyw_close,
	.hangup		= ttyw_hangup,
	.write		= ttyw_write,
	.flush_chars	= ttyw_flush_chars,
	.write_room	= ttyw_write_room,
	.throttle	= ttyw_throttle,
	.unthrottle	= ttyw_unthrottle,
};

static int __init ttyw_init(void)
{
	struct tty_driver *driver;
	int i, err;

	driver = tty_alloc_driver(MACHINE_TERMINAL_LINES,
				  TTY_DRIVER_REAL_RAW | TTY_DRIVER_RESET_TERMIOS);
	if (IS_ERR(driver))
		return PTR_ERR(driver);
	driver->driver_name = "wasm";
	driver->name = "ttyW";
	driver->type = TTY_DRIVER_TYPE_SERIAL;
	driver->subtype = SERIAL_TYPE_NORMAL;
	driver->init_termios = tty_std_termios;
	driver->init_termios.c_iflag |= IUTF8;
	driver->init_termios.c_cflag = B38400 | CS8 | CREAD | HUPCL | CLOCAL;
	tty_set_operations(driver, &ttyw_ops);
	for (i = 0; i < MACHINE_TERMINAL_LINES; i++) {
		struct line *line = &lines[i];

		tty_port_init(&line->port);
		line->port.ops = &ttyw_port_ops;
		line->stream = MACHINE_TERMINAL_STREAM + i;
		spin_lock_init(&line->lock);
		spin_lock_init(&line->out_lock);
		INIT_DELAYED_WORK(&line->retry, ttyw_retry);
		tty_port_link_device(&line->port, driver, i);
	}
	err = tty_register_driver(driver);
	if (err)
		goto put;
	err = request_irq(MACHINE_IRQ_STREAM, ttyw_interrupt, IRQF_SHARED,
			  "terminal", lines);
	if (!err)
		return 0;

	tty_unregister_driver(driver);
put:
	tty_driver_kref_put(driver);
	return err;
}
device_initcall(ttyw_init);
