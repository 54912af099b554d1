# PCRE2 by configure. Of its grep's calls of programs, the output is compared in an order that only a race decides: parent and child write to the same file.
set -e
./configure $CONFIGURE_FLAGS --disable-shared --enable-pcre2-16 --enable-pcre2-32 --disable-pcre2grep-callout-fork
make -j2
