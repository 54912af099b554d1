/* SPDX-License-Identifier: MIT */
/* The message that says why something cannot be. */
#include "init.h"

int failure_send(int fd, uint32_t id, const struct failure *failure)
{
	static struct writer writer;
	const uint32_t error = failure->error, step = failure->step;

	writer_begin(&writer, CONTROL_FAILED, id);
	writer_words(&writer, CONTROL_FIELD_ERRNO, &error, 1);
	writer_words(&writer, CONTROL_FIELD_STEP, &step, 1);
	if (failure->text)
		writer_text(&writer, CONTROL_FIELD_TEXT, failure->text);
	return writer_send(&writer, fd);
}
