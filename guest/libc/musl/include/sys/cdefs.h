#ifndef _SYS_CDEFS_H
#define _SYS_CDEFS_H

/* What headers of other libraries take from here. */
#ifdef __cplusplus
#define __BEGIN_DECLS extern "C" {
#define __END_DECLS }
#else
#define __BEGIN_DECLS
#define __END_DECLS
#endif

#define __CONCAT(a, b) a ## b
#define __STRING(a) #a
#define __P(args) args
#define __THROW
#define __containerof(pointer, type, member) ((type *)((char *)(pointer) - __builtin_offsetof(type, member)))
#define __nonnull(params) __attribute__((__nonnull__ params))

#endif
