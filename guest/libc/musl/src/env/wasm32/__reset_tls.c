/* Thread-local data as at the thread's beginning: wasm-ld has the image. */
#include "pthread_impl.h"

void __wasm_init_tls(void *);

void __reset_tls()
{
	__wasm_init_tls((void *)__pthread_self()->dtv[1]);
}
