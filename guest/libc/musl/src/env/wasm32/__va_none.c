/* What va_start finds where a call had no variable arguments: see include/stdarg.h. */
const long long __va_none[8];
