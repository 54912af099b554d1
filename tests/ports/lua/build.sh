# Lua by make; and LPeg, a library in C for it, whose own tests are those that Debian's source has.
set -e
make linux CC="$CC" AR="$AR rcu" RANLIB="$RANLIB"
cd lpeg
$CC -O2 -std=c99 -DNDEBUG -I../src -c lpvm.c lpcap.c lptree.c lpcode.c lpprint.c
# A module is linked in: there is no dlopen.
$CC -O2 -I../src "$HERE/main.c" lp*.o ../src/liblua.a -lm -ldl -Wl,-E -o lua-lpeg
