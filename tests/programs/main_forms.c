/* main in its third form, with the environment. */
#include "common.h"

extern char **environ;

int main(int argc, char **argv, char **envp)
{
	printf("%d %d %d\n", argc, envp == environ, argv[argc] == NULL);
	return 7;
}
