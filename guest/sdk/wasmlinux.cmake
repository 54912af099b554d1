# CMake builds for WasmLinux: cmake -DCMAKE_TOOLCHAIN_FILE=…/share/cmake/wasmlinux.cmake …

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR wasm32)
get_filename_component(_WASMLINUX "${CMAKE_CURRENT_LIST_DIR}/../.." REALPATH)

set(CMAKE_C_COMPILER "${_WASMLINUX}/bin/wasmlinux-cc")
foreach(_TOOL AR RANLIB NM STRIP OBJCOPY OBJDUMP)
  string(TOLOWER ${_TOOL} _NAME)
  set(CMAKE_${_TOOL} "${_WASMLINUX}/bin/wasmlinux-${_NAME}" CACHE FILEPATH "")
endforeach()
set(CMAKE_C_COMPILER_AR "${CMAKE_AR}" CACHE FILEPATH "")
set(CMAKE_C_COMPILER_RANLIB "${CMAKE_RANLIB}" CACHE FILEPATH "")

# Libraries and headers come from the sysroot only, programs that the build runs from the host.
set(CMAKE_FIND_ROOT_PATH "${_WASMLINUX}/sysroot")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(PKG_CONFIG_EXECUTABLE "${_WASMLINUX}/bin/wasmlinux-pkg-config" CACHE FILEPATH "")

# ctest and try_run() run programs in a machine.
set(CMAKE_CROSSCOMPILING_EMULATOR "${_WASMLINUX}/bin/wasmlinux-exec" CACHE STRING "")

# There are no shared libraries. CMake's own rules for Linux, which say otherwise, are read between this file and that one.
set(BUILD_SHARED_LIBS OFF CACHE BOOL "")
set(CMAKE_USER_MAKE_RULES_OVERRIDE "${CMAKE_CURRENT_LIST_DIR}/wasmlinux-rules.cmake")
