# Pipelines, subshells, groups, their statuses.
seq 1 1000 | sort -rn | head -n 3
echo one two three | { read a b; echo "b=$b a=$a"; }
(exit 3) | true; echo "last: $?"
true | (exit 4); echo "last: $?"
set -o pipefail
(exit 3) | true; echo "pipefail: $?"
set +o pipefail
! true; echo "not: $?"
yes | head -n 2
seq 5 | while read n; do echo "n=$n"; done | tr n N
x=outer; echo text | { x=inner; cat; }; echo "$x"
cat /dev/null | wc -c
seq 100000 | awk '{ s += $1 } END { print s }'
{ echo out; echo err >&2; } 2>&1 | sort
(echo a; echo b) | (read x; echo "first $x"; cat)
seq 1 20 | xargs -n 7 echo
printf '%s\n' c b a | sort | paste -s -d, -
head -c 300000 /dev/zero | tr '\0' x | wc -c
false || echo or; true && echo and
echo a | cat | cat | cat | cat | cat | cat | cat | cat
