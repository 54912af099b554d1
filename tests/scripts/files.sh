# find, xargs, redirections, files.
d=tree.$$; mkdir -p $d/a/b $d/c; cd $d
for f in a/1.txt a/b/2.txt c/3.log '4 with space.txt'; do echo "content of $f" > "$f"; done
find . -type f | sort
find . -name '*.txt' -exec echo found {} \; | sort
find . -name '*.txt' -exec cat {} + | sort
find . -type f -print0 | xargs -0 -n 1 basename | sort
find . -type f -print0 | xargs -0 -P 4 -n 1 wc -c | sort
find . -type d -empty; find . -newer a/1.txt -name none
seq 12 | xargs -P 3 -n 4 sh -c 'echo $(($1 + $2 + $3 + $4))' sum | sort -n
seq 3 | xargs -I N echo 'line N of N'
echo a b c | xargs -n 1 sh -c 'exit $1' x 2>/dev/null; echo "xargs $?"
chmod 640 a/1.txt; stat -c '%a %s %F' a/1.txt
ln -s a/1.txt link; readlink link; cat link; ln a/1.txt hard; stat -c %h hard
echo new > a/1.txt; cat hard; echo more >> hard; cat a/1.txt
cat nothing 2>&1; echo "cat $?"
cp -r a copy; diff -r a copy && echo same; echo changed > copy/1.txt; diff a/1.txt copy/1.txt; echo "diff $?"
mv copy moved; ls moved; rm -r moved; ls | sort
tar cf t.tar a; tar tf t.tar | sort; mkdir x; tar xf t.tar -C x; cat x/a/b/2.txt
gzip -c a/1.txt | gunzip; seq 1000 | gzip | zcat | tail -n 1; seq 1000 | bzip2 | bunzip2 | md5sum
{ echo both; echo err >&2; } > both 2>&1; cat both
echo in place > s; sed -i s/in/IN/ s; cat s
dd if=/dev/zero of=z bs=1024 count=3 2>/dev/null; wc -c < z; truncate -s 10 z; wc -c < z
test -d a && test ! -e none && test -L link && test -s s && echo tests
(umask 077; touch private; stat -c %a private)
>empty; [ -s empty ] || echo empty
set -C; (echo x > empty) 2>/dev/null; echo "noclobber $?"; echo y >| empty; cat empty; set +C
cut -d: -f1 /etc/passwd | head -n 1
while IFS=: read -r user x uid rest; do [ "$uid" = 0 ] && echo "$user"; done < /etc/passwd
mktemp -d > name && [ -d "$(cat name)" ] && rmdir "$(cat name)" && echo temporary
touch -d '2020-01-02 03:04:05' dated; TZ=UTC0 date -r dated '+%F %T'
cmp a/1.txt hard && echo equal
cd ..; rm -r $d
