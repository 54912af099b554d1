# Background jobs and wait.
sleep 0.1 & a=$!
(exit 7) & b=$!
wait $b; echo "b $?"
wait $a; echo "a $?"
for i in 1 2 3 4 5; do (sleep 0.0$i; echo "job $i" > job.$i.$$) & done
wait
cat job.?.$$; rm job.?.$$
(exit 1) & (exit 2) & (exit 3) &
wait; echo "all $?"
wait 99999; echo "none $?"
# Killed while it is waited for: a shell that has seen the end before its wait names no signal.
sh -c 'sleep 100 & p=$!; { sleep 0.3; kill $p; } & wait $p; echo $?'
set -m
sleep 100 &
kill %1; wait %1 2>/dev/null; echo "job $?"
set +m
cat < /dev/null &
wait $!; echo "cat $?"
{ sleep 0.1; echo late; } & echo early; wait
n=0; while [ $n -lt 50 ]; do true & n=$((n + 1)); done; wait; echo "fifty"
mkfifo p.$$; cat p.$$ & echo "through a fifo" > p.$$; wait; rm p.$$
x=$(echo sub & wait); echo "$x"
