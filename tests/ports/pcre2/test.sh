# What `make check` runs, without make: RunTest one test at a time.
check() {
	name=$1
	shift
	if "$@" > log 2>&1; then echo "ok $name"; else echo "not ok $name"; cat log; fi
}
for width in 8 16 32; do
	for number in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26; do
		check "RunTest -$width $number" ./RunTest "-$width" "$number"
	done
done
check RunGrepTest ./RunGrepTest
check pcre2posix_test ./pcre2posix_test
