# Traps and signals.
trap 'echo exit trap $?' EXIT
trap 'echo usr1' USR1
kill -USR1 $$
echo after
(trap 'echo sub exit' EXIT; echo in sub)
trap '' TERM
kill -TERM $$; echo ignored
trap - TERM
sh -c 'kill -TERM $$'; echo "child: $?"
sh -c 'trap "echo caught; exit 5" TERM; kill -TERM $$; echo not reached'; echo "child: $?"
sh -c 'kill -KILL $$'; echo "child: $?"
# Killed while it is waited for: a shell that has seen the end before its wait names no signal.
sh -c 'sleep 100 & p=$!; { sleep 0.3; kill $p; } & wait $p; echo "waited $?"'
sh -c 'trap "echo int" INT; kill -INT $$; echo going on'
f() { trap 'echo usr2 in f' USR2; kill -USR2 $$; }
f
trap
(sleep 0.2; kill -USR1 $$) &
wait; echo "wait: $?"
wait
while :; do sh -c 'exit 3'; break; done
sh -c 'trap "exit 9" EXIT; exit 2'; echo $?
