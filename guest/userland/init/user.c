/* SPDX-License-Identifier: MIT */
/* Users and groups by name or number, as docker takes them. */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "init.h"

/* As many as a process may have (include/uapi/linux/limits.h), within reason */
#define GROUPS_MAX 1024

/* A number, 0 to 2^31 - 1. 0, or -1 if the text is none. */
static int number_of(const char *text, uint32_t *number)
{
	unsigned long long value = 0;

	if (!*text || strlen(text) > 10)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = value * 10 + (*text - '0');
	}
	*number = value;
	return value > 0x7fffffff ? -1 : 0;
}

static int is_member(char *const *members, const char *name)
{
	for (; name && *members; members++)
		if (!strcmp(*members, name))
			return 1;
	return 0;
}

static int add_group(struct user *user, gid_t gid)
{
	gid_t *groups;

	for (size_t i = 0; i < user->count; i++)
		if (user->groups[i] == gid)
			return 0;
	if (user->count == GROUPS_MAX)
		return -EINVAL;
	groups = realloc(user->groups, (user->count + 1) * sizeof *groups);
	if (!groups)
		return -ENOMEM;
	user->groups = groups;
	groups[user->count++] = gid;
	return 0;
}

static int find_group(const char *name, gid_t *gid)
{
	FILE *file = fopen("/etc/group", "re");
	uint32_t number = 0;
	int is_number = !number_of(name, &number), found = 0;
	struct group *group;

	while (file && !found && (group = fgetgrent(file))) {
		found = !strcmp(group->gr_name, name) || (is_number && group->gr_gid == number);
		if (found)
			*gid = group->gr_gid;
	}
	if (file)
		fclose(file);
	if (!found && is_number) {
		*gid = number;
		found = 1;
	}
	return found ? 0 : -ENOENT;
}

/* The groups that name this user */
static int add_own_groups(struct user *user, const char *name)
{
	FILE *file = fopen("/etc/group", "re");
	struct group *group;
	int result = 0;

	while (file && !result && (group = fgetgrent(file)))
		if (is_member(group->gr_mem, name))
			result = add_group(user, group->gr_gid);
	if (file)
		fclose(file);
	return result;
}

/*
 * 0, or a negative errno. `name` is that of the user, to be freed, or NULL if the number has none.
 */
static int find_user(struct user *user, const char *wanted, char **name)
{
	FILE *file = fopen("/etc/passwd", "re");
	uint32_t number = 0;
	int is_number = !number_of(wanted, &number), found = 0;
	struct passwd *entry;

	*name = NULL;
	while (file && !found && (entry = fgetpwent(file))) {
		found = !strcmp(entry->pw_name, wanted) || (is_number && entry->pw_uid == number);
		if (!found)
			continue;
		user->uid = entry->pw_uid;
		user->gid = entry->pw_gid;
		user->home = strdup(*entry->pw_dir ? entry->pw_dir : "/");
		*name = strdup(entry->pw_name);
	}
	if (file)
		fclose(file);
	if (found)
		return user->home && *name ? 0 : -ENOMEM;
	if (!is_number)
		return -ENOENT;
	user->uid = number;
	user->gid = 0;
	user->home = strdup("/");
	return user->home ? 0 : -ENOMEM;
}

int user_find(struct user *user, char *text, struct failure *failure)
{
	char *group = strchr(text, ':'), *name;
	int result;

	*failure = (struct failure){ .step = CONTROL_STEP_USER, .text = text };
	if (group)
		*group++ = 0;
	user->set = 1;
	result = find_user(user, text, &name);
	if (!result && group) {
		failure->step = CONTROL_STEP_GROUP;
		failure->text = group;
		result = find_group(group, &user->gid);
	} else if (!result) {
		result = add_own_groups(user, name);
	}
	free(name);
	failure->error = -result;
	return result;
}

int user_add_group(struct user *user, const char *name)
{
	gid_t gid;
	int result = find_group(name, &gid);

	user->set = 1;
	return result ? result : add_group(user, gid);
}

void user_free(struct user *user)
{
	free(user->groups);
	free(user->home);
}
