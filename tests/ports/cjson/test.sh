# The programs that ctest would run.
check() {
	name=$1
	shift
	if "$@" > "$top/log" 2>&1; then echo "ok $name"; else echo "not ok $name"; cat "$top/log"; fi
}
total() {
	[ "$(echo '[1, 2.5, 3e2]' | ./total)" = 303.50 ]
}
top=$PWD
check total total
check cJSON_test build/cJSON_test
cd build/tests || exit 1
for program in *; do
	[ -f "$program" ] && [ -x "$program" ] && check "$program" "./$program"
done
