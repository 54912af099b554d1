# sed, awk, sort and other tools on text.
words='the quick brown fox jumps over the lazy dog'
echo $words | tr ' ' '\n' | sort | uniq -c | sort -k1,1nr -k2 | head -n 3
echo $words | sed -e 's/quick/slow/; s/\(lazy\) \(dog\)/\2 \1/' -e 'y/abc/ABC/'
seq 10 | sed -n '2,4p;$p;/7/{s/7/seven/;p}'
seq 5 | sed '1!G;h;$!d'
printf 'a,b,c\n1,2,3\n' | awk -F, -v OFS=- '{ $1 = $1; print NR, $0, NF }'
printf 'k1 1\nk2 2\nk1 3\n' | awk '{ s[$1] += $2 } END { for (k in s) print k, s[k] }' | sort
awk 'function f(n) { return n < 2 ? n : f(n - 1) + f(n - 2) } BEGIN { print f(18); print length("abc"), substr("hello", 2, 3), index("abc", "c"), toupper("x"); n = split("a:b:c", p, ":"); print n, p[3]; gsub(/o/, "0", s = "foo"); print match("foobar", /o+/), RSTART, RLENGTH; printf "%s %c %5.2f|\n", "s", 65, 3.14159 }' 2>/dev/null
awk 'BEGIN { while (("echo piped; echo twice" | getline line) > 0) print "got", line; print "sorted" | "sort"; close("sort"); "date +%Y" | getline y; print y > 2000 }'; rm -f 2000
echo 'a1b22c333' | grep -o '[0-9]\+'; echo abc | grep -c x; echo "grep $?"
printf 'b 2\na 10\nc 1\n' | sort -k2,2n; printf '1.10\n1.9\n1.2\n' | sort -V
printf 'x\ty\tz\n' | cut -f 2; echo abcdef | cut -c 2-4
printf 'one\ntwo\n' | nl -ba; printf 'a\nb\n' | paste -d: - -
echo hello | rev; printf '3\n1\n2\n' | tac
printf 'äöü\n' | wc -c; echo 'long line of text to fold' | fold -w 10 -s
echo 68656c6c6f | xxd -r -p; echo; echo hello | od -An -tx1; echo hello | hexdump -C | head -n 1
echo secret | md5sum; echo secret | sha256sum | cut -c 1-16; echo secret | base64 | base64 -d
seq 3 | tee copy.$$ | wc -l; cat copy.$$; rm copy.$$
printf 'a b\nc d\n' | while read x y; do printf '<%s|%s>' "$y" "$x"; done; echo
echo 'a:b' | { IFS=: read x y; echo "$y $x"; }
read -r line <<'END'
back\slash
END
echo "$line"; printf '%b|%q\n' 'a\tb' x 2>/dev/null; echo -e 'x\ty\x41'
expand -t 4 <<END
	tab
END
cal 2 2024 | head -n 3; date -u -d @0; seq -s, 5; factor 360
ed <<'END'
a
first
second
third
.
2s/second/SECOND/
1,$p
g/ir/s//IR/
,n
Q
END
vi --help 2>&1 | head -n 0
