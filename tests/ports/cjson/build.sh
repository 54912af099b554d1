# cJSON by CMake, installed where pkg-config finds it, and a program that asks pkg-config for it.
set -e
# Its own choice of warnings makes errors of what it finds in libc's headers.
cmake -S . -B build $CMAKE_FLAGS -DCMAKE_INSTALL_PREFIX=/usr -DBUILD_SHARED_LIBS=OFF -DENABLE_CUSTOM_COMPILER_FLAGS=OFF -DENABLE_CJSON_UTILS=ON
cmake --build build
DESTDIR="$STAGE" cmake --install build
$CC -O2 "$HERE/total.c" $($PKG_CONFIG --cflags --libs libcjson) -o total
