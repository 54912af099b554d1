# Many processes, deep nesting, large variables.
i=0; while [ $i -lt 200 ]; do x=$(echo $i); i=$((i + 1)); done; echo $x
f() { [ $1 -eq 0 ] && { echo bottom; return; }; (f $(($1 - 1))); }
f 20
s=x; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do s=$s$s; done; echo ${#s}
echo "$s" | wc -c
g() { local n=$1; [ $n -eq 0 ] && echo deep && return; g $((n - 1)); }
g 200
echo $(echo $(echo $(echo $(echo $(echo $(echo $(echo ten)))))))
(((((((echo subshells)))))))
n=0; for f in $(seq 3000); do n=$((n + f)); done; echo $n
sh -c 'sh -c "sh -c \"sh -c \\\"echo quoted\\\"\""'
ls / | while read d; do (cd /$d 2>/dev/null && [ "$PWD" = "/$d" ] && :); done; pwd >/dev/null; echo $?
ulimit -n >/dev/null; echo $?
for i in 1 2 3; do
	{ seq 5000 | shuf | sort -n | md5sum; } &
	wait
done
cat <<END | sh
for i in 1 2 3; do echo "generated \$i"; done
END
env -i PATH="$PATH" sh -c 'export A=1; sh -c "echo \$A"'
time -p true 2>/dev/null; echo $?
timeout 1 sleep 5; echo "timeout $?"
setsid sh -c 'echo session'
seq 100 | shuf | sort -n | head -n 1
echo 'echo stdin script $1' | sh -s argument
sh -c 'echo $0 $*' name a b
sh -ec 'echo e; false; echo no'; echo $?
sh -nc 'if true; then'; echo "syntax $?"
