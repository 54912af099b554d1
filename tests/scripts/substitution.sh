# Command substitution and expansion.
echo "$(echo a; echo b)" $(echo c; echo d)
echo "$(echo "nested $(echo "deep $(echo er)")")"
x=$(false); echo "status $?"
x=$(exit 9); echo "status $?"
echo "[$(printf 'trailing\n\n\n')]"
v=hello.tar.gz
echo ${v%.*} ${v%%.*} ${v#*.} ${v##*.} ${#v}
echo ${unset-default} ${unset:-default} ${v:+alternative} ${unset:+none}
echo ${new:=assigned} $new
(: ${missing:?is missing}) 2>&1 | sed 's/.*: line [0-9]*: //'
echo ${v/tar/zip} ${v//./_} ${v:2:3} ${v: -2}
set -- a 'b c' d
echo $# "$*" "$@"; for x in "$@"; do echo "<$x>"; done
IFS=:; echo "$*"; set -- $(echo x:y:z); echo $#; unset IFS
echo 'single $v' "double $v" \$v
echo {a,b} a*b '?'
touch g1.$$ g2.$$ g3.$$; echo g?.$$ | tr -d "$$" | wc -w; echo g[12].$$ | wc -w; rm g?.$$
echo `echo back \`echo ticks\``
a=1 b=2 sh -c 'echo $a$b'
echo ~root
printf '%s|' "$(seq 3)" $(seq 3); echo
eval 'echo evaluated $((2 ** 10))'
y='$v'; eval echo $y
set -- ; echo "none: $# '$*' '$@'"
