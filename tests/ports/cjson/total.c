/* The sum of the numbers in an array, read from standard input. */
#include <cjson/cJSON.h>
#include <stdio.h>

int main(void)
{
	static char text[4096];
	double sum = 0;
	cJSON *item;
	cJSON *array;

	text[fread(text, 1, sizeof(text) - 1, stdin)] = 0;
	array = cJSON_Parse(text);
	cJSON_ArrayForEach(item, array)
		sum += item->valuedouble;
	printf("%.2f\n", sum);
	cJSON_Delete(array);
	return array == NULL;
}
