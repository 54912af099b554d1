/* See src/thread/wasm32/kept_stacks.c. */
hidden unsigned char *__kept_stack_take(size_t size, size_t guard, size_t need);
hidden int __kept_stack_keep(pthread_t);
