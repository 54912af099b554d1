# What wasmlinux.cmake changes in CMake's own rules for Linux: a library that is asked for as SHARED is made STATIC.
set_property(GLOBAL PROPERTY TARGET_SUPPORTS_SHARED_LIBS FALSE)
