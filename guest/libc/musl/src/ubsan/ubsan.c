#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* The minimal run-time library of clang's sanitizer of undefined behaviour: it says what happened,
 * and goes on, or ends the program where -fno-sanitize-recover says so. Code has no addresses here,
 * so it does not say where. */

#define MOST 20

/* catching.c calls it too. */
void __ubsan_report(const char *what)
{
	static int count;
	char line[80];
	int n = __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);

	if (n > MOST) {
		__atomic_store_n(&count, MOST+1, __ATOMIC_RELAXED);
		return;
	}
	strcpy(line, "ubsan: ");
	strcat(line, n < MOST ? what : "too many errors");
	strcat(line, "\n");
	write(2, line, strlen(line));
}

static _Noreturn void end(void)
{
	__builtin_trap();
}

#define ABORT(name, what) \
	_Noreturn void __ubsan_handle_##name##_minimal_abort(void) { __ubsan_report(what); end(); }
#define HANDLER(name, what) \
	void __ubsan_handle_##name##_minimal(void) { __ubsan_report(what); } \
	ABORT(name, what)

HANDLER(type_mismatch, "type-mismatch")
HANDLER(alignment_assumption, "alignment-assumption")
HANDLER(add_overflow, "add-overflow")
HANDLER(sub_overflow, "sub-overflow")
HANDLER(mul_overflow, "mul-overflow")
HANDLER(negate_overflow, "negate-overflow")
HANDLER(shift_out_of_bounds, "shift-out-of-bounds")
HANDLER(out_of_bounds, "out-of-bounds")
HANDLER(local_out_of_bounds, "local-out-of-bounds")
HANDLER(vla_bound_not_positive, "vla-bound-not-positive")
HANDLER(float_cast_overflow, "float-cast-overflow")
HANDLER(load_invalid_value, "load-invalid-value")
HANDLER(invalid_builtin, "invalid-builtin")
HANDLER(function_type_mismatch, "function-type-mismatch")
HANDLER(implicit_conversion, "implicit-conversion")
HANDLER(nonnull_arg, "nonnull-arg")
HANDLER(nonnull_return, "nonnull-return")
HANDLER(nullability_arg, "nullability-arg")
HANDLER(nullability_return, "nullability-return")
HANDLER(pointer_overflow, "pointer-overflow")
/* The other one is catching.c's. */
ABORT(divrem_overflow, "divrem-overflow")

/* There is no going on after these. */
void __ubsan_handle_builtin_unreachable_minimal(void) { __ubsan_report("builtin-unreachable"); end(); }
ABORT(builtin_unreachable, "builtin-unreachable")
void __ubsan_handle_missing_return_minimal(void) { __ubsan_report("missing-return"); end(); }
ABORT(missing_return, "missing-return")
