// SPDX-License-Identifier: GPL-2.0
/*
 * Streams: byte pipes between host and guest, as a character device. The
 * minor is the stream's number; the major is in /proc/devices under "stream".
 * The host buffers; IRQ_STREAM says that some stream may have become ready.
 */
#include <linux/cdev.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/interrupt.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/wait.h>
#include <asm/host.h>

#define STREAMS		BIT(MINORBITS)
/* Transfers up to this size go by the kernel's stack, longer ones by pages. */
#define SMALL		256
/*
 * So many at once, as a power of two: 256 KiB. The host's file may be a socket
 * whose messages have borders, and be 208 KiB long if nobody has changed that.
 */
#define LARGE_ORDER	2

/* One for each stream that is open, whoever opened it how often */
struct stream {
	struct list_head list;
	unsigned int number;
	unsigned int users;
	wait_queue_head_t wait;
};

static LIST_HEAD(streams);		/* changed under both */
static DEFINE_MUTEX(streams_mutex);
static DEFINE_SPINLOCK(streams_lock);	/* what the interrupt takes */

static struct stream *stream_find(unsigned int number)
{
	struct stream *stream;

	list_for_each_entry(stream, &streams, list)
		if (stream->number == number)
			return stream;
	return NULL;
}

static struct stream *stream_get(unsigned int number)
{
	struct stream *stream = stream_find(number);

	if (stream) {
		stream->users++;
		return stream;
	}
	if (host_stream_poll(number) == MACHINE_STREAM_NONE)
		return ERR_PTR(-ENXIO);
	stream = kzalloc(sizeof(*stream), GFP_KERNEL);
	if (!stream)
		return ERR_PTR(-ENOMEM);
	stream->number = number;
	stream->users = 1;
	init_waitqueue_head(&stream->wait);
	spin_lock_irq(&streams_lock);
	list_add(&stream->list, &streams);
	spin_unlock_irq(&streams_lock);
	return stream;
}

static int stream_dev_open(struct inode *inode, struct file *file)
{
	struct stream *stream;

	mutex_lock(&streams_mutex);
	stream = stream_get(iminor(inode));
	mutex_unlock(&streams_mutex);
	if (IS_ERR(stream))
		return PTR_ERR(stream);
	file->private_data = stream;
	return stream_open(inode, file);
}

static int stream_dev_release(struct inode *inode, struct file *file)
{
	struct stream *stream = file->private_data;

	mutex_lock(&streams_mutex);
	if (!--stream->users) {
		spin_lock_irq(&streams_lock);
		list_del(&stream->list);
		spin_unlock_irq(&streams_lock);
		host_stream_close(stream->number);
		kfree(stream);
	}
	mutex_unlock(&streams_mutex);
	return 0;
}

/* A stream that the host has taken away is ready for everything: it fails. */
static bool stream_ready(struct stream *stream, int events)
{
	int state = host_stream_poll(stream->number);

	return state < 0 || (state & events);
}

static int stream_wait_for(struct stream *stream, struct kiocb *iocb, int events)
{
	if ((iocb->ki_filp->f_flags & O_NONBLOCK) ||
	    (iocb->ki_flags & IOCB_NOWAIT))
		return -EAGAIN;
	return wait_event_interruptible(stream->wait, stream_ready(stream, events));
}

/* Bytes, 0 at the end, or an error; waits only for the first. */
static ssize_t stream_read_through(struct stream *stream, struct kiocb *iocb,
				   struct iov_iter *to, void *buf, size_t size)
{
	ssize_t done = 0;

	while (iov_iter_count(to)) {
		size_t len = min(iov_iter_count(to), size);
		size_t copied;
		int n, err;

		/*
		 * What is taken from the host must find room. A stack grows
		 * by an access only, of which this first one makes none.
		 */
		if (fault_in_iov_iter_writeable(to, len)) {
			fault_in_iov_iter_readable(to, len);
			len -= fault_in_iov_iter_writeable(to, len);
		}
		if (!len)
			return done ?: -EFAULT;
		n = host_stream_read(stream->number, buf, len);
		if (n == MACHINE_STREAM_AGAIN) {
			if (done)
				break;
			err = stream_wait_for(stream, iocb, MACHINE_STREAM_READABLE);
			if (err)
				return err;
			continue;
		}
		if (n <= 0)
			return done ?: n;
		copied = copy_to_iter(buf, n, to);
		done += copied;
		if (copied < n)
			return done ?: -EFAULT;
		/* A line, a packet, or all that there is: more would be another's. */
		if (n < len)
			break;
		cond_resched();
	}
	return done;
}

static ssize_t stream_write_through(struct stream *stream, struct kiocb *iocb,
				    struct iov_iter *from, void *buf, size_t size)
{
	ssize_t done = 0;

	while (iov_iter_count(from)) {
		size_t len = copy_from_iter(buf, min(iov_iter_count(from), size), from);
		size_t sent = 0;

		if (!len)
			return done ?: -EFAULT;
		while (sent < len) {
			int err, n = host_stream_write(stream->number, buf + sent,
						       len - sent);

			if (n > 0) {
				sent += n;
				continue;
			}
			err = n;
			if (n == MACHINE_STREAM_AGAIN)
				err = stream_wait_for(stream, iocb, MACHINE_STREAM_WRITABLE);
			if (n == MACHINE_STREAM_CLOSED)
				send_sig(SIGPIPE, current, 0);
			if (err) {
				iov_iter_revert(from, len - sent);
				done += sent;
				return done ?: err;
			}
		}
		done += len;
		cond_resched();
	}
	return done;
}

typedef ssize_t (*transfer_fn)(struct stream *, struct kiocb *,
			       struct iov_iter *, void *, size_t);

static ssize_t stream_transfer(struct kiocb *iocb, struct iov_iter *iter, transfer_fn fn)
{
	struct stream *stream = iocb->ki_filp->private_data;
	unsigned int order = min(get_order(iov_iter_count(iter)), LARGE_ORDER);
	char small[SMALL];
	unsigned long pages;
	ssize_t ret;

	if (iov_iter_count(iter) <= sizeof(small))
		return fn(stream, iocb, iter, small, sizeof(small));
	pages = __get_free_pages(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN, order);
	if (!pages) {
		order = 0;
		pages = __get_free_page(GFP_KERNEL);
	}
	if (!pages)
		return -ENOMEM;
	ret = fn(stream, iocb, iter, (void *)pages, PAGE_SIZE << order);
	free_pages(pages, order);
	return ret;
}

static ssize_t stream_dev_read(struct kiocb *iocb, struct iov_iter *to)
{
	return stream_transfer(iocb, to, stream_read_through);
}

static ssize_t stream_dev_write(struct kiocb *iocb, struct iov_iter *from)
{
	return stream_transfer(iocb, from, stream_write_through);
}

static __poll_t stream_to_epoll(int state)
{
	__poll_t mask = 0;

	if (state < 0)
		return EPOLLERR | EPOLLHUP;
	if (state & MACHINE_STREAM_READABLE)
		mask |= EPOLLIN | EPOLLRDNORM;
	if (state & MACHINE_STREAM_WRITABLE)
		mask |= EPOLLOUT | EPOLLWRNORM;
	if (state & MACHINE_STREAM_READ_END)
		mask |= EPOLLRDHUP;
	if (state & MACHINE_STREAM_WRITE_END)
		mask |= EPOLLERR;
	return mask;
}

static __poll_t stream_dev_poll(struct file *file, poll_table *table)
{
	struct stream *stream = file->private_data;

	poll_wait(file, &stream->wait, table);
	return stream_to_epoll(host_stream_poll(stream->number));
}

static const struct file_operations stream_fops = {
	.owner		= THIS_MODULE,
	.open		= stream_dev_open,
	.release	= stream_dev_release,
	.read_iter	= stream_dev_read,
	.write_iter	= stream_dev_write,
	.poll		= stream_dev_poll,
	/* no splice_read: it would wait for the host with the pipe locked */
	.splice_write	= iter_file_splice_write,
};

static irqreturn_t stream_interrupt(int irq, void *dev)
{
	struct stream *stream;

	spin_lock(&streams_lock);
	list_for_each_entry(stream, &streams, list)
		if (wq_has_sleeper(&stream->wait))
			wake_up_poll(&stream->wait,
				     stream_to_epoll(host_stream_poll(stream->number)));
	spin_unlock(&streams_lock);
	return IRQ_HANDLED;
}

static int __init stream_init(void)
{
	static struct cdev cdev;
	dev_t first;
	int err;

	err = alloc_chrdev_region(&first, 0, STREAMS, "stream");
	if (err)
		return err;
	cdev_init(&cdev, &stream_fops);
	err = cdev_add(&cdev, first, STREAMS);
	if (err)
		goto unregister;
	err = request_irq(MACHINE_IRQ_STREAM, stream_interrupt, IRQF_SHARED,
			  "stream", &streams);
	if (!err)
		return 0;

	cdev_del(&cdev);
unregister:
	unregister_chrdev_region(first, STREAMS);
	return err;
}
device_initcall(stream_init);
